package admin_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"roost/admin"
	"roost/mailbox"
)

// waiting puts a message for two people at a.example and one at b.example into the outbox,
// and fails the first attempt at a.example.
func waiting(t *testing.T, o *admin.Office) (a, b mailbox.OutboxID) {
	t.Helper()
	ctx := context.Background()
	anna, err := o.Store.CreateAccount(ctx, mailbox.NewAccount{Address: "anna@example.org", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	spool := o.Store.NewSpool(1 << 20)
	defer spool.Close()
	if _, err := spool.Write([]byte("From: anna@example.org\r\n\r\nHello.\r\n")); err != nil {
		t.Fatal(err)
	}
	_, err = o.Store.Accept(ctx, mailbox.Intake{
		Body: spool,
		Queue: []mailbox.Outgoing{
			{Account: anna.ID, From: "anna@example.org", Domain: "a.example", Recipients: []mailbox.Recipient{{Address: "x@a.example"}, {Address: "y@a.example"}}},
			{Account: anna.ID, From: "anna@example.org", Domain: "b.example", Recipients: []mailbox.Recipient{{Address: "z@b.example"}}},
		},
		Journal: []mailbox.Line{{Event: mailbox.Submitted, Account: anna.ID, From: "anna@example.org", To: []string{"x@a.example", "y@a.example", "z@b.example"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	all, err := o.Store.Outbox()
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	later := time.Now().Add(time.Hour)
	row, err := o.Store.BeginAttempt(ctx, mailbox.Attempt{ID: all[0].ID, Retry: later})
	if err != nil {
		t.Fatal(err)
	}
	err = o.Store.FinishAttempt(ctx, row.ID, mailbox.Result{
		Waiting: []mailbox.Recipient{{Address: "y@a.example", Reply: "451 4.7.1 greylisted"}}, Due: later, Reply: "451 4.7.1 greylisted",
		Journal: []mailbox.Line{
			{Event: mailbox.Delivered, From: "anna@example.org", To: []string{"x@a.example"}, Remote: "mx.a.example [192.0.2.9] TLS 1.3", Reply: "250 ok"},
			{Event: mailbox.Deferred, From: "anna@example.org", To: []string{"y@a.example"}, Remote: "mx.a.example [192.0.2.9] TLS 1.3", Reply: "451 4.7.1 greylisted", Detail: []string{"S: 451 4.7.1 greylisted"}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return all[0].ID, all[1].ID
}

func TestQueue(t *testing.T) {
	o := office(t)
	a, b := waiting(t, o)
	owner := admin.Caller{Owner: true}
	id := func(id string) func(any) { return func(args any) { set(args, "ID", id) } }

	list := do(t, o, owner, "queue list", nil).([]admin.Queued)
	if len(list) != 2 || list[0].ID != a.String() || strings.Join(list[0].To, " ") != "y@a.example" || list[0].Attempts != 1 || list[0].LastReply != "451 4.7.1 greylisted" || list[1].ID != b.String() {
		t.Fatalf("%+v", list)
	}
	if until := time.Until(list[0].Next); until < 50*time.Minute {
		t.Errorf("next try in %v", until)
	}

	shown := do(t, o, owner, "queue show", id(a.String())).(admin.QueuedMessage)
	var events []string
	for _, l := range shown.Journal {
		events = append(events, string(l.Event))
	}
	if strings.Join(events, " ") != "submitted delivered deferred" || shown.Account != "anna@example.org" || shown.Recipients[0].Reply != "451 4.7.1 greylisted" {
		t.Errorf("%+v", shown)
	}
	var text bytes.Buffer
	if err := shown.Text(&text, nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"to        <y@a.example>", "451 4.7.1 greylisted", "attempts  1", "delivered mx.a.example [192.0.2.9] TLS 1.3 to x@a.example: 250 ok", "\n    S: 451"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, &text)
		}
	}
	other := do(t, o, owner, "queue show", id(b.String())).(admin.QueuedMessage)
	if len(other.Journal) != 1 || other.Journal[0].Event != mailbox.Submitted {
		t.Errorf("the other domain's life: %+v", other.Journal)
	}

	do(t, o, owner, "queue retry", id(strings.TrimLeft(a.String(), "0"))) // as a person shortens it
	due, _, err := o.Store.DueOutbox(time.Now(), 10, nil)
	if err != nil || len(due) != 2 {
		t.Errorf("due now: %+v, %v", due, err)
	}
	do(t, o, owner, "queue drop", id(a.String()))
	for _, name := range []string{"queue show", "queue retry", "queue drop"} {
		if _, err := try(o, owner, name, id(a.String())); err == nil || admin.Explain(err).Kind != admin.NotFound {
			t.Errorf("%s of what is gone: %v", name, err)
		}
		if _, err := try(o, owner, name, id("no number")); err == nil || admin.Explain(err).Kind != admin.Invalid {
			t.Errorf("%s of no number: %v", name, err)
		}
	}
	if list := do(t, o, owner, "queue list", nil).([]admin.Queued); len(list) != 1 {
		t.Errorf("%+v", list)
	}
	do(t, o, owner, "queue drop", id(b.String()))
}

func TestHeldMessage(t *testing.T) {
	o := office(t)
	ctx := context.Background()
	spool := o.Store.NewSpool(1 << 20)
	defer spool.Close()
	if _, err := spool.Write([]byte("Subject: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Store.Accept(ctx, mailbox.Intake{Body: spool, Queue: []mailbox.Outgoing{
		{Domain: "a.example", Held: true, Recipients: []mailbox.Recipient{{Address: "x@a.example"}}},
	}}); err != nil {
		t.Fatal(err)
	}
	list := do(t, o, admin.Caller{Owner: true}, "queue list", nil).([]admin.Queued)
	if len(list) != 1 || !list[0].Held || !list[0].Next.IsZero() {
		t.Fatalf("%+v", list)
	}
	shown := do(t, o, admin.Caller{Owner: true}, "queue show", func(args any) { set(args, "ID", list[0].ID) }).(admin.QueuedMessage)
	var text bytes.Buffer
	if err := shown.Text(&text, nil); err != nil || !strings.Contains(text.String(), "held: roost queue retry "+list[0].ID) || !strings.Contains(text.String(), "<>") {
		t.Errorf("%v\n%s", err, &text)
	}
	do(t, o, admin.Caller{Owner: true}, "queue retry", func(args any) { set(args, "ID", list[0].ID) })
	if due, _, err := o.Store.DueOutbox(time.Now(), 10, nil); err != nil || len(due) != 1 {
		t.Errorf("after a retry: %+v, %v", due, err)
	}
}
