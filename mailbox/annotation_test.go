package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestAnnotations(t *testing.T) {
	s, _, bob := newStore(t, Options{})
	ctx := context.Background()
	f, err := s.CreateFolder(ctx, bob.ID, "Noted", "")
	if err != nil {
		t.Fatal(err)
	}
	set := func(folder FolderID, entry string, value []byte) error {
		return s.Annotate(ctx, bob.ID, folder, []Annotation{{entry, value}})
	}
	for _, c := range []struct {
		name   string
		folder FolderID
		entry  string
		value  []byte
		want   error
	}{
		{"a comment", f.ID, "/private/comment", []byte("mine\x00"), nil},
		{"an empty one", f.ID, "/shared/comment", []byte{}, nil},
		{"of the account", NoFolder, "/private/comment", []byte("all"), nil},
		{"of no mailbox", 99, "/private/comment", []byte("x"), ErrNotFound},
		{"no root", f.ID, "/comment", nil, ErrInvalid},
		{"a wildcard", f.ID, "/private/a*", nil, ErrInvalid},
		{"no name", f.ID, "/private/", nil, ErrInvalid},
		{"upper case", f.ID, "/private/A", nil, ErrInvalid},
		{"not ASCII", f.ID, "/private/ä", nil, ErrInvalid},
		{"a long value", f.ID, "/private/long", make([]byte, MaxAnnotation+1), ErrTooBig},
		{"one that was never there", f.ID, "/private/none", nil, nil},
	} {
		if err := set(c.folder, c.entry, c.value); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	all, err := s.Annotations(bob.ID, f.ID)
	if err != nil || len(all) != 2 || string(all[0].Value) != "mine\x00" || all[1].Value == nil || len(all[1].Value) != 0 {
		t.Errorf("got %v, %v", all, err)
	}
	if err := set(f.ID, "/private/comment", nil); err != nil {
		t.Error(err)
	}
	if all, err = s.Annotations(bob.ID, f.ID); err != nil || len(all) != 1 {
		t.Errorf("after one was removed: %v, %v", all, err)
	}

	// All or none: the second of these is one too many.
	for i := range maxAnnotations - 2 {
		if err := set(f.ID, fmt.Sprintf("/private/%d", i), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	err = s.Annotate(ctx, bob.ID, f.ID, []Annotation{{"/private/y", []byte("y")}, {"/private/z", []byte("z")}})
	if !errors.Is(err, ErrLimit) {
		t.Error("too many:", err)
	}
	if all, _ = s.Annotations(bob.ID, f.ID); len(all) != maxAnnotations-1 {
		t.Errorf("%d annotations after a refusal", len(all))
	}
	big := bytes.Repeat([]byte("x"), MaxAnnotation)
	for i := 0; err == nil || !errors.Is(err, ErrOverQuota); i++ {
		if err = set(NoFolder, fmt.Sprintf("/private/big%d", i), big); i > maxAnnotated/MaxAnnotation {
			t.Fatal("no end to them:", err)
		}
	}

	// They go with their mailbox, and with their account.
	rows := func() (n int) {
		s.view(func(tx *tx) error { return tx.each(bAnnotations, nil, func(_, _ []byte) error { n++; return nil }) })
		return n
	}
	before := rows()
	if err := s.DeleteFolder(ctx, bob.ID, "Noted"); err != nil {
		t.Fatal(err)
	}
	if n := rows(); n != before-(maxAnnotations-1) {
		t.Errorf("%d of %d rows are left after the mailbox went", n, before)
	}
	if err := s.Annotate(ctx, ServerAccount, NoFolder, []Annotation{{"/shared/comment", []byte("ours")}}); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveAccount(ctx, bob.Address); err != nil {
		t.Fatal(err)
	}
	if n := rows(); n != 1 {
		t.Errorf("%d rows are left after the account went, want the server's", n)
	}
}
