package queue_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roost/mailbox"
	"roost/mailbox/message"
	"roost/mta/outbound"
	"roost/mta/smtp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestDeliversAndForgets(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.submit("ann@example.org", "bob@example.net", "eve@sub.example.net", "two words@example.net")
		b.run()
		synctest.Wait()
		if rows := b.outbox(); len(rows) != 0 {
			t.Errorf("still in the outbox: %+v", rows)
		}
		got := map[string]string{}
		for _, d := range b.sink.deliveries() {
			got[strings.Join(d.to, " ")] = d.from + "|" + d.text
		}
		want := map[string]string{
			`bob@example.net "two words"@example.net`: "ann@example.org|" + text,
			"eve@sub.example.net":                     "ann@example.org|" + text,
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("delivered %q", got)
		}
		lines := strings.Join(b.journal(), "\n")
		for _, want := range []string{"delivered bob@example.net two words@example.net: 250", "delivered eve@sub.example.net: 250"} {
			if !strings.Contains(lines, want) {
				t.Errorf("no line %q in the journal:\n%s", want, lines)
			}
		}
		if len(b.inbox()) != 0 {
			t.Errorf("a notification of success: %q", b.inbox())
		}
	})
}

// A server that is away for good: the schedule, and the end of it.
func TestFiveDays(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.sink.refuses(smtp.Reply{Code: 451, Enhanced: smtp.Enhanced{4, 7, 1}, Text: "not today"})
		start := time.Now()
		b.submit("ann@example.org", "bob@example.net")
		b.run()
		time.Sleep(5*24*time.Hour - time.Minute)
		if rows := b.outbox(); len(rows) != 1 || rows[0].Attempts < 30 || !strings.Contains(rows[0].LastReply, "not today") {
			t.Fatalf("a minute before the end: %+v", rows)
		}
		if len(b.inbox()) != 0 {
			t.Fatal("given up before its time")
		}
		time.Sleep(10 * 24 * time.Hour)
		if rows := b.outbox(); len(rows) != 0 {
			t.Fatalf("not given up: %+v", rows)
		}
		dials := b.sink.attempts()
		if first := dials[0].at.Sub(start); first > time.Second {
			t.Errorf("the first attempt came after %v", first)
		}
		if last := dials[len(dials)-1].at.Sub(start); last != 5*24*time.Hour {
			t.Errorf("the last attempt came after %v", last)
		}
		pauses := []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour}
		for i := range len(dials) - 2 {
			want := pauses[min(i, len(pauses)-1)]
			if got := dials[i+1].at.Sub(dials[i].at); got < want*9/10 || got > want*11/10 {
				t.Errorf("pause %d is %v, want about %v", i+1, got, want)
			}
		}
		inbox := b.inbox()
		if len(inbox) != 1 {
			t.Fatalf("%d notifications", len(inbox))
		}
		golden(t, "expired.eml", inbox[0])
		if lines := b.journal(); len(lines) != len(dials)+1 || !strings.HasPrefix(lines[len(lines)-1], "failed bob@example.net: 451 4.7.1 not today") &&
			!strings.HasPrefix(lines[len(lines)-2], "failed bob@example.net: 451 4.7.1 not today") {
			t.Errorf("journal: %q", lines)
		}
	})
}

func TestNotificationOfFailure(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.sink.set(func(s *sink) {
			s.answer = func(to string) error {
				switch to {
				case "bob@example.net":
					return smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Text: "no such user,\nlook it up at https://example.net/a-rather-long-address/that-nobody-reads?q=1"}
				case "old@example.net":
					return smtp.Reply{Code: 553, Text: "gone"}
				case "eve@example.net":
					return smtp.Reply{Code: 450, Enhanced: smtp.Enhanced{4, 2, 2}, Text: "full"}
				}
				return nil
			}
		})
		b.submit("ann@example.org", "bob@example.net", "kim@example.net", "eve@example.net", "old@example.net")
		b.run()
		synctest.Wait()
		rows := b.outbox()
		if len(rows) != 1 || len(rows[0].Recipients) != 1 || rows[0].Recipients[0].Address != "eve@example.net" ||
			!strings.Contains(rows[0].Recipients[0].Reply, "4.2.2") {
			t.Fatalf("waiting: %+v", rows)
		}
		inbox := b.inbox()
		if len(inbox) != 1 {
			t.Fatalf("%d notifications", len(inbox))
		}
		golden(t, "failed.eml", inbox[0])

		part, err := message.Parse(strings.NewReader(inbox[0]))
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for p := range part.All() {
			kinds = append(kinds, p.Type+"/"+p.Subtype)
		}
		if want := []string{"multipart/report", "text/plain", "message/delivery-status", "text/rfc822-headers"}; !reflect.DeepEqual(kinds, want) {
			t.Errorf("parts %v", kinds)
		}

		// The one that waited is taken at last; nobody is told twice.
		b.sink.set(func(s *sink) { s.answer = nil })
		time.Sleep(6 * time.Minute)
		if len(b.outbox()) != 0 || len(b.inbox()) != 1 {
			t.Errorf("%d rows, %d notifications", len(b.outbox()), len(b.inbox()))
		}
		for _, d := range b.sink.deliveries() {
			if len(d.to) != 1 || d.text != text {
				t.Errorf("delivered %+v", d)
			}
		}
	})
}

