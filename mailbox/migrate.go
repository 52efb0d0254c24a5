package mailbox

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"
)

// format is the version of the data model that this program writes.
const format = 1

// migrations[n] brings a store of format n+1 to format n+2, each in a
// transaction of its own together with the new number.
var migrations = [format - 1]func(*bbolt.Tx) error{}

var (
	kFormat   = []byte("format")
	kInstance = []byte("instance")
)

// prepare makes a new store's buckets, or brings an older store up to date. A
// store of a newer format is refused and left as it is.
func prepare(db *bbolt.DB) error {
	var have int
	err := db.Update(func(tx *bbolt.Tx) error {
		if meta := tx.Bucket(bMeta); meta != nil {
			v := meta.Get(kFormat)
			if len(v) != 4 {
				return fmt.Errorf("format number: %w", ErrCorrupt)
			}
			have = int(binary.BigEndian.Uint32(v))
			return nil
		}
		for _, name := range buckets {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		instance := make([]byte, 16)
		rand.Read(instance)
		have = format
		if err := tx.Bucket(bMeta).Put(kInstance, instance); err != nil {
			return err
		}
		return tx.Bucket(bMeta).Put(kFormat, be32(format))
	})
	if err != nil {
		return err
	}
	if have < 1 || have > format {
		return faultf(ErrInvalid, "the store has format %d, and this Roost knows formats 1 to %d: run a newer Roost", have, format)
	}
	for ; have < format; have++ {
		err := db.Update(func(tx *bbolt.Tx) error {
			if err := migrations[have-1](tx); err != nil {
				return err
			}
			return tx.Bucket(bMeta).Put(kFormat, be32(uint32(have)+1))
		})
		if err != nil {
			return fmt.Errorf("bring the store from format %d to %d: %w", have, have+1, err)
		}
	}
	return nil
}
