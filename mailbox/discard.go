package mailbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"
)

// A large mailbox is deleted in two steps, so that nobody waits behind it. It
// goes out of sight in one commit, with its name and its part in the account's
// counters; a row in the bucket "discarded" keeps its numbers, by which a job
// empties it piece by piece, also after a restart.

// discardPiece is how many rows are removed in one commit. Each message is some
// rows, and its body another one that may lie anywhere.
const discardPiece = 128

// discard empties a mailbox that is out of sight, or leaves it to the job.
func (tx *tx) discard(id AccountID, f Folder, keep bool) error {
	prefix := folderKey(id, f.ID)
	if keep && f.Messages > 0 || tx.hasGone(prefix) && keep {
		r := kept{when: time.Now(), name: f.Name, keywords: f.Keywords}
		return tx.put(bDiscarded, prefix, r.discardedValue())
	}
	if f.Messages > discardPiece || tx.hasGone(prefix) {
		tx.wake = true
		return tx.put(bDiscarded, prefix, nil)
	}
	for {
		if done, err := tx.empty(prefix); done || err != nil {
			return err
		}
	}
}

// A row of "discarded" that has a value tells since when the mailbox is kept, its
// name and its keywords; without one, it is to be emptied now.
func (k *kept) discardedValue() []byte {
	b := be64(uint64(k.when.UnixNano()))
	return appendStrings(appendBytes(b, []byte(k.name)), k.keywords)
}

func parseDiscarded(k, v []byte) (*kept, error) {
	if len(k) != 8 || len(v) != 0 && len(v) < 8 {
		return nil, faultf(ErrCorrupt, "row of a deleted mailbox")
	}
	r := new(kept)
	r.account, r.folder = splitFolderKey(k)
	if len(v) == 0 {
		return r, nil
	}
	d := decoder{b: v[8:]}
	r.when = time.Unix(0, int64(binary.BigEndian.Uint64(v))).UTC()
	r.name, r.keywords = d.string(), d.strings()
	return r, d.err("row of a deleted mailbox")
}

// hasGone tells whether a mailbox has messages that were expunged and are kept.
func (tx *tx) hasGone(prefix []byte) bool {
	c := tx.Bucket(bFacts).Cursor()
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if isGone(v) {
			return true
		}
	}
	return false
}

// empty removes some of the rows of a mailbox; done says that none is left.
func (tx *tx) empty(prefix []byte) (done bool, err error) {
	left := discardPiece
	c := tx.Bucket(bFacts).Cursor()
	var uids []UID
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix) && left > 0; k, v = c.Next() {
		m, err := parseRow(k, v)
		if err != nil {
			return false, err
		}
		uids = append(uids, m.UID)
		left--
	}
	id, folder := splitFolderKey(prefix)
	for _, uid := range uids {
		m, err := tx.dropFacts(id, folder, uid)
		if err != nil {
			return false, err
		}
		if err := tx.release(m.Body); err != nil {
			return false, err
		}
	}
	for _, b := range [][]byte{bFlags, bExpunged} {
		var keys [][]byte
		c := tx.Bucket(b).Cursor()
		for k, _ := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix) && left > 0; k, _ = c.Next() {
			keys = append(keys, bytes.Clone(k))
			left--
		}
		for _, k := range keys {
			if err := tx.delete(b, k); err != nil {
				return false, err
			}
		}
	}
	return left > 0, nil
}

// emptyDiscarded is the job that empties what was deleted.
func (s *Store) emptyDiscarded(ctx context.Context) error {
	for {
		var prefix []byte
		err := s.view(func(tx *tx) error {
			until, err := s.keptSince(tx)
			if err != nil {
				return err
			}
			return tx.each(bDiscarded, nil, func(k, v []byte) error {
				r, err := parseDiscarded(k, v)
				if err == nil && prefix == nil && !r.when.After(until) {
					prefix = bytes.Clone(k)
				}
				return err
			})
		})
		if err != nil || prefix == nil {
			return err
		}
		err = s.updateBulk(ctx, func(tx *tx) error {
			done, err := tx.empty(prefix)
			if err != nil || !done {
				return err
			}
			return tx.delete(bDiscarded, prefix)
		})
		if err != nil {
			return err
		}
	}
}

// checkDiscarded counts what deleted mailboxes still hold.
func (tx *tx) checkDiscarded(r *Report, refs map[BodyID]int64) (messages, blocks int, err error) {
	err = tx.each(bDiscarded, nil, func(prefix, _ []byte) error {
		if tx.Bucket(bFolders).Get(prefix) != nil {
			r.problem("mailbox %x is deleted, and is still there", prefix)
		}
		err := tx.each(bFacts, prefix, func(k, v []byte) error {
			m, err := parseRow(k, v)
			if err != nil {
				r.problem("deleted mailbox %x: %v", prefix, err)
				return nil
			}
			refs[m.Body]++
			messages++
			return nil
		})
		if err != nil {
			return err
		}
		return tx.each(bFlags, prefix, func(_, _ []byte) error { blocks++; return nil })
	})
	return messages, blocks, err
}