// The domain itself does not exist: nobody answered, and no server is named.
func TestNotificationWithoutServer(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.submit("ann@example.org", "bjørn@nowhere.example")
		b.run()
		synctest.Wait()
		inbox := b.inbox()
		if len(inbox) != 1 || len(b.outbox()) != 0 {
			t.Fatalf("%d notifications, outbox %+v", len(inbox), b.outbox())
		}
		golden(t, "nowhere.eml", inbox[0])
	})
}

func TestNobodyIsToldOfALostNotification(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.submit("", "bob@nowhere.example")
		b.run()
		synctest.Wait()
		if len(b.outbox()) != 0 || len(b.inbox()) != 0 {
			t.Errorf("outbox %+v, inbox %q", b.outbox(), b.inbox())
		}
		if lines := b.journal(); len(lines) != 1 || !strings.HasPrefix(lines[0], "failed bob@nowhere.example: 550 5.1.2") {
			t.Errorf("journal %q", lines)
		}
	})
}

// The process dies when the server has the message and before the row is
// gone: the message is not lost, and the row had said that it was tried.
func TestDeathBeforeTheCommit(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		died := false
		b.sink.set(func(s *sink) {
			s.data = func() error {
				if !died {
					died = true
					return b.store.Close()
				}
				return nil
			}
		})
		b.submit("ann@example.org", "bob@example.net")
		b.run()
		synctest.Wait()
		b.stop()
		if !died {
			t.Fatal("nothing was sent")
		}
		b.open(mailbox.Options{})
		if rows := b.outbox(); len(rows) != 1 || rows[0].Attempts != 1 || rows[0].Attempted.IsZero() {
			t.Fatalf("after the death: %+v", rows)
		}
		b.run()
		time.Sleep(6 * time.Minute)
		if len(b.outbox()) != 0 || len(b.sink.deliveries()) != 2 {
			t.Errorf("outbox %+v, delivered %d times", b.outbox(), len(b.sink.deliveries()))
		}
	})
}

func TestLimits(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.sink.set(func(s *sink) {
			s.data = func() error {
				time.Sleep(time.Minute)
				return nil
			}
		})
		for i := range 40 {
			b.submit("ann@example.org", fmt.Sprintf("u%d@example.net", i))
		}
		for i := range 15 {
			b.submit("ann@example.org", fmt.Sprintf("u@d%d.example.net", i))
		}
		b.run()
		time.Sleep(30 * time.Second)
		count := func(domain string) (n int) {
			for _, o := range b.outbox() {
				if o.Attempts > 0 && (o.Domain == domain || domain == "") {
					n++
				}
			}
			return n
		}
		if one, all := count("example.net"), count(""); one != 5 || all != 20 {
			t.Errorf("%d attempts at one domain, %d in all; want 5 and 20", one, all)
		}
		time.Sleep(time.Hour)
		if n := len(b.sink.deliveries()); n != 55 || len(b.outbox()) != 0 {
			t.Errorf("%d delivered, %d left", n, len(b.outbox()))
		}
		if b.sink.maxOpen != 20 {
			t.Errorf("at most %d at one time", b.sink.maxOpen)
		}
	})
}

func TestEditsOfRowsAreOrders(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.sink.refuses(smtp.Reply{Code: 451, Text: "later"})
		b.submit("ann@example.org", "bob@example.net")
		b.submit("ann@example.org", "kim@sub.example.net")
		b.run()
		synctest.Wait()
		rows := b.outbox()
		if len(rows) != 2 {
			t.Fatal(rows)
		}
		time.Sleep(3 * time.Second) // the connections are closed
		if err := b.store.RetryOutgoing(t.Context(), rows[0].ID); err != nil {
			t.Fatal(err)
		}
		if err := b.store.DropOutgoing(t.Context(), rows[1].ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := len(b.sink.attempts()); n != 3 {
			t.Errorf("%d attempts, want one more than 2", n)
		}
		time.Sleep(time.Hour)
		for _, o := range b.outbox() {
			if o.ID != rows[0].ID {
				t.Errorf("dropped and still there: %+v", o)
			}
		}

		// New mail rings the bell too.
		before := len(b.sink.attempts())
		b.submit("ann@example.org", "new@example.net")
		synctest.Wait()
		if n := len(b.sink.attempts()); n != before+1 {
			t.Errorf("%d attempts after %d", n, before)
		}
	})
}

