package queue_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"roost/mailbox"
	"roost/mta/outbound"
	"roost/mta/smtp"
)

// arrived counts how often each recipient got its message.
func (b *box) arrived() map[string]int {
	n := map[string]int{}
	for _, d := range b.sink.deliveries() {
		for _, to := range d.to {
			n[to]++
		}
	}
	return n
}

// once fails unless that many recipients got their message, each once, and nothing
// is left.
func (b *box) once(want int) {
	b.t.Helper()
	got := b.arrived()
	for to, n := range got {
		if n != 1 {
			b.t.Errorf("%s got it %d times", to, n)
		}
	}
	if len(got) != want || len(b.outbox()) != 0 {
		b.t.Errorf("%d recipients of %d, and %d rows left", len(got), want, len(b.outbox()))
	}
}

// What is due at one destination shares its connections: as many as there may be
// attempts, however many messages.
func TestConnectionsAreShared(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		for i := range 50 {
			b.submit("ann@example.org", fmt.Sprintf("u%d@example.net", i))
		}
		b.run()
		synctest.Wait()
		b.once(50)
		if n := len(b.sink.attempts()); n != 5 {
			t.Errorf("%d connections for 50 messages", n)
		}
	})
}

// A connection stays open for two seconds, and what comes meanwhile goes over it.
func TestConnectionIsKeptForAWhile(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.run()
		for i, step := range []struct {
			pause time.Duration
			dials int
		}{{0, 1}, {time.Second, 1}, {1900 * time.Millisecond, 1}, {2100 * time.Millisecond, 2}, {time.Hour, 3}} {
			time.Sleep(step.pause)
			b.submit("ann@example.org", fmt.Sprintf("u%d@example.net", i))
			synctest.Wait()
			if n := len(b.sink.attempts()); n != step.dials {
				t.Errorf("after another %v: %d connections, want %d", step.pause, n, step.dials)
			}
		}
		b.once(5)
	})
}

// A server that hangs up while nothing is under way has refused nothing: the next
// message goes over another connection at once, and arrives once.
func TestHungUpBetweenMessages(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.run()
		b.submit("ann@example.org", "one@example.net")
		synctest.Wait()
		b.sink.hangUp()
		b.submit("ann@example.org", "two@example.net")
		synctest.Wait()
		b.once(2)
		if n := len(b.sink.attempts()); n != 2 {
			t.Errorf("%d connections", n)
		}
	})
}

// RFC 5321 3.8: 421 in the middle of a connection. That message waits, those behind
// it go over another connection.
func TestGoingDownInBetween(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.per = 1
		n := 0
		b.sink.set(func(s *sink) {
			s.data = func() error {
				if n++; n == 2 {
					return smtp.Reply{Code: 421, Text: "going down"}
				}
				return nil
			}
		})
		for i := range 4 {
			b.submit("ann@example.org", fmt.Sprintf("u%d@example.net", i))
		}
		b.run()
		synctest.Wait()
		rows := b.outbox()
		if len(rows) != 1 || rows[0].Recipients[0].Address != "u1@example.net" || rows[0].LastReply != "421 going down" {
			t.Errorf("what is left: %+v", rows)
		}
		time.Sleep(6 * time.Minute)
		b.once(4)
		if n := len(b.sink.attempts()); n != 3 {
			t.Errorf("%d connections", n)
		}
	})
}

// A message that is refused does not spoil those that share its connection.
func TestRefusedInBetween(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.per = 1
		b.sink.set(func(s *sink) {
			s.answer = func(to string) error {
				if strings.HasPrefix(to, "no") {
					return smtp.Reply{Code: 550, Text: "nobody"}
				}
				return nil
			}
		})
		for _, who := range []string{"u0", "no1", "u2", "no3", "u4"} {
			b.submit("ann@example.org", who+"@example.net")
		}
		b.run()
		synctest.Wait()
		b.once(3)
		if n := len(b.sink.attempts()); n != 1 || len(b.inbox()) != 2 {
			t.Errorf("%d connections, %d notifications", n, len(b.inbox()))
		}
	})
}

