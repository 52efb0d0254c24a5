package imapd

import (
	"context"
	"errors"
	"slices"

	"github.com/emersion/go-imap/v2"

	"roost/imapd/wire"
	"roost/mailbox"
)

// update tells the client what changed since it was last told, in the selected
// mailbox and in others that it watches. Expunged messages are told of only where
// the protocol allows it (RFC 9051 section 7.5.1); until then they keep their
// numbers.
func (s *session) update(ctx context.Context, expunge bool) error {
	if s.view != nil && !s.frozen() {
		if err := s.updateSelected(ctx, expunge); err != nil {
			return err
		}
	}
	return s.tellOthers()
}

func (s *session) updateSelected(ctx context.Context, expunge bool) error {
	v := s.view
	select {
	case <-v.bell:
		if err := s.readChanges(); err != nil {
			return err
		}
	default:
	}
	if expunge && len(v.gone) > 0 {
		s.writeGone(v.gone)
		v.gone = nil
	}
	if len(v.arrived) > 0 {
		if err := s.arrived(ctx); err != nil {
			return err
		}
	}
	if s.notify != nil && s.notify.selected&flagChange == 0 {
		v.changed = nil
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

// writeGone tells that messages are gone and takes them out of the view.
func (s *session) writeGone(gone []mailbox.UID) {
	numbers := s.view.expunge(gone)
	if s.has(imap.CapQResync) || s.has(imap.CapUIDOnly) {
		s.enc.Raw("* VANISHED ").Ranges(wire.Ranges(gone)).Raw("\r\n")
		return
	}
	for _, n := range numbers {
		s.enc.Raw("* ").Number(uint64(n)).Raw(" EXPUNGE\r\n")
	}
}

// took is told by the session's own commands which messages they took away. Who
// does not want to hear of the selected mailbox hears of these alone.
func (s *session) took(uids []mailbox.UID) {
	if !s.frozen() {
		return
	}
	v := s.view
	uids = slices.DeleteFunc(slices.Clone(uids), func(uid mailbox.UID) bool { return v.number(uid) == 0 })
	if len(uids) > 0 {
		v.gone = slices.DeleteFunc(v.gone, func(uid mailbox.UID) bool { return slices.Contains(uids, uid) })
		s.writeGone(uids)
	}
}

// brought is told by the session's own commands which messages they put into a
// mailbox.
func (s *session) brought(folder mailbox.FolderID, uids []mailbox.UID) {
	if s.isSelected(folder) {
		if s.notify != nil && s.notify.atts != nil {
			s.view.brought = append(s.view.brought, uids...)
		}
		return
	}
	s.ownMessages(folder, uids)
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
		if s.notify != nil && s.notify.atts != nil {
			for _, uid := range v.uids.appendTo(nil, v.uids.len()-added, v.uids.len()) {
				if !slices.Contains(v.brought, uid) {
					v.arrived = append(v.arrived, uid)
				}
			}
			v.brought = nil
		}
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
	switch v := s.view; {
	case m <= v.modSeq:
	case s.frozen():
		c, err := s.srv.opts.Store.Changes(s.account.ID, v.folder, v.modSeq)
		if err != nil {
			return err
		}
		v.miss(c.Vanished)
	default:
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
