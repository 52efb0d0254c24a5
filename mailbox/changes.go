package mailbox

import (
	"context"
	"encoding/binary"
	"slices"
	"time"
)

// Snapshot is a mailbox at one moment.
type Snapshot struct {
	Folder  Folder
	Entries []Entry // in UID order: Entries[n-1] has sequence number n
}

// Snapshot reads a mailbox's entries. ErrNotFound.
func (s *Store) Snapshot(id AccountID, folder FolderID) (Snapshot, error) {
	var snap Snapshot
	err := s.view(func(tx *tx) (err error) {
		if snap.Folder, err = tx.folder(id, folder); err != nil {
			return err
		}
		snap.Entries, err = tx.appendEntries(make([]Entry, 0, snap.Folder.Messages), id, folder)
		return err
	})
	return snap, err
}

// Changes is what happened in a mailbox after a modseq.
type Changes struct {
	Folder   Folder
	Changed  []Entry // new messages and changed ones, in UID order
	Vanished []UID   // expunged ones, in order, also those that came and went since, and for an old modseq all that are not there
}

// Changes tells what happened in a mailbox since the caller saw it at modseq
// since, the HighestModSeq of an earlier answer; 0 gives everything.
// ErrNotFound when the mailbox is gone.
func (s *Store) Changes(id AccountID, folder FolderID, since ModSeq) (Changes, error) {
	var c Changes
	err := s.view(func(tx *tx) (err error) {
		c = Changes{}
		if c.Folder, err = tx.folder(id, folder); err != nil || c.Folder.HighestModSeq <= since {
			return err
		}
		prefix := folderKey(id, folder)
		err = tx.each(bFlags, prefix, func(k, v []byte) error {
			highest, entries, err := parseBlock(k, v)
			if err != nil || highest <= since {
				return err
			}
			for e := range entries {
				if e.ModSeq > since {
					c.Changed = append(c.Changed, e)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if since < tx.expungedFloor(id, folder) {
			c.Vanished, err = tx.absent(id, &c.Folder)
			return err
		}
		cur := tx.Bucket(bExpunged).Cursor()
		for k, v := cur.Seek(expungedKey(id, folder, since+1)); len(k) == 16 && string(k[:8]) == string(prefix); k, v = cur.Next() {
			d := decoder{b: v}
			for uid := UID(0); len(d.b) > 0; {
				uid += UID(d.uvarint())
				c.Vanished = append(c.Vanished, uid)
			}
			if err := d.err("row of expunged messages"); err != nil {
				return err
			}
		}
		slices.Sort(c.Vanished)
		c.Vanished = slices.Compact(c.Vanished)
		return nil
	})
	return c, err
}

func expungedKey(id AccountID, folder FolderID, m ModSeq) []byte {
	return binary.BigEndian.AppendUint64(folderKey(id, folder), uint64(m))
}

// Expunged is what an EXPUNGE did.
type Expunged struct {
	Folder Folder // as it is now
	UIDs   []UID  // in order
}

// expungePiece is how many messages are expunged in one piece.
const expungePiece = 128

// Expunge removes the messages that are \Deleted, for good; with uids (in
// order) only those among them (UID EXPUNGE, RFC 4315). Many are removed in
// pieces, each with its own modseq; after an error, those in the answer are
// gone. ErrNotFound.
func (s *Store) Expunge(ctx context.Context, id AccountID, folder FolderID, uids []UID) (Expunged, error) {
	snap, err := s.Snapshot(id, folder)
	if err != nil {
		return Expunged{}, err
	}
	out := Expunged{Folder: snap.Folder}
	var want []UID
	for _, e := range snap.Entries {
		if e.Flags&Deleted == 0 {
			continue
		}
		if _, ok := slices.BinarySearch(uids, e.UID); ok || uids == nil {
			want = append(want, e.UID)
		}
	}
	var pieces []func(*tx) error
	var parts []*Expunged
	for part := range slices.Chunk(want, expungePiece) {
		done := new(Expunged)
		parts = append(parts, done)
		pieces = append(pieces, expunge(done, id, folder, part, Deleted))
	}
	n, err := s.updatePieces(ctx, pieces)
	for _, p := range parts[:n] {
		out.Folder = p.Folder
		out.UIDs = append(out.UIDs, p.UIDs...)
	}
	return out, err
}

// expunge is one piece of Expunge: it removes those of some messages that are
// still there and have the flags.
func expunge(out *Expunged, id AccountID, folder FolderID, uids []UID, flags Flags) func(*tx) error {
	return func(tx *tx) error {
		*out = Expunged{}
		f, err := tx.folder(id, folder)
		if err != nil {
			return err
		}
		var gone []Entry
		for i, uid := range uids {
			if i > 0 && uid/blockUIDs == uids[i-1]/blockUIDs {
				continue
			}
			block, err := tx.block(id, folder, uid)
			if err != nil {
				return err
			}
			for _, e := range block {
				if _, ok := slices.BinarySearch(uids, e.UID); ok && e.Flags&flags == flags {
					gone = append(gone, e)
					out.UIDs = append(out.UIDs, e.UID)
				}
			}
		}
		if len(gone) > 0 {
			keep, err := tx.keeps()
			if err != nil {
				return err
			}
			if f, err = tx.removeEntries(id, f, gone, keep); err != nil {
				return err
			}
		}
		out.Folder = f
		return nil
	}
}

// RetellExpunged notes once more, with a new modseq, which is returned, that
// messages were expunged: for a caller who had to speak of later changes before
// it could speak of them. The UIDs are in order. ErrNotFound when the mailbox
// is gone.
func (s *Store) RetellExpunged(ctx context.Context, id AccountID, folder FolderID, uids []UID) (ModSeq, error) {
	var row []byte
	before := UID(0)
	for _, uid := range uids {
		row = binary.AppendUvarint(row, uint64(uid-before))
		before = uid
	}
	var modSeq ModSeq
	err := s.update(ctx, func(tx *tx) error {
		f, err := tx.folder(id, folder)
		if err != nil {
			return err
		}
		for _, uid := range uids {
			if v := tx.Bucket(bFacts).Get(messageKey(id, folder, uid)); v != nil && !isGone(v) {
				return faultf(ErrInvalid, "message %d is still there", uid)
			}
		}
		if modSeq, err = tx.advance(id); err != nil {
			return err
		}
		if err := tx.put(bExpunged, expungedKey(id, folder, modSeq), row); err != nil {
			return err
		}
		f.HighestModSeq = modSeq
		return tx.putFolder(id, f)
	})
	return modSeq, err
}

// removeEntries takes messages (in UID order) out of a mailbox, leaving a row
// that tells of it. With keep they can be had back, see Undelete; otherwise their
// rows go, and somebody else has what they had of their bodies.
func (tx *tx) removeEntries(id AccountID, f Folder, gone []Entry, keep bool) (Folder, error) {
	modSeq, err := tx.advance(id)
	if err != nil {
		return f, err
	}
	st, err := tx.state(id)
	if err != nil {
		return f, err
	}
	var row []byte
	before := UID(0)
	for left := gone; len(left) > 0; {
		block, err := tx.block(id, f.ID, left[0].UID)
		if err != nil {
			return f, err
		}
		n := 0
		kept := block[:0:0]
		for _, e := range block {
			if n == len(left) || left[n].UID != e.UID {
				kept = append(kept, e)
				continue
			}
			n++
			m, err := tx.remove(id, f.ID, e.UID, keep)
			if err != nil {
				return f, err
			}
			f.count(e, -1)
			f.Bytes -= m.Size
			st.messages--
			st.bytes -= m.Size
			row = binary.AppendUvarint(row, uint64(e.UID-before))
			before = e.UID
		}
		if n == 0 {
			return f, faultf(ErrCorrupt, "mailbox %s: message %d is not in its block", f.Name, left[0].UID)
		}
		if err := tx.putBlock(id, f.ID, left[0].UID, kept); err != nil {
			return f, err
		}
		left = left[n:]
	}
	if keep {
		k := kept{when: time.Now(), account: id, folder: f.ID, modSeq: modSeq, name: f.Name, keywords: f.Keywords, entries: gone}
		if err := tx.putKept(&k); err != nil {
			return f, err
		}
	}
	if err := tx.put(bExpunged, expungedKey(id, f.ID, modSeq), row); err != nil {
		return f, err
	}
	if err := tx.putState(id, st); err != nil {
		return f, err
	}
	f.HighestModSeq = modSeq
	return f, tx.putFolder(id, f)
}

// remove takes one message's rows away, or hides them.
func (tx *tx) remove(id AccountID, folder FolderID, uid UID, keep bool) (Facts, error) {
	if keep {
		return tx.hide(id, folder, uid)
	}
	m, err := tx.dropFacts(id, folder, uid)
	if err != nil {
		return m, err
	}
	return m, tx.release(m.Body)
}
