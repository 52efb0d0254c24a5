package mailbox

import (
	"encoding/binary"

	"go.etcd.io/bbolt"
)

// A walk goes through the rows of one mailbox, asked for in the order of their
// keys: where they follow each other, a step costs no search.
type walk struct {
	c    *bbolt.Cursor
	key  []byte // of the row asked for
	k, v []byte // where the cursor is
}

func (tx *tx) walk(bucket []byte, id AccountID, folder FolderID) *walk {
	return &walk{c: tx.Bucket(bucket).Cursor(), key: messageKey(id, folder, 0)}
}

// at returns the row with the UID, or nil.
func (w *walk) at(uid UID) []byte {
	binary.BigEndian.PutUint32(w.key[8:], uint32(uid))
	if w.k != nil {
		w.k, w.v = w.c.Next()
	}
	if string(w.k) != string(w.key) {
		w.k, w.v = w.c.Seek(w.key)
	}
	if string(w.k) != string(w.key) {
		return nil
	}
	return w.v
}
