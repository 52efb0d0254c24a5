package mailbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"
)

// Corner is a part of the store that belongs to one room, which keeps there
// what only it understands: certificates, a cache of policies. Keys are any
// bytes up to 1 KB, values up to 16 MB.
type Corner struct {
	s    *Store
	name string
}

// Corner opens the part with the given name.
func (s *Store) Corner(name string) Corner { return Corner{s, name} }

func (c Corner) key(key string) []byte { return append(append([]byte(c.name), 0), key...) }

// Put keeps a value, durable when it returns nil. ErrInvalid for a key or a
// value that is too long.
func (c Corner) Put(ctx context.Context, key string, value []byte) error {
	if len(key) > 1<<10 || len(value) > 16<<20 {
		return faultf(ErrInvalid, "%s: a key has at most 1 KB and a value at most 16 MB", c.name)
	}
	row := append(be64(uint64(time.Now().UnixNano())), value...)
	return c.s.update(ctx, func(tx *tx) error { return tx.put(bCorners, c.key(key), row) })
}

// Get returns a value and when it was put. ErrNotFound.
func (c Corner) Get(_ context.Context, key string) (value []byte, put time.Time, err error) {
	err = c.s.view(func(tx *tx) error {
		v := tx.Bucket(bCorners).Get(c.key(key))
		if len(v) < 8 {
			return faultf(ErrNotFound, "%s: there is no %s", c.name, key)
		}
		put = time.Unix(0, int64(binary.BigEndian.Uint64(v)))
		value = bytes.Clone(v[8:])
		return nil
	})
	return value, put, err
}

// Delete removes a key, which need not be there.
func (c Corner) Delete(ctx context.Context, key string) error {
	return c.s.update(ctx, func(tx *tx) error { return tx.delete(bCorners, c.key(key)) })
}

// List returns the keys that begin with prefix, in order.
func (c Corner) List(_ context.Context, prefix string) ([]string, error) {
	var keys []string
	at := len(c.name) + 1
	err := c.s.view(func(tx *tx) error {
		return tx.each(bCorners, c.key(prefix), func(k, _ []byte) error {
			keys = append(keys, string(k[at:]))
			return nil
		})
	})
	return keys, err
}
