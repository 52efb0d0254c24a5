package mailbox

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// format is the version of the data model that this program writes.
const format = 2

// A migration brings a store to the next format in steps. Each step commits a
// bounded piece of the work with all that it needs to be found done, so that
// the process may be killed between any two, and goes on where it was. It may
// read packs; nobody else uses the store meanwhile.
type migration struct {
	// left tells how many rows wait to be migrated.
	left func(*tx) int
	// step migrates some rows and returns how many; 0 when none is left.
	step func(*Store) (int, error)
	// done takes away what the old format needs, in one commit with the number
	// of the new one.
	done func(*tx) error
}

// migrations[n] brings a store of format n+1 to format n+2.
var migrations = [format - 1]migration{toFormat2}

var (
	kFormat     = []byte("format")
	kInstance   = []byte("instance")
	kForwarding = []byte("forwarding")
)

// prepare makes a new store's buckets, and those that an older one lacks. A
// store of a newer format is refused and left as it is.
func prepare(db *bbolt.DB) error {
	return db.Update(func(tx *bbolt.Tx) error {
		if tx.Bucket(bMeta) == nil {
			meta, err := tx.CreateBucket(bMeta)
			if err != nil {
				return err
			}
			instance := make([]byte, 16)
			rand.Read(instance)
			if err := meta.Put(kInstance, instance); err != nil {
				return err
			}
			if err := meta.Put(kFormat, be32(format)); err != nil {
				return err
			}
		}
		if meta := tx.Bucket(bMeta); meta.Get(kForwarding) == nil {
			key := make([]byte, 32)
			rand.Read(key)
			if err := meta.Put(kForwarding, key); err != nil {
				return err
			}
		}
		have, err := formatOf(tx)
		if err != nil {
			return err
		}
		if have < 1 || have > format {
			return faultf(ErrInvalid, "the store has format %d, and this Roost knows formats 1 to %d: run a newer Roost", have, format)
		}
		for _, name := range buckets {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
}

func formatOf(tx *bbolt.Tx) (int, error) {
	v := tx.Bucket(bMeta).Get(kFormat)
	if len(v) != 4 {
		return 0, fmt.Errorf("format number: %w", ErrCorrupt)
	}
	return int(binary.BigEndian.Uint32(v)), nil
}

// migrate brings an older store up to date. It runs before the writer starts.
func (s *Store) migrate() error {
	for {
		var have, left int
		err := s.view(func(tx *tx) (err error) {
			if have, err = formatOf(tx.Tx); err == nil && have < format {
				left = migrations[have-1].left(tx)
			}
			return err
		})
		if err != nil || have == format {
			return err
		}
		if err := s.migrateFrom(have, left); err != nil {
			return fmt.Errorf("bring the store from format %d to %d: %w", have, have+1, err)
		}
	}
}

func (s *Store) migrateFrom(have, left int) error {
	m := migrations[have-1]
	s.log.Info("bringing the store to a newer format", "from", have, "to", have+1, "rows", left)
	begun, told, done := time.Now(), time.Now(), 0
	for {
		n, err := m.step(s)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if done += n; time.Since(told) > 5*time.Second {
			told = time.Now()
			s.log.Info("bringing the store to a newer format", "done", done, "of", left)
		}
	}
	err := s.db.Update(func(t *bbolt.Tx) error {
		if err := m.done(txOf(t)); err != nil {
			return err
		}
		return t.Bucket(bMeta).Put(kFormat, be32(uint32(have)+1))
	})
	if err == nil {
		s.log.Info("the store has the newer format", "format", have+1, "rows", done, "took", time.Since(begun).Round(time.Millisecond))
	}
	return err
}
