package imapd

import (
	"context"
	"errors"

	"github.com/emersion/go-imap/v2"

	"roost/imapd/wire"
	"roost/mailbox"
)

// copying brings COPY (RFC 9051 section 6.4.7) and MOVE (RFC 6851). A MOVE
// renumbers messages only after its own work, so EXPUNGE may follow both.
func copying() extension {
	return extension{
		name: imap.CapMove,
		commands: []command{
			{name: "COPY", in: selected, counts: true, run: runCopy},
			{name: "UID COPY", in: selected, run: runCopy},
			{name: "MOVE", in: selected, counts: true, run: runMove},
			{name: "UID MOVE", in: selected, run: runMove},
		},
	}
}

func runCopy(ctx context.Context, s *session, c *call) error {
	uids, to, err := s.copyArgs(c)
	if err != nil {
		return err
	}
	done, err := s.srv.opts.Store.Copy(ctx, s.account.ID, s.view.folder, uids, to)
	if err != nil {
		return s.tryCreate(err, to)
	}
	if len(done.From) == 0 {
		return nothingCopied(uids)
	}
	s.brought(done.Dest, done.To)
	return ok(copyUID(done), "COPY completed")
}

func runMove(ctx context.Context, s *session, c *call) error {
	uids, to, err := s.copyArgs(c)
	if err != nil {
		return err
	}
	if s.view.readOnly {
		return no("READ-ONLY", "the mailbox was opened with EXAMINE")
	}
	done, err := s.srv.opts.Store.Move(ctx, s.account.ID, s.view.folder, uids, to)
	if err != nil {
		return s.tryCreate(err, to)
	}
	if len(done.From) == 0 {
		return nothingCopied(uids)
	}
	// RFC 6851 section 4.3: before the EXPUNGE responses, which follow.
	s.writeResponse("*", &response{"OK", copyUID(done), "moved"})
	s.brought(done.Dest, done.To)
	s.took(done.From)
	if !s.modSeqs {
		return nil
	}
	if err := s.update(ctx, true); err != nil {
		return err
	}
	return s.highest(c.name)
}

func (s *session) copyArgs(c *call) ([]mailbox.UID, string, error) {
	s.dec.SP()
	set := s.dec.Set()
	s.dec.SP()
	to := s.mailboxName()
	if err := s.dec.EndLine(); err != nil {
		return nil, "", err
	}
	uids, err := s.view.pick(set, c.uid)
	return uids, to, err
}

// tryCreate adds TRYCREATE where the mailbox that is missing is not the
// selected one.
func (s *session) tryCreate(err error, name string) error {
	if !errors.Is(err, mailbox.ErrNotFound) {
		return err
	}
	if _, ferr := s.srv.opts.Store.FolderNamed(s.account.ID, name); errors.Is(ferr, mailbox.ErrNotFound) {
		return no("TRYCREATE", "%v", ferr)
	}
	return err
}

func nothingCopied(asked []mailbox.UID) error {
	if len(asked) == 0 {
		return nil
	}
	return no("EXPUNGEISSUED", "the messages were expunged meanwhile")
}

// copyUID renders COPYUID: the n-th UID of the one set became the n-th of the
// other (RFC 4315 section 3).
func copyUID(c mailbox.Copied) string {
	b := append([]byte("COPYUID "), decimal(c.UIDValidity)...)
	b = wire.AppendRanges(append(b, ' '), wire.Ranges(c.From))
	return string(wire.AppendRanges(append(b, ' '), wire.Ranges(c.To)))
}
