package imapd

import (
	"math/rand/v2"
	"slices"
	"testing"

	"roost/mailbox"
)

// TestUIDList holds the list against a plain slice while messages come and go.
func TestUIDList(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var list uidList
	var plain []mailbox.UID
	next := mailbox.UID(1)
	for range 300 {
		for range r.IntN(20) {
			list.add(next)
			plain = append(plain, next)
			next += mailbox.UID(1 + r.IntN(2)*r.IntN(3))
		}
		var gone []mailbox.UID
		for _, uid := range plain {
			if r.IntN(9) == 0 {
				gone = append(gone, uid)
			}
		}
		list = list.without(gone)
		plain = slices.DeleteFunc(plain, func(uid mailbox.UID) bool { return slices.Contains(gone, uid) })
		if list.len() != len(plain) || len(plain) > 0 && list.last() != plain[len(plain)-1] {
			t.Fatalf("%d UIDs up to %d, want %d", list.len(), list.last(), len(plain))
		}
		for i, uid := range plain {
			if list.at(i) != uid {
				t.Fatalf("at(%d) = %d, want %d", i, list.at(i), uid)
			}
		}
		for uid := range next + 2 {
			i, found := list.find(uid)
			if want, there := slices.BinarySearch(plain, uid); i != want || found != there {
				t.Fatalf("find(%d) = %d, %v, want %d, %v", uid, i, found, want, there)
			}
		}
		if n := len(plain); n > 0 {
			lo := r.IntN(n)
			hi := lo + r.IntN(n-lo+1)
			if got := list.appendTo(nil, lo, hi); !slices.Equal(got, plain[lo:hi]) {
				t.Fatalf("appendTo(%d, %d) = %d, want %d", lo, hi, got, plain[lo:hi])
			}
		}
	}
}
