package mailbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// send has an account send a message to addresses in other domains.
func send(s *Store, id AccountID, device string, to ...Address) error {
	spool := s.NewSpool(0)
	defer spool.Close()
	if _, err := spool.Write([]byte(hello(1))); err != nil {
		return err
	}
	_, err := s.Accept(context.Background(), Intake{Body: spool, Sending: &Sending{Account: id, Device: device, To: to}})
	return err
}

func limitSending(t *testing.T, s *Store, l SendLimits) {
	t.Helper()
	if err := s.ChangeSettings(context.Background(), func(v *Settings) error { v.Sending = l; return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestSendingLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ann, bob := newStore(t, Options{})
		limitSending(t, s, SendLimits{Messages: 3, Strangers: 2})
		begun := time.Now()
		time.Sleep(time.Hour)
		if err := send(s, ann.ID, "", "a@x.example", "b@x.example", "c@x.example"); !errors.Is(err, ErrSendLimit) {
			t.Errorf("three at once: %v", err)
		}
		for _, to := range []Address{"a@x.example", "b@x.example"} {
			if err := send(s, ann.ID, "", to, to); err != nil {
				t.Fatal(err)
			}
		}
		err := send(s, ann.ID, "", "a@x.example", "c@x.example")
		if !errors.Is(err, ErrSendLimit) || !strings.Contains(err.Error(), "limit of 2 new recipients") || !strings.Contains(err.Error(), "at 01:00 on 2 January (UTC)") {
			t.Errorf("a third stranger: %v", err)
		}
		if is, err := s.MaySend(Submitter{Account: ann}, "a@x.example", 0); is || err != nil {
			t.Errorf("one who was written to: %v, %v", is, err)
		}
		if is, err := s.MaySend(Submitter{Account: ann}, "c@x.example", 0); !is || !errors.Is(err, ErrSendLimit) {
			t.Errorf("a stranger beforehand: %v, %v", is, err)
		}
		if err := send(s, ann.ID, "", "a@x.example", "b@x.example"); err != nil {
			t.Errorf("to those who were written to: %v", err)
		}
		if err := send(s, ann.ID, ""); !errors.Is(err, ErrSendLimit) || !strings.Contains(err.Error(), "limit of 3 messages") {
			t.Errorf("a fourth message: %v", err)
		}
		if _, err := s.MaySend(Submitter{Account: ann}, "", 0); !errors.Is(err, ErrSendLimit) {
			t.Errorf("a fourth message beforehand: %v", err)
		}
		if err := send(s, bob.ID, "", "c@x.example"); err != nil {
			t.Errorf("bob has his own: %v", err)
		}
		want := Sent{SendLimits{3, 2}, 3, 2, begun.Add(25 * time.Hour).UTC()}
		if got, err := s.Sent(ann.ID); err != nil || got != want {
			t.Errorf("%+v, %v", got, err)
		}
		time.Sleep(24*time.Hour - time.Second)
		if err := send(s, ann.ID, ""); !errors.Is(err, ErrSendLimit) {
			t.Errorf("a second too early: %v", err)
		}
		time.Sleep(time.Second)
		if err := send(s, ann.ID, "", "c@x.example", "d@x.example"); err != nil {
			t.Errorf("the next day: %v", err)
		}
		if _, err := s.ChangeAccount(t.Context(), ann.Address, func(a *Account) error { a.Sending = SendLimits{Strangers: -1}; return nil }); err != nil {
			t.Fatal(err)
		}
		if err := send(s, ann.ID, "", "e@x.example", "f@x.example", "g@x.example"); err != nil {
			t.Errorf("without a limit: %v", err)
		}
	})
}

// TestWhoWroteIsNoStranger holds that answers are not counted as new.
func TestWhoWroteIsNoStranger(t *testing.T) {
	s, ann, bob := newStore(t, Options{})
	limitSending(t, s, SendLimits{Strangers: -1})
	receiveFrom(t, s, "joe@shop.example", ann.ID)
	for id, want := range map[AccountID]bool{ann.ID: false, bob.ID: true} {
		if is, err := s.MaySend(Submitter{Account: Account{ID: id}}, "joe@shop.example", 0); is != want || err != nil {
			t.Errorf("%d: %v, %v", id, is, err)
		}
	}
}

// TestSendingLimitsSideBySide: many sessions at once have no more than one.
func TestSendingLimitsSideBySide(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	limitSending(t, s, SendLimits{Messages: 10, Strangers: 7})
	var messages, strangers atomic.Int32
	var wait sync.WaitGroup
	for i := range 40 {
		wait.Go(func() {
			var to []Address
			if i%2 == 0 {
				to = []Address{Address(fmt.Sprintf("n%d@x.example", i))}
			}
			switch err := send(s, ann.ID, "", to...); {
			case err == nil:
				messages.Add(1)
				strangers.Add(int32(len(to)))
			case !errors.Is(err, ErrSendLimit):
				t.Error(err)
			}
		})
	}
	wait.Wait()
	got, err := s.Sent(ann.ID)
	if err != nil || messages.Load() != 10 || int32(got.Messages) != 10 || int32(got.Strangers) != strangers.Load() || got.Strangers > 7 {
		t.Errorf("%d messages to %d strangers were taken; counted: %+v, %v", messages.Load(), strangers.Load(), got, err)
	}
}

// TestWhatIsSentStaysCounted over a restart, and what was refused never was.
func TestWhatIsSentStaysCounted(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	if _, err := s.AddDomain(t.Context(), "example.org"); err != nil {
		t.Fatal(err)
	}
	ann, err := s.CreateAccount(t.Context(), NewAccount{Address: "ann@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	limitSending(t, s, SendLimits{Messages: 2})
	for range 2 {
		if err := send(s, ann.ID, "", "a@x.example"); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	s = openStore(t, dir, Options{})
	if err := send(s, ann.ID, "", "a@x.example"); !errors.Is(err, ErrSendLimit) {
		t.Error(err)
	}
	if got, err := s.Sent(ann.ID); err != nil || got.Messages != 2 || got.Strangers != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
