package mailbox

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// A draft can be saved again though there is no room for it beside the one that
// it replaces.
func TestReplaceCreditsTheQuota(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	text := func(n int) string { return "Subject: draft\r\n\r\n" + strings.Repeat("x", n) + "\r\n" }
	if _, err := s.ChangeAccount(ctx, ann.Address, func(a *Account) error { a.Quota = 1500; return nil }); err != nil {
		t.Fatal(err)
	}
	accept(t, s, text(1000), Placement{Account: ann.ID})
	save := func(n int, r *Replaced) error {
		spool := s.NewSpool(0)
		defer spool.Close()
		if _, err := spool.Write([]byte(text(n))); err != nil {
			t.Fatal(err)
		}
		_, err := s.Accept(ctx, Intake{Body: spool, Place: []Placement{{Account: ann.ID, Replaces: r}}})
		return err
	}
	if err := save(1000, nil); !errors.Is(err, ErrOverQuota) {
		t.Error("beside the first:", err)
	}
	if err := save(1100, &Replaced{InboxID, 1}); err != nil {
		t.Error("in its place:", err)
	}
	if err := save(1600, &Replaced{InboxID, 2}); !errors.Is(err, ErrOverQuota) {
		t.Error("more than there may be at all:", err)
	}
	u, err := s.AccountUsage(ann.ID)
	if err != nil || u.Messages != 1 {
		t.Errorf("%+v, %v", u, err)
	}
}
