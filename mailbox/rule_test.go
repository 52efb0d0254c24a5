package mailbox

import (
	"errors"
	"testing"
)

// TestRules holds which of several rules is the one that applies.
func TestRules(t *testing.T) {
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := t.Context()
	if _, err := s.AddDomain(ctx, "example.org"); err != nil {
		t.Fatal(err)
	}
	a, err := s.CreateAccount(ctx, NewAccount{Address: "ann@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Rule{
		{Sender: "@Shop.example", Block: true},
		{Sender: "joe@shop.example"},
		{Account: a.ID, Sender: "shop.example"},
		{Account: a.ID, Sender: "eve@shop.example", Block: true},
	} {
		if err := s.SetRule(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		id      AccountID
		senders []Address
		want    string // "" is no rule
	}{
		{a.ID, []Address{"joe@shop.example"}, "shop.example"},
		{a.ID, []Address{"bounce@lists.example", "eve@shop.example"}, "eve@shop.example"},
		{a.ID, []Address{"joe@else.example"}, ""},
		{a.ID, nil, ""},
		{a.ID + 1, []Address{"joe@shop.example"}, "joe@shop.example"},
		{a.ID + 1, []Address{"eve@shop.example"}, "shop.example"},
	} {
		r, err := s.RuleAbout(c.id, c.senders...)
		got := ""
		if r != nil {
			got = r.Sender
		}
		if err != nil || got != c.want {
			t.Errorf("%d %s: %q, %v, want %q", c.id, c.senders, got, err, c.want)
		}
	}
	if err := s.SetRule(ctx, Rule{Account: 99, Sender: "x.example"}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := s.SetRule(ctx, Rule{Sender: "x y@"}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if err := s.RemoveRule(ctx, 0, "shop.example"); err != nil {
		t.Error(err)
	}
	if err := s.RemoveRule(ctx, 0, "shop.example"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	all, err := s.Rules()
	if err != nil || len(all) != 3 {
		t.Errorf("%v, %v", all, err)
	}
	if err := s.RemoveAccount(ctx, "ann@example.org"); err != nil {
		t.Fatal(err)
	}
	if all, err = s.Rules(); err != nil || len(all) != 1 {
		t.Errorf("after the account is gone: %v, %v", all, err)
	}
}
