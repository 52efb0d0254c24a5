package imapd

import (
	"context"
	"errors"

	"github.com/emersion/go-imap/v2"

	"roost/imapd/wire"
	"roost/mailbox"
)

// update tells the client what changed in the selected mailbox since it was
// last told. Expunged messages are told of only where the protocol allows it
// (RFC 9051 section 7.5.1); until then they keep their numbers.
func (s *session) update(ctx context.Context, expunge bool) error {
	v := s.view
	select {
	case <-v.bell:
		if err := s.readChanges(); err != nil {
			return err
		}
	default:
	}
	switch {
	case !expunge || len(v.gone) == 0:
	case s.has(imap.CapQResync) || s.has(imap.CapUIDOnly):
		s.enc.Raw("* VANISHED ").Ranges(wire.Ranges(v.gone)).Raw("\r\n")
		v.expunge()
	default:
		for _, n := range v.expunge() {
			s.enc.Raw("* ").Number(uint64(n)).Raw(" EXPUNGE\r\n")
		}
	}
	if len(v.changed) == 0 {
		return nil
	}
	if err := s.retell(ctx, v.modSeq); err != nil {
		return err
	}
	f := mailbox.Folder{Keywords: v.names}
	for _, e := range v.changed {
		if n := v.number(e.UID); n != 0 {
			s.writeFlags(n, e, &f, true)
		}
	}
	v.changed, v.names = nil, nil
	return nil
}

// readChanges takes in what changed, and tells what has no modseq. Flags are
// told by update.
func (s *session) readChanges() error {
	v, store := s.view, s.srv.opts.Store
	v.bell = store.Bell(s.account.ID) // before reading: nothing falls between
	c, err := store.Changes(s.account.ID, v.folder, v.modSeq)
	if errors.Is(err, mailbox.ErrNotFound) {
		// RFC 2180 section 3.3: no answer that keeps the connection is right.
		return bye("", "the selected mailbox was deleted")
	}
	if err != nil {
		return err
	}
	added := v.note(c)
	if len(c.Folder.Keywords) > v.keywords {
		s.writeFlagLists(&c.Folder)
	}
	if added > 0 {
		s.claimRecent(c.Folder)
		s.writeExists()
	}
	return nil
}

// upTo prepares for telling modseqs up to m. A client that resynchronises asks
// for what vanished after the highest that it knows, and must not have missed
// what vanished before.
func (s *session) upTo(ctx context.Context, m mailbox.ModSeq) error {
	if !s.has(imap.CapQResync) {
		return nil
	}
	if m > s.view.modSeq {
		if err := s.readChanges(); err != nil {
			return err
		}
	}
	return s.retell(ctx, m)
}

// retell makes the store tell of the messages that are gone once more, as if
// after m, where the client learns of m before it may learn of them.
func (s *session) retell(ctx context.Context, m mailbox.ModSeq) error {
	v := s.view
	if len(v.gone) == 0 || m <= v.missed || !s.has(imap.CapQResync) {
		return nil
	}
	again, err := s.srv.opts.Store.RetellExpunged(ctx, s.account.ID, v.folder, v.gone)
	if err != nil {
		return err
	}
	v.missed = again - 1
	return nil
}

// claimRecent makes the messages that no session was told of \Recent in this
// one, unless it is read-only or beyond \Recent, which IMAP4rev2 has dropped.
func (s *session) claimRecent(f mailbox.Folder) {
	v, store := s.view, s.srv.opts.Store
	if s.has(imap.CapIMAP4rev2) {
		return
	}
	var first mailbox.UID
	if v.readOnly {
		first = store.Recent(s.account.ID, f)
	} else {
		first = store.ClaimRecent(s.account.ID, f)
	}
	v.seeRecent(first, f.UIDNext)
}

func (s *session) writeExists() {
	s.enc.Raw("* ").Number(uint64(s.view.uids.len())).Raw(" EXISTS\r\n")
	if !s.has(imap.CapIMAP4rev2) {
		s.enc.Raw("* ").Number(uint64(s.view.countRecent())).Raw(" RECENT\r\n")
	}
}

// writeFlags writes a FETCH response with a message's flags.
func (s *session) writeFlags(n uint32, e mailbox.Entry, f *mailbox.Folder, uid bool) {
	s.beginFetch(n, e.UID, uid || s.modSeqs)
	s.writeFlagItem(e, f)
	if s.modSeqs {
		s.enc.Raw(" ")
		s.writeModSeq(e)
	}
	s.enc.Raw(")\r\n")
}

func (s *session) writeFlagItem(e mailbox.Entry, f *mailbox.Folder) {
	recent := s.view.isRecent(e.UID)
	s.enc.Append(func(b []byte) []byte {
		b = appendFlags(append(b, "FLAGS ("...), e.Flags, f, e.Keywords)
		if recent {
			if b[len(b)-1] != '(' {
				b = append(b, ' ')
			}
			b = append(b, `\Recent`...)
		}
		return append(b, ')')
	})
}
