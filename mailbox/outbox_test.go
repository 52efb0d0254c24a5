package mailbox

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func submit(t *testing.T, s *Store, from Account, domains ...string) {
	t.Helper()
	spool := s.NewSpool(0)
	defer spool.Close()
	io.WriteString(spool, hello(1))
	in := Intake{Body: spool, From: string(from.Address)}
	for _, d := range domains {
		in.Queue = append(in.Queue, Outgoing{Account: from.ID, From: string(from.Address), Domain: d, Recipients: []Recipient{{Address: "x@" + d}, {Address: "y@" + d}}})
	}
	if _, err := s.Accept(context.Background(), in); err != nil {
		t.Fatal(err)
	}
}

// TestOutgoingPrefix: each row's fields are in front of the one body.
func TestOutgoingPrefix(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	spool := s.NewSpool(0)
	defer spool.Close()
	io.WriteString(spool, hello(1))
	in := Intake{Body: spool, From: string(ann.Address)}
	for _, prefix := range []string{"", "Delivered-To: a@example.org\r\n"} {
		in.Queue = append(in.Queue, Outgoing{Domain: "one.example", Prefix: prefix, Recipients: []Recipient{{Address: "x@one.example"}}})
	}
	if _, err := s.Accept(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	rows, err := s.Outbox()
	if err != nil || len(rows) != 2 {
		t.Fatal(rows, err)
	}
	for i, row := range rows {
		want := in.Queue[i].Prefix + hello(1)
		body, err := s.OutgoingBody(&row)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(body); err != nil || string(b) != want || row.Size != int64(len(want)) {
			t.Errorf("%d octets, %q, %v", row.Size, b, err)
		}
	}
}

// One commit ends an attempt and begins the next. That the next is gone does not keep
// the first from ending, and that the first is gone keeps the next from beginning.
func TestFinishAndBegin(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	submit(t, s, ann, "one.example", "two.example", "three.example")
	due, _, err := s.DueOutbox(time.Now(), 10, nil)
	if err != nil || len(due) != 3 {
		t.Fatal(due, err)
	}
	later := time.Now().Add(time.Hour)
	begin := func(i int) Attempt { return Attempt{ID: due[i].ID, Retry: later} }
	if _, err := s.BeginAttempt(ctx, begin(0)); err != nil {
		t.Fatal(err)
	}
	o, err := s.FinishAndBegin(ctx, due[0].ID, Result{}, begin(1))
	if err != nil || o == nil || o.ID != due[1].ID || o.Attempts != 1 {
		t.Fatal(o, err)
	}
	if o, err := s.FinishAndBegin(ctx, due[0].ID, Result{}, begin(2)); !errors.Is(err, ErrNotFound) || o != nil {
		t.Errorf("finished twice: %+v, %v", o, err)
	}
	if err := s.DropOutgoing(ctx, due[2].ID); err != nil {
		t.Fatal(err)
	}
	if o, err := s.FinishAndBegin(ctx, due[1].ID, Result{}, begin(2)); err != nil || o != nil {
		t.Errorf("the next is gone: %+v, %v", o, err)
	}
	if r, _ := s.Check(ctx); r.Outbox != 0 || r.Bodies != 0 {
		t.Errorf("%d rows and %d bodies are left", r.Outbox, r.Bodies)
	}
}

func TestOutboxByDueTime(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	bell := s.OutboxBell()
	submit(t, s, ann, "one.example", "two.example")
	<-bell
	now := time.Now()
	due, next, err := s.DueOutbox(now, 10, nil)
	if err != nil || len(due) != 2 || !next.IsZero() {
		t.Fatalf("%d due, next %v, %v", len(due), next, err)
	}
	later := now.Add(time.Hour)
	one, err := s.BeginAttempt(ctx, Attempt{ID: due[0].ID, Retry: later})
	if err != nil || one.Attempts != 1 {
		t.Fatal(one, err)
	}
	due, next, err = s.DueOutbox(now, 10, nil)
	if err != nil || len(due) != 1 || due[0].Domain != "two.example" || !next.Equal(later) {
		t.Errorf("%d due, next %v, %v", len(due), next, err)
	}
	if _, err := s.BeginAttempt(ctx, Attempt{ID: one.ID, Retry: later}); !errors.Is(err, ErrNotFound) {
		t.Errorf("begun before it is due: %v", err)
	}
	if due, _, err := s.DueOutbox(later, 1, func(id OutboxID) bool { return id != one.ID }); err != nil || len(due) != 1 || due[0].ID != one.ID {
		t.Errorf("all but one left out: %+v, %v", due, err)
	}
	body, err := s.OutgoingBody(&one)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(body); err != nil || string(b) != hello(1) {
		t.Errorf("body %q, %v", b, err)
	}
	// One recipient taken, the other waits.
	err = s.FinishAttempt(ctx, one.ID, Result{Waiting: one.Recipients[1:], Due: later, Reply: "450 later", Journal: []Line{{Event: Delivered}, {Event: Deferred}}})
	if err != nil {
		t.Fatal(err)
	}
	if one, err = s.Outgoing(one.ID); err != nil || len(one.Recipients) != 1 || one.LastReply != "450 later" {
		t.Errorf("%+v, %v", one, err)
	}
	if err := s.RetryOutgoing(ctx, one.ID); err != nil {
		t.Fatal(err)
	}
	if due, _, _ = s.DueOutbox(time.Now(), 1, nil); len(due) != 1 || due[0].Domain != "two.example" {
		t.Errorf("the longest waiting first: %+v", due)
	}
	if err := s.FinishAttempt(ctx, one.ID, Result{}); err != nil {
		t.Fatal(err)
	}
	if err := s.DropOutgoing(ctx, due[0].ID); err != nil {
		t.Fatal(err)
	}
	if err := s.FinishAttempt(ctx, one.ID, Result{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("finished twice: %v", err)
	}
	if r, _ := s.Check(ctx); r.Outbox != 0 || r.Bodies != 0 {
		t.Errorf("%d rows and %d bodies are left", r.Outbox, r.Bodies)
	}
}

// The notice of a failure and the recipient's removal are one commit.
func TestNoticeComesExactlyOnce(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	submit(t, s, ann, "one.example")
	due, _, _ := s.DueOutbox(time.Now(), 1, nil)
	notice := func() error {
		spool := s.NewSpool(0)
		defer spool.Close()
		io.WriteString(spool, hello(9))
		return s.FinishAttempt(ctx, due[0].ID, Result{Notice: &Intake{Body: spool, Place: []Placement{{Account: ann.ID}}}, Journal: []Line{{Event: Failed}}})
	}
	if err := notice(); err != nil {
		t.Fatal(err)
	}
	if err := notice(); !errors.Is(err, ErrNotFound) {
		t.Errorf("again: %v", err)
	}
	if f, _ := s.Folder(ann.ID, InboxID); f.Messages != 1 {
		t.Errorf("%d notices, want 1", f.Messages)
	}
	n := 0
	if err := s.Journal(func(l Line) bool {
		n++
		return l.Event == Failed && l.Outbox == due[0].ID && l.Message == due[0].Body
	}); err != nil || n != 1 {
		t.Errorf("%d journal lines, %v", n, err)
	}
}

func TestJournalKeepsLittleOfWhatStrangersWrite(t *testing.T) {
	s, _, _ := newStore(t, Options{})
	long := strings.Repeat("é", 5000)
	if err := s.Log(context.Background(), Line{Event: Received, Subject: "x" + long, MessageID: "short"}); err != nil {
		t.Fatal(err)
	}
	err := s.Journal(func(l Line) bool {
		if len(l.Subject) > maxLineText+3 || !utf8.ValidString(l.Subject) || !strings.HasSuffix(l.Subject, "é…") || l.MessageID != "short" {
			t.Errorf("kept %d bytes: %q, %q", len(l.Subject), l.Subject, l.MessageID)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A next row that can't be read does not keep the result of the one before, which
// would be sent twice.
func TestFinishBesideADamagedRow(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	submit(t, s, ann, "one.example")
	due, _, err := s.DueOutbox(time.Now(), 10, nil)
	if err != nil || len(due) != 1 {
		t.Fatal(due, err)
	}
	damaged := due[0].ID + 1
	key := be64(uint64(damaged))
	if err := s.update(t.Context(), func(tx *tx) error { return tx.put(bOutbox, key, []byte("{")) }); err != nil {
		t.Fatal(err)
	}
	begun, err := s.FinishAndBegin(t.Context(), due[0].ID, Result{}, Attempt{ID: damaged, Retry: time.Now()})
	if err != nil || begun != nil {
		t.Errorf("%v, %v", begun, err)
	}
	if _, err := s.Outgoing(due[0].ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("what was delivered is still there: %v", err)
	}
	if err := s.update(t.Context(), func(tx *tx) error { return tx.delete(bOutbox, key) }); err != nil {
		t.Fatal(err) // the check at the end wants it gone
	}
}
