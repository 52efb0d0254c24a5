package queue_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"roost/mailbox"
)

// TestForwardedMailFails: it is nobody's here, so who sent it is told, over the
// outbox and once.
func TestForwardedMailFails(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.sink.refuses(noSuchUser, "gone@example.net")
		spool := b.store.NewSpool(0)
		defer spool.Close()
		if _, err := spool.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		row := mailbox.Outgoing{
			From: "SRS0=x=AA=a.example.net=joe@example.org", Sender: "joe@a.example.net",
			Domain: "example.net", Recipients: []mailbox.Recipient{{Address: "gone@example.net"}},
		}
		unknown := row
		unknown.Sender = ""
		if _, err := b.store.Accept(t.Context(), mailbox.Intake{Body: spool, Queue: []mailbox.Outgoing{row, unknown}}); err != nil {
			t.Fatal(err)
		}
		b.run()
		synctest.Wait()
		got := b.sink.deliveries()
		if len(b.outbox()) != 0 || len(got) != 1 {
			t.Fatalf("outbox %+v, delivered %+v", b.outbox(), got)
		}
		if n := got[0]; n.from != "" || strings.Join(n.to, " ") != "joe@a.example.net" || !strings.Contains(n.text, "gone@example.net") || !strings.Contains(n.text, "no such user") {
			t.Errorf("%+v", n)
		}
	})
}
