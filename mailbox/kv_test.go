package mailbox

import (
	"context"
	"errors"
	"slices"
	"testing"
)

func TestCornersAreApart(t *testing.T) {
	s, _, _ := newStore(t, Options{})
	ctx := context.Background()
	a, b := s.Corner("a"), s.Corner("ab")
	for _, k := range []string{"x/1", "x/2", "y"} {
		if err := a.Put(ctx, k, []byte("of a")); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Put(ctx, "x/1", nil); err != nil {
		t.Fatal(err)
	}
	if keys, err := a.List(ctx, "x/"); err != nil || !slices.Equal(keys, []string{"x/1", "x/2"}) {
		t.Errorf("a has %q, %v", keys, err)
	}
	if v, put, err := a.Get(ctx, "x/1"); err != nil || string(v) != "of a" || put.IsZero() {
		t.Errorf("a: %q, %v, %v", v, put, err)
	}
	if v, _, err := b.Get(ctx, "x/1"); err != nil || len(v) != 0 {
		t.Errorf("b: %q, %v", v, err)
	}
	if err := a.Delete(ctx, "x/1"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Get(ctx, "x/1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	if err := a.Put(ctx, string(make([]byte, 2000)), nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("long key: %v", err)
	}
}
