package mailbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Format 1 had one row for each message, in the bucket "messages". Format 2 has
// two, and beside each body what searches ask of it. A row is gone from the old
// bucket in the commit that makes the new ones: what is left there is what is
// left to do.
var toFormat2 = migration{
	left: func(tx *tx) int {
		if b := tx.Bucket(bMessages1); b != nil {
			return b.Stats().KeyN
		}
		return 0
	},
	step: func(s *Store) (int, error) { return s.stepToFormat2(stepMessages) },
	done: func(tx *tx) error {
		if err := tx.traceJournal(); err != nil {
			return err
		}
		err := tx.DeleteBucket(bMessages1)
		if errors.Is(err, bolterrors.ErrBucketNotFound) {
			return nil
		}
		return err
	},
}

// traceJournal makes the rows that lead from messages to lines.
func (tx *tx) traceJournal() error {
	return tx.Bucket(bJournal).ForEach(func(k, v []byte) error {
		var l Line
		if err := json.Unmarshal(v, &l); err != nil || l.Message == 0 {
			return err
		}
		return tx.put(bTraces, append(be64(uint64(l.Message)), k...), nil)
	})
}

var bMessages1 = []byte("messages")

// A step ends at whichever comes first.
const (
	stepMessages = 256
	stepBytes    = 8 << 20
)

// parseFacts1 reads a row of format 1.
func parseFacts1(v []byte) (Facts, error) {
	d := decoder{b: v}
	m := Facts{
		Body:       BodyID(d.uvarint()),
		Size:       int64(d.uvarint()),
		HeaderSize: int64(d.uvarint()),
		Date:       d.time(),
		Saved:      d.time(),
		Prefix:     d.bytes(),
		Envelope:   d.bytes(),
		Structure:  d.bytes(),
	}
	return m, d.err("message row")
}

func (s *Store) stepToFormat2(most int) (int, error) {
	type old struct {
		key   []byte
		facts Facts
		body  bodyRow
		what  *analysis
	}
	var rows []old
	size := int64(0)
	err := s.view(func(tx *tx) error {
		b := tx.Bucket(bMessages1)
		if b == nil {
			return nil
		}
		c := b.Cursor()
		for k, v := c.First(); k != nil && len(rows) < most && size < stepBytes; k, v = c.Next() {
			m, err := parseFacts1(bytes.Clone(v))
			if err != nil {
				return err
			}
			body, err := tx.bodyRow(m.Body)
			if err != nil {
				return err
			}
			size += m.Size
			rows = append(rows, old{key: bytes.Clone(k), facts: m, body: body})
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for i := range rows {
		r := &rows[i]
		whole := &Message{s: s, Facts: Facts{Body: r.facts.Body, Size: r.body.raw}, row: r.body}
		if r.what, err = analyse(whole, r.body.raw); err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotFound) && !errors.Is(err, os.ErrNotExist) {
				return 0, err
			}
			// Its rows are all that is left of it. They go on as they are.
			s.log.Warn("a damaged message is in the store", "body", r.facts.Body, "error", err)
			r.what = &analysis{digest: &digest{odd: true}}
		}
	}
	if len(rows) == 0 {
		return 0, nil
	}
	err = s.db.Update(func(t *bbolt.Tx) error {
		tx := txOf(t)
		for i := range rows {
			r := &rows[i]
			id, folder, uid := splitMessageKey(r.key)
			m := r.what.in(r.facts.Body, r.facts.Prefix)
			m.UID, m.Date, m.Saved = uid, r.facts.Date, r.facts.Saved
			m.Size, m.HeaderSize = r.facts.Size, r.facts.HeaderSize
			m.Envelope, m.Structure = r.facts.Envelope, r.facts.Structure
			if err := tx.assignThread(id, &m, &r.what.digest.keys); err != nil {
				return err
			}
			if err := tx.putFacts(id, folder, &m); err != nil {
				return err
			}
			if err := tx.putDigest(m.Body, r.what); err != nil {
				return err
			}
			if err := tx.delete(bMessages1, r.key); err != nil {
				return err
			}
		}
		return nil
	})
	return len(rows), err
}