// The process dies while the second message of a connection is under way: the first
// is done with, the second had been marked, the third is as it was.
func TestDeathInTheMiddleOfAConnection(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.per = 1
		n := 0
		b.sink.set(func(s *sink) {
			s.data = func() error {
				if n++; n == 2 {
					return b.store.Close()
				}
				return nil
			}
		})
		for i := range 3 {
			b.submit("ann@example.org", fmt.Sprintf("u%d@example.net", i))
		}
		b.run()
		synctest.Wait()
		b.stop()
		b.open(mailbox.Options{})
		rows := b.outbox()
		if len(rows) != 2 || rows[0].Attempts != 1 || rows[1].Attempts != 0 {
			t.Fatalf("after the death: %+v", rows)
		}
		b.run()
		time.Sleep(6 * time.Minute)
		// That the server had the second is known to nobody here (RFC 1047).
		if got := b.arrived(); got["u0@example.net"] != 1 || got["u1@example.net"] != 2 || got["u2@example.net"] != 1 || len(b.outbox()) != 0 {
			t.Errorf("%v, and %d rows left", got, len(b.outbox()))
		}
	})
}

// More destinations than there may be connections: none waits until another has
// got all its mail.
func TestDestinationsTakeTurns(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.sink.set(func(s *sink) {
			s.data = func() error {
				time.Sleep(time.Minute)
				return nil
			}
		})
		for i := range 25 {
			for n := range 4 {
				b.submit("ann@example.org", fmt.Sprintf("u%d@d%d.example.net", n, i))
			}
		}
		b.run()
		time.Sleep(2*time.Minute + time.Second)
		var served []string
		for to := range b.arrived() {
			_, domain, _ := strings.Cut(to, "@")
			served = append(served, domain)
		}
		slices.Sort(served)
		if n := len(slices.Compact(served)); n != 25 {
			t.Errorf("after two rounds, %d destinations of 25 got something", n)
		}
		time.Sleep(10 * time.Minute)
		b.once(100)
	})
}

// Another smart host holds for what waits already, and connections to the old one
// are not used any more.
func TestAnotherSmartHost(t *testing.T) {
	inBox(t, func(t *testing.T, b *box) {
		b.per = 1
		old, err := outbound.ParseRelay("smtp://relay.example.com:2525")
		if err != nil {
			t.Fatal(err)
		}
		b.relay.Store(old)
		n := 0
		b.sink.set(func(s *sink) {
			s.data = func() error {
				if n++; n == 1 {
					b.relay.Store(nil)
				}
				return nil
			}
		})
		b.submit("ann@example.org", "one@example.net")
		b.submit("ann@example.org", "two@example.net")
		b.run()
		synctest.Wait()
		b.once(2)
		if d := b.sink.attempts(); len(d) != 2 || d[0].address != "192.0.2.2:2525" || d[1].address != "192.0.2.1:25" {
			t.Errorf("dialled %v", d)
		}
	})
}

// Servers that fail at any moment at which it is plain that they have not taken the
// message: each arrives, once.
func TestUnreliableServers(t *testing.T) {
	seeds := uint64(5)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBox(t, func(t *testing.T, b *box) {
				dice := rand.New(rand.NewPCG(seed, 1))
				var mu sync.Mutex
				// One time in so many it fails, and then one in three by hanging up.
				sometimes := func(n int) error {
					mu.Lock()
					defer mu.Unlock()
					switch {
					case dice.IntN(n) > 0:
						return nil
					case dice.IntN(3) == 0:
						return smtp.Reply{Code: 421, Text: "going down"}
					}
					return smtp.Reply{Code: 451, Text: "not now"}
				}
				b.sink.set(func(s *sink) {
					s.begin = func() error { return sometimes(5) }
					s.answer = func(string) error { return sometimes(5) }
					s.data = func() error { return sometimes(5) }
				})
				b.run()
				for i := range 60 {
					b.submit("ann@example.org", fmt.Sprintf("u%d@d%d.example.net", i, i%4))
					if i%10 == 9 {
						time.Sleep(time.Second)
					}
				}
				time.Sleep(4 * 24 * time.Hour)
				b.once(60)
			})
		})
	}
}
