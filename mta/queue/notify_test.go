package queue_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roost/mailbox"
	"roost/mta/smtp"
)

// queueWith queues the usual message in one row of example.net.
func (b *box) queueWith(o mailbox.Outgoing) {
	b.t.Helper()
	spool := b.store.NewSpool(0)
	defer spool.Close()
	if _, err := spool.Write([]byte(text)); err != nil {
		b.t.Fatal(err)
	}
	o.Account, o.From, o.Domain = b.ann.ID, "ann@example.org", "example.net"
	if _, err := b.store.Accept(b.t.Context(), mailbox.Intake{Body: spool, From: o.From, Queue: []mailbox.Outgoing{o}}); err != nil {
		b.t.Fatal(err)
	}
}

// TestHandedOn: a server without DSN took mail whose sender wanted to know of
// success, so we tell of it, and of nothing that was not asked for.
func TestHandedOn(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.sink.set(func(s *sink) { s.noDSN = true })
		b.queueWith(mailbox.Outgoing{EnvelopeID: "env+1", Recipients: []mailbox.Recipient{
			{Address: "bob@example.net", Notify: "SUCCESS", Original: "rfc822;robert@example.com"},
			{Address: "kim@example.net"},
		}})
		b.run()
		synctest.Wait()
		inbox := b.inbox()
		if len(inbox) != 1 || len(b.outbox()) != 0 {
			t.Fatalf("%d notifications, outbox %+v", len(inbox), b.outbox())
		}
		golden(t, "relayed.eml", inbox[0])
	})
}

// TestWishesGoOn: a server with DSN takes the wishes over, and we tell nothing.
func TestWishesGoOn(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.queueWith(mailbox.Outgoing{EnvelopeID: "env+1", Return: "HDRS", Recipients: []mailbox.Recipient{
			{Address: "bob@example.net", Notify: "SUCCESS,DELAY", Original: "rfc822;robert@example.com"},
		}})
		b.run()
		synctest.Wait()
		if n := len(b.inbox()); n != 0 || len(b.outbox()) != 0 {
			t.Fatalf("%d notifications, outbox %+v", n, b.outbox())
		}
		got := b.sink.deliveries()
		if len(got) != 1 || got[0].wishes != "env+1 HDRS SUCCESS,DELAY rfc822;robert@example.com" {
			t.Errorf("the server got %+v", got)
		}
	})
}

// TestNeverTold: NOTIFY=NEVER, and only SUCCESS, mean no word of a failure.
func TestNeverTold(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.sink.refuses(noSuchUser)
		b.queueWith(mailbox.Outgoing{Recipients: []mailbox.Recipient{
			{Address: "bob@example.net", Notify: "NEVER"}, {Address: "kim@example.net", Notify: "SUCCESS,DELAY"},
		}})
		b.run()
		synctest.Wait()
		if len(b.outbox()) != 0 || len(b.inbox()) != 0 {
			t.Errorf("outbox %+v, inbox %q", b.outbox(), b.inbox())
		}
		if lines := b.journal(); len(lines) == 0 || !strings.HasPrefix(lines[len(lines)-1], "failed bob@example.net kim@example.net: 550 5.1.1") {
			t.Errorf("the journal must know: %q", lines)
		}
	})
}

// TestDelayIsToldOnce: four hours on, and then the failure.
func TestDelayIsToldOnce(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.sink.refuses(smtp.Reply{Code: 451, Enhanced: smtp.Enhanced{4, 7, 1}, Text: "not today"})
		b.queueWith(mailbox.Outgoing{Recipients: []mailbox.Recipient{
			{Address: "bob@example.net", Notify: "DELAY,FAILURE"}, {Address: "kim@example.net"},
		}})
		b.run()
		time.Sleep(3 * time.Hour)
		if n := len(b.inbox()); n != 0 {
			t.Errorf("%d notifications after three hours", n)
		}
		time.Sleep(20 * time.Hour)
		inbox := b.inbox()
		if len(inbox) != 1 || !strings.Contains(inbox[0], "Action: delayed\r\nStatus: 4.7.1\r\n") || !strings.Contains(inbox[0], "Will-Retry-Until: Thu, 06 Jan 2000") ||
			strings.Contains(inbox[0], "kim@example.net\r\n") || !strings.Contains(inbox[0], "Subject: Not delivered yet: ") {
			t.Fatalf("after a day: %q", inbox)
		}
		time.Sleep(5 * 24 * time.Hour)
		inbox = b.inbox()
		if len(inbox) != 2 || strings.Count(inbox[1], "Action: failed") != 2 || len(b.outbox()) != 0 {
			t.Fatalf("after six days: %q, outbox %+v", inbox, b.outbox())
		}
	})
}

// TestWholeMessageBack: RET=FULL is about failures.
func TestWholeMessageBack(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.queueWith(mailbox.Outgoing{Return: "FULL", Recipients: []mailbox.Recipient{{Address: "bob@nowhere.example", Notify: "FAILURE"}}})
		b.sink.refuses(noSuchUser)
		b.run()
		synctest.Wait()
		inbox := b.inbox()
		if len(inbox) != 1 || !strings.Contains(inbox[0], "Content-Type: message/rfc822\r\n\r\n"+text) {
			t.Errorf("inbox %q", inbox)
		}
	})
}
