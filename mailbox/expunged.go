package mailbox

import (
	"bytes"
	"context"
	"encoding/binary"
)

// Rows of expunged UIDs are kept for the last operations of each mailbox. Who
// asks for changes since an older modseq is told that every UID which is not there
// is gone: more than it may have known, and nothing less (RFC 7162 5.3).

const (
	// expungedRows is how many rows a mailbox may have before the oldest go.
	expungedRows     = 4096
	expungedRowsKept = 2048
)

// expungedFloor is the modseq of the last row that was given up; it lies in the
// row of modseq 0, which no operation has.
func (tx *tx) expungedFloor(id AccountID, folder FolderID) ModSeq {
	n, _ := binary.Uvarint(tx.Bucket(bExpunged).Get(expungedKey(id, folder, 0)))
	return ModSeq(n)
}

// absent lists the UIDs that a mailbox may have had and has not.
func (tx *tx) absent(id AccountID, f *Folder) ([]UID, error) {
	var gone []UID
	next := UID(1)
	err := tx.each(bFlags, folderKey(id, f.ID), func(k, v []byte) error {
		_, entries, err := parseBlock(k, v)
		if err != nil {
			return err
		}
		for e := range entries {
			for ; next < e.UID; next++ {
				gone = append(gone, next)
			}
			next = e.UID + 1
		}
		return nil
	})
	for ; next < f.UIDNext; next++ {
		gone = append(gone, next)
	}
	return gone, err
}

// giveUpExpunged is the job that bounds the rows.
func (s *Store) giveUpExpunged(ctx context.Context) error {
	var many [][]byte // mailboxes
	err := s.view(func(tx *tx) error {
		var folder []byte
		rows := 0
		return tx.each(bExpunged, nil, func(k, _ []byte) error {
			if len(k) != 16 {
				return nil
			}
			if !bytes.Equal(k[:8], folder) {
				folder, rows = bytes.Clone(k[:8]), 0
			}
			if rows++; rows == expungedRows+1 {
				many = append(many, folder)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, folder := range many {
		for left := true; left; {
			err := s.updateBulk(ctx, func(tx *tx) (err error) {
				left, err = tx.giveUpExpunged(folder)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// giveUpExpunged gives up some of the oldest rows of a mailbox, and tells whether
// there are more to go.
func (tx *tx) giveUpExpunged(folder []byte) (left bool, err error) {
	var keys [][]byte
	rows := 0
	err = tx.each(bExpunged, folder, func(k, _ []byte) error {
		if rows++; len(keys) < expungePiece && binary.BigEndian.Uint64(k[8:]) != 0 {
			keys = append(keys, bytes.Clone(k))
		}
		return nil
	})
	if err != nil || rows <= expungedRowsKept+1 {
		return false, err
	}
	keys = keys[:min(len(keys), rows-1-expungedRowsKept)]
	for _, k := range keys {
		if err := tx.delete(bExpunged, k); err != nil {
			return false, err
		}
	}
	if len(keys) == 0 {
		return false, nil
	}
	floor := binary.BigEndian.Uint64(keys[len(keys)-1][8:])
	id, f := splitFolderKey(folder)
	return true, tx.put(bExpunged, expungedKey(id, f, 0), binary.AppendUvarint(nil, floor))
}
