package imapd

import (
	"context"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"roost/imapd/wire"
	"roost/mailbox"
)

// storing brings STORE (RFC 9051 section 6.4.6).
func storing() extension {
	return extension{commands: []command{
		{name: "STORE", in: selected, numbered: true, counts: true, run: runStore},
		{name: "UID STORE", in: selected, run: runStore},
	}}
}

func runStore(ctx context.Context, s *session, c *call) error {
	s.dec.SP()
	set := s.dec.Set()
	s.dec.SP()
	var u mailbox.FlagUpdate
	if s.dec.Peek('(') {
		u.UnchangedSince = s.storeModifier()
		s.dec.SP()
	}
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
	if u.UnchangedSince != nil {
		s.useModSeq()
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
	var before []mailbox.Entry // in UID order
	if silent {
		if before, err = s.srv.opts.Store.Entries(s.account.ID, s.view.folder, uids); err != nil {
			return err
		}
		before = slices.DeleteFunc(before, func(e mailbox.Entry) bool { return e.ModSeq > s.view.modSeq })
	}
	done, err := s.setFlags(ctx, uids, u)
	if err != nil {
		return err
	}
	if s.modSeqs {
		if err := s.upTo(ctx, newest(done.Entries)); err != nil {
			return err
		}
	}
	for _, e := range done.Entries {
		for len(before) > 0 && before[0].UID < e.UID {
			before = before[1:]
		}
		if len(before) > 0 && before[0].UID == e.UID {
			known := before[0]
			if flags, keywords := expected(known, u, &done.Folder); flags == e.Flags && keywords == e.Keywords {
				// The client knows all but the modseq (RFC 7162 section 3.1.3).
				if s.modSeqs && (u.UnchangedSince != nil || slices.Contains(done.ModSeqs, e.ModSeq)) {
					s.writeOnlyModSeq(e)
				}
				continue
			}
		}
		if n := s.view.number(e.UID); n != 0 {
			s.writeFlags(n, e, &done.Folder, c.uid)
		}
	}
	expunged := len(done.Entries)+len(done.Modified) < len(uids) && !c.uid
	switch {
	case len(done.Modified) > 0 && expunged:
		return no(s.modified(done.Modified, c.uid), "some messages were changed and some expunged meanwhile")
	case len(done.Modified) > 0:
		return ok(s.modified(done.Modified, c.uid), "some messages were changed meanwhile")
	case expunged:
		return no("EXPUNGEISSUED", "some of the messages were expunged meanwhile")
	}
	return nil
}

// storeModifier reads (UNCHANGEDSINCE modseq).
func (s *session) storeModifier() *mailbox.ModSeq {
	var since *mailbox.ModSeq
	s.dec.List(func() {
		if name := s.dec.Keyword(); name != "UNCHANGEDSINCE" || since != nil {
			s.dec.Failf("expected one UNCHANGEDSINCE")
		}
		s.dec.SP()
		n := mailbox.ModSeq(s.dec.Number64())
		since = &n
	})
	if since == nil {
		s.dec.Failf("expected UNCHANGEDSINCE")
	}
	return since
}

// modified names the messages that UNCHANGEDSINCE left alone.
func (s *session) modified(uids []mailbox.UID, uid bool) string {
	numbers := make([]uint32, 0, len(uids))
	for _, u := range uids {
		if n := uint32(u); uid {
			numbers = append(numbers, n)
		} else if n = s.view.number(u); n != 0 {
			numbers = append(numbers, n)
		}
	}
	return string(wire.AppendRanges([]byte("MODIFIED "), wire.Ranges(numbers)))
}

// writeOnlyModSeq writes a FETCH response with a message's modseq.
func (s *session) writeOnlyModSeq(e mailbox.Entry) {
	if n := s.view.number(e.UID); n != 0 {
		s.beginFetch(n, e.UID, true)
		s.writeModSeq(e)
		s.enc.Raw(")\r\n")
	}
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
