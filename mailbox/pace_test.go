package mailbox

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// freeze freezes a device, with a notice to its owner.
func freeze(t *testing.T, s *Store, who Submitter, b *Burst) bool {
	t.Helper()
	spool := s.NewSpool(0)
	defer spool.Close()
	if _, err := spool.Write([]byte(hello(2))); err != nil {
		t.Fatal(err)
	}
	did, err := s.Freeze(t.Context(), who, b, &Intake{Body: spool, Place: []Placement{{Account: who.Account.ID, Uncounted: true}}})
	if err != nil {
		t.Fatal(err)
	}
	return did
}

func TestADeviceThatSuddenlySendsMuchIsFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ann, _ := newStore(t, Options{})
		d, secret, err := s.AddDevice(t.Context(), ann.Address, "phone")
		if err != nil {
			t.Fatal(err)
		}
		who := Submitter{Account: ann, Device: d.ID}
		for i := range hourMessages {
			if err := send(s, ann.ID, d.ID, "joe@x.example"); err != nil {
				t.Fatal(i, err)
			}
		}
		err = send(s, ann.ID, d.ID, "joe@x.example")
		var b *Burst
		if !errors.As(err, &b) || b.Error() != "121 messages in an hour, and never one before" {
			t.Fatal(err)
		}
		if got, err := s.Sent(ann.ID); err != nil || got.Messages != hourMessages {
			t.Errorf("what was refused is counted: %+v, %v", got, err)
		}
		if err := send(s, ann.ID, "", "joe@x.example"); err != nil {
			t.Errorf("another device: %v", err)
		}
		if !freeze(t, s, who, b) || freeze(t, s, who, b) {
			t.Error("it is not frozen once")
		}
		if f, err := s.Folder(ann.ID, InboxID); err != nil || f.Messages != 1 {
			t.Errorf("the owner has %d notices, %v", f.Messages, err)
		}
		time.Sleep(48 * time.Hour)
		if err := send(s, ann.ID, d.ID, "joe@x.example"); !errors.Is(err, ErrFrozen) {
			t.Errorf("frozen: %v", err)
		}
		if _, err := s.MaySend(who, "", 0); !errors.Is(err, ErrFrozen) {
			t.Errorf("frozen, beforehand: %v", err)
		}
		if a, err := s.Login(t.Context(), netip.Addr{}, "ann@example.org", secret); err != nil || a.ID != ann.ID {
			t.Errorf("it can't read any more: %v", err)
		}
		all, err := s.Frozen(ann.ID)
		if err != nil || len(all) != 1 || all[0].Device != d.ID || all[0].Why != b.Error() {
			t.Errorf("%+v, %v", all, err)
		}
		if err := s.Unfreeze(t.Context(), ann.ID, d.ID); err != nil {
			t.Fatal(err)
		}
		if err := s.Unfreeze(t.Context(), ann.ID, d.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("twice: %v", err)
		}
		for i := range 2 * hourMessages { // that is usual now
			if err := send(s, ann.ID, d.ID, "joe@x.example"); err != nil {
				t.Fatal(i, err)
			}
		}
	})
}

// TestPaceGrows holds how what is usual follows what was sent, and fades.
func TestPaceGrows(t *testing.T) {
	at := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	var p pace
	send := func(messages, strangers int) error {
		for i := range messages {
			n := 0
			if i < strangers {
				n = 1
			}
			if err := p.count(SendLimits{}, n); err != nil {
				return err
			}
		}
		return nil
	}
	for i, c := range []struct {
		after     time.Duration
		messages  int
		strangers int
		burst     string
	}{
		{0, 100, 60, ""},
		{0, 1, 1, "61 new recipients in an hour, and never one before"},
		{time.Hour, 290, 90, ""},
		{time.Hour, 111, 0, "501 messages in a day, and never one before"},
		{24 * time.Hour, 800, 0, ""},
		{24 * time.Hour, 200, 200, ""},
		{360 * 24 * time.Hour, 200, 0, "149 messages in an hour, and never more than 49 before"},
	} {
		at = at.Add(c.after)
		p.advance(at)
		got := ""
		if err := send(c.messages, c.strangers); err != nil {
			got = err.Error()
		}
		if got != c.burst {
			t.Errorf("%d: %q, %+v", i, got, p)
		}
		q, err := parsePace(p.encode())
		if err != nil || q.now != p.now || q.hour != p.hour {
			t.Errorf("%d: read back %+v, %v", i, q, err)
		}
	}
	if err := p.count(SendLimits{Messages: -1}, 0); err != nil {
		t.Errorf("without a limit it is watched: %v", err)
	}
}

func TestStrangersAreWatchedToo(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	var to []Address
	for i := range hourStrangers + 1 {
		to = append(to, Address(fmt.Sprintf("n%d@x.example", i)))
	}
	var b *Burst
	if err := send(s, ann.ID, "", to...); !errors.As(err, &b) || b.Error() != "61 new recipients in an hour, and never one before" {
		t.Fatal(err)
	}
	if !freeze(t, s, Submitter{Account: ann}, b) {
		t.Fatal("not frozen")
	}
	if err := s.Unfreeze(t.Context(), ann.ID, ""); err != nil {
		t.Fatal(err)
	}
	if err := send(s, ann.ID, "", to...); err != nil {
		t.Errorf("what its owner let go: %v", err)
	}
}

// TestANewPasswordUnfreezes the account's own, which the thief knew, and what is taken
// away is no device.
func TestANewPasswordUnfreezes(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	d, _, err := s.AddDevice(t.Context(), ann.Address, "phone")
	if err != nil {
		t.Fatal(err)
	}
	for _, device := range []string{"", d.ID} {
		if !freeze(t, s, Submitter{Account: ann, Device: device}, &Burst{}) {
			t.Fatal("not frozen")
		}
	}
	if err := s.SetPassword(t.Context(), ann.Address, "another"); err != nil {
		t.Fatal(err)
	}
	if err := send(s, ann.ID, ""); err != nil {
		t.Error(err)
	}
	if err := s.RemoveDevice(t.Context(), ann.Address, d.ID); err != nil {
		t.Fatal(err)
	}
	if err := send(s, ann.ID, d.ID); !errors.Is(err, ErrLogin) {
		t.Errorf("a session of a device that is gone: %v", err)
	}
	if all, err := s.Frozen(ann.ID); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}
