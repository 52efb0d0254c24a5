package imapd

import (
	"context"
	"errors"

	"github.com/emersion/go-imap/v2"

	"roost/imapd/wire"
	"roost/mailbox"
)

// replacing brings REPLACE (RFC 8508): a message takes the place of another in
// one commit, as editors of drafts want it.
func replacing() extension {
	return extension{
		name: imap.CapReplace,
		commands: []command{
			{name: "REPLACE", in: selected, counts: true, run: runReplace},
			{name: "UID REPLACE", in: selected, run: runReplace},
		},
	}
}

func runReplace(ctx context.Context, s *session, c *call) error {
	s.dec.SP()
	n := s.dec.NonZero()
	s.dec.SP()
	name := s.mailboxName()
	v := s.view
	uids, err := v.pick(wire.Set{Ranges: []wire.Range{{First: n, Last: n}}}, c.uid)
	if err == nil && len(uids) == 0 {
		err = no("NONEXISTENT", "there is no message with the UID %d", n)
	}
	if err == nil && v.readOnly {
		err = no("READ-ONLY", "the mailbox was opened with EXAMINE")
	}
	var u upload
	defer u.close()
	u.refused = err
	if err := s.receive(&u, name); err != nil {
		return err
	}
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	u.all[0].Place[0].Replaces = &mailbox.Replaced{Folder: v.folder, UID: uids[0]}
	done, err := s.srv.opts.Store.AcceptAll(ctx, u.all)
	if errors.Is(err, mailbox.ErrNotFound) {
		if _, ferr := s.srv.opts.Store.FolderNamed(s.account.ID, name); ferr != nil {
			return no("TRYCREATE", "%v", ferr)
		}
		return no("EXPUNGEISSUED", "%v", err)
	}
	if err != nil {
		return err
	}
	// RFC 8508 section 3.3: before the EXISTS and EXPUNGE that follow.
	s.writeResponse("*", &response{"OK", appendUID(done), "replaced"})
	s.brought(u.folder, appended(done))
	s.took(uids)
	if !s.modSeqs {
		return nil
	}
	if err := s.update(ctx, true); err != nil {
		return err
	}
	return s.highest(c.name)
}