func TestRowDroppedDuringItsAttempt(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.sink.set(func(s *sink) {
			s.answer = func(string) error {
				time.Sleep(time.Minute)
				return smtp.Reply{Code: 550, Text: "no"}
			}
		})
		b.submit("ann@example.org", "bob@example.net")
		b.run()
		time.Sleep(time.Second)
		if err := b.store.DropOutgoing(t.Context(), b.outbox()[0].ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if len(b.outbox()) != 0 || len(b.inbox()) != 0 || len(b.sink.attempts()) != 1 {
			t.Errorf("outbox %v, inbox %q, %d attempts", b.outbox(), b.inbox(), len(b.sink.attempts()))
		}
	})
}

// A failure whose sender has no account any more ends the row all the same.
func TestSenderIsGone(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.sink.set(func(s *sink) {
			s.answer = func(string) error {
				time.Sleep(time.Minute)
				return smtp.Reply{Code: 550, Text: "no"}
			}
		})
		b.submit("ann@example.org", "bob@example.net")
		b.run()
		time.Sleep(time.Second)
		if err := b.store.RemoveAccount(t.Context(), b.ann.Address); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if len(b.outbox()) != 0 || len(b.sink.attempts()) != 1 {
			t.Errorf("outbox %+v, %d attempts", b.outbox(), len(b.sink.attempts()))
		}
	})
}

// No room for a notification: what was delivered is done all the same, and
// the sender is told when there is room again.
func TestNoRoomToTell(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.sink.refuses(noSuchUser, "bob@example.net")
		b.submit("ann@example.org", "bob@example.net", "kim@example.net")
		if err := b.store.Close(); err != nil {
			t.Fatal(err)
		}
		b.open(mailbox.Options{ReserveBytes: 1 << 60})
		b.run()
		synctest.Wait()
		rows := b.outbox()
		if len(rows) != 1 || len(rows[0].Recipients) != 1 || rows[0].Recipients[0].Address != "bob@example.net" || len(b.inbox()) != 0 {
			t.Fatalf("without room: outbox %+v, inbox %q", rows, b.inbox())
		}
		b.stop()
		if err := b.store.Close(); err != nil {
			t.Fatal(err)
		}
		b.open(mailbox.Options{})
		b.run()
		time.Sleep(6 * time.Minute)
		if len(b.outbox()) != 0 || len(b.inbox()) != 1 || len(b.sink.deliveries()) != 1 {
			t.Errorf("with room: outbox %+v, %d notifications, %d deliveries", b.outbox(), len(b.inbox()), len(b.sink.deliveries()))
		}
	})
}

func TestEndsInTime(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.sink.set(func(s *sink) {
			s.data = func() error {
				time.Sleep(2 * time.Minute)
				return nil
			}
		})
		b.submit("ann@example.org", "bob@example.net")
		b.run()
		time.Sleep(time.Second)
		start := time.Now()
		b.stop()
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v to end", took)
		}
		rows := b.outbox()
		if len(rows) != 1 || rows[0].Attempts != 1 || rows[0].LastReply == "" {
			t.Errorf("broken off, and not in the outbox: %+v", rows)
		}
		time.Sleep(5 * time.Minute) // the sink wakes up
	})
}

func TestSmartHost(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		relay, err := outbound.ParseRelay("smtp://relay.example.com:2525")
		if err != nil {
			t.Fatal(err)
		}
		b.relay.Store(relay)
		b.submit("ann@example.org", "bob@nowhere.example", "kim@example.net")
		b.run()
		synctest.Wait()
		if n := len(b.sink.deliveries()); n != 2 || len(b.outbox()) != 0 {
			t.Errorf("%d deliveries, outbox %+v", n, b.outbox())
		}
		for _, d := range b.sink.attempts() {
			if d.address != "192.0.2.2:2525" {
				t.Errorf("dialled %s", d.address)
			}
		}
	})
}

// golden compares a notification with testdata/name, in which the token of
// its boundary and Message-ID is TOKEN.
func golden(t *testing.T, name, got string) {
	t.Helper()
	token := regexp.MustCompile(`boundary="([a-z0-9]{20,})"`).FindStringSubmatch(got)
	if token == nil {
		t.Fatalf("no boundary in\n%s", got)
	}
	got = strings.ReplaceAll(got, token[1], "TOKEN")
	for line := range strings.Lines(got) {
		if !strings.HasSuffix(line, "\r\n") || len(line) > 1000 {
			t.Errorf("line of %d octets: %q", len(line), line)
		}
	}
	got = strings.ReplaceAll(got, "\r\n", "\n")
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
	}
}
