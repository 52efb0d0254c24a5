package mailbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// What is read ahead is the leaves that have the keys, and no others but for the
// first, which may end before them.
func TestReadAheadFindsTheLeaves(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	var uids []UID
	for i := range 3000 {
		uids = append(uids, UID(i+1))
	}
	fill(t, s, ann.ID, len(uids))
	r := rand.New(rand.NewPCG(1, 2))
	for _, bucket := range [][]byte{bFacts, bViews, bFlags, bMeta} {
		err := s.view(func(tx *tx) error {
			p := pageReader{file: s.reads.file, size: int64(tx.DB().Info().PageSize)}
			root := uint64(tx.Bucket(bucket).Root())
			if root == 0 {
				return nil
			}
			if got, want := len(p.leaves(root, nil, bytes.Repeat([]byte{0xFF}, 20))), tx.Bucket(bucket).Stats().LeafPageN; got != want {
				t.Errorf("%s has %d leaves, not %d", bucket, want, got)
			}
			for range 200 {
				first := UID(r.IntN(3100))
				last := first + UID(r.IntN(1000))
				from, to := messageKey(ann.ID, InboxID, first), messageKey(ann.ID, InboxID, last)
				var got [][]byte
				for i, page := range p.leaves(root, from, to) {
					keys := p.keys(t, page)
					if i > 0 && (bytes.Compare(keys[0], from) <= 0 || bytes.Compare(keys[0], to) > 0) {
						t.Errorf("%s: a page is asked for that has nothing of it", bucket)
					}
					got = append(got, keys...)
				}
				err := tx.each(bucket, nil, func(k, _ []byte) error {
					if bytes.Compare(k, from) >= 0 && bytes.Compare(k, to) <= 0 && !slices.ContainsFunc(got, func(g []byte) bool { return bytes.Equal(g, k) }) {
						return fmt.Errorf("%s: no page of %x is asked for", bucket, k)
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}

	read := func() (all []Facts, found []UID) {
		if err := s.Facts(ann.ID, InboxID, uids, func(m *Facts) error {
			one := *m
			one.Prefix, one.Envelope, one.Structure, one.Preview = nil, bytes.Clone(m.Envelope), nil, nil
			all = append(all, one)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		found, err := s.Search(context.Background(), ann.ID, InboxID, Query{Test: TestText, Text: "7"})
		if err != nil {
			t.Fatal(err)
		}
		return all, found
	}
	facts, found := read()
	s.reads.parts.Store(1 << 20)
	facts2, found2 := read()
	if !reflect.DeepEqual(facts, facts2) || !slices.Equal(found, found2) {
		t.Error("read ahead, other rows are there")
	}
}

// keys are those of a leaf: for each flags u32, where it lies u32, its length u32,
// that of the value u32.
func (p pageReader) keys(t *testing.T, page uint64) (keys [][]byte) {
	t.Helper()
	ne := binary.NativeEndian
	b := p.read(page, 1)
	if more := int64(ne.Uint32(b[12:])); more > 0 {
		b = p.read(page, 1+more)
	}
	for i := range int(ne.Uint16(b[10:])) {
		at := pageHeader + 16*i
		start := at + int(ne.Uint32(b[at+4:]))
		keys = append(keys, b[start:start+int(ne.Uint32(b[at+8:]))])
	}
	if len(keys) == 0 {
		t.Fatalf("page %d is no leaf with keys", page)
	}
	return keys
}
