package imapd

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// expunging brings EXPUNGE and, with UIDPLUS, UID EXPUNGE (RFC 4315). The
// EXPUNGE responses are those of any change, see update.
func expunging() extension {
	return extension{
		name: imap.CapUIDPlus,
		commands: []command{
			{name: "EXPUNGE", in: selected, run: runExpunge},
			{name: "UID EXPUNGE", in: selected, run: runExpunge},
		},
	}
}

func runExpunge(ctx context.Context, s *session, c *call) error {
	v := s.view
	var only []mailbox.UID
	if c.uid {
		s.dec.SP()
		set := s.dec.Set()
		var err error
		if s.dec.Err() == nil {
			if only, err = v.pick(set, true); err != nil {
				return err
			}
		}
	}
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	if v.readOnly {
		return no("READ-ONLY", "the mailbox was opened with EXAMINE")
	}
	if c.uid && len(only) == 0 {
		return nil
	}
	done, err := s.srv.opts.Store.Expunge(ctx, s.account.ID, v.folder, only)
	s.took(done.UIDs)
	if err != nil || len(done.UIDs) == 0 || !s.modSeqs {
		return err
	}
	if err := s.update(ctx, true); err != nil {
		return err
	}
	return s.highest(c.name)
}
