package imapd

import (
	"context"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// storing brings STORE (RFC 9051 section 6.4.6).
func storing() extension {
	return extension{commands: []command{
		{name: "STORE", in: selected, numbered: true, run: runStore},
		{name: "UID STORE", in: selected, run: runStore},
	}}
}

func runStore(ctx context.Context, s *session, c *call) error {
	s.dec.SP()
	set := s.dec.Set()
	s.dec.SP()
	var u mailbox.FlagUpdate
	item := s.dec.Keyword()
	item, silent := strings.CutSuffix(item, ".SILENT")
	switch item {
	case "FLAGS":
		u.Change = mailbox.ReplaceFlags
	case "+FLAGS":
		u.Change = mailbox.AddFlags
	case "-FLAGS":
		u.Change = mailbox.RemoveFlags
	default:
		s.dec.Failf("expected FLAGS, +FLAGS or -FLAGS")
	}
	s.dec.SP()
	flags := s.storeFlags()
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	var err error
	if u.Flags, u.Keywords, err = sortFlags(flags); err != nil {
		return err
	}
	uids, err := s.view.pick(set, c.uid)
	if err != nil {
		return err
	}
	if s.view.readOnly {
		return no("READ-ONLY", "the mailbox was opened with EXAMINE")
	}
	// RFC 9051 section 6.4.6: .SILENT leaves out what the client can work out
	// for itself, so not the flags of messages that others changed, too.
	before := make(map[mailbox.UID]mailbox.Entry)
	if silent {
		entries, err := s.srv.opts.Store.Entries(s.account.ID, s.view.folder, uids)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.ModSeq <= s.view.modSeq {
				before[e.UID] = e
			}
		}
	}
	done, err := s.setFlags(ctx, uids, u)
	if err != nil {
		return err
	}
	for _, e := range done.Entries {
		if known, ok := before[e.UID]; ok {
			if flags, keywords := expected(known, u, &done.Folder); flags == e.Flags && keywords == e.Keywords {
				continue // the client knows
			}
		}
		if n := s.view.number(e.UID); n != 0 {
			s.writeFlags(n, e, &done.Folder, c.uid)
		}
	}
	if len(done.Entries) < len(uids) && !c.uid {
		return no("EXPUNGEISSUED", "some of the messages were expunged meanwhile")
	}
	return nil
}

// expected returns the flags that a STORE makes of a message if nobody else
// changes it at the same moment.
func expected(e mailbox.Entry, u mailbox.FlagUpdate, f *mailbox.Folder) (mailbox.Flags, uint64) {
	var keywords uint64
	for i, have := range f.Keywords {
		if slices.ContainsFunc(u.Keywords, func(k string) bool { return strings.EqualFold(k, have) }) {
			keywords |= 1 << i
		}
	}
	switch u.Change {
	case mailbox.AddFlags:
		return e.Flags | u.Flags, e.Keywords | keywords
	case mailbox.RemoveFlags:
		return e.Flags &^ u.Flags, e.Keywords &^ keywords
	}
	return u.Flags, keywords
}

// storeFlags reads flags with or without parentheses.
func (s *session) storeFlags() []imap.Flag {
	if s.dec.Peek('(') {
		return s.dec.Flags()
	}
	flags := []imap.Flag{s.dec.Flag()}
	for s.dec.Accept(' ') {
		flags = append(flags, s.dec.Flag())
	}
	return flags
}

// setFlags changes flags and notes that the session knows of it. The client
// learns of new keywords before it meets them.
func (s *session) setFlags(ctx context.Context, uids []mailbox.UID, u mailbox.FlagUpdate) (mailbox.Stored, error) {
	done, err := s.srv.opts.Store.SetFlags(ctx, s.account.ID, s.view.folder, uids, u)
	if err != nil {
		return done, err
	}
	s.view.own = append(s.view.own, done.ModSeqs...)
	if len(done.Folder.Keywords) > s.view.keywords {
		s.writeFlagLists(&done.Folder)
	}
	return done, nil
}
