package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/smtp"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"roost/mailbox"
)

// Roost is killed at random moments while messages come in. Each message that
// was answered with 250 is there exactly once, every other one at most once.
// This proves that a commit is atomic; that it is durable, a kill can't prove.
func TestKilledAtRandomMoments(t *testing.T) {
	rounds := 8
	switch {
	case os.Getenv("ROOST_LONG") == "1":
		rounds = 500
	case os.Getenv("CI") == "true":
		rounds = 50
	}
	w, err := newWorld(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	answered := make(map[string]bool)
	for round := range rounds {
		if err := w.start(); err != nil {
			t.Fatal(err)
		}
		var senders sync.WaitGroup
		left := 1 + rand.IntN(40) // answers until the random moment
		enough := make(chan struct{})
		for n := range 4 {
			senders.Go(func() {
				send(w.addr["smtp"], fmt.Sprintf("%d.%d", round, n), func(id string) {
					mu.Lock()
					answered[id] = true
					if left--; left == 0 {
						close(enough)
					}
					mu.Unlock()
				})
			})
		}
		select {
		case <-enough:
		case <-time.After(time.Minute):
			t.Errorf("round %d: the server answers nobody", round)
		}
		time.Sleep(rand.N(20 * time.Millisecond)) // and somewhere within what follows
		w.kill()
		senders.Wait()
		found := stored(t, w.dir)
		for id := range answered {
			if found[id] != 1 {
				t.Errorf("round %d: message %s was answered with 250 and is there %d times", round, id, found[id])
			}
		}
		for id, n := range found {
			if n > 1 {
				t.Errorf("round %d: message %s is there %d times", round, id, n)
			}
		}
		if t.Failed() {
			return
		}
	}
	if len(answered) < rounds {
		t.Errorf("only %d messages were answered in %d rounds: the test kills too early to show anything", len(answered), rounds)
	}
	t.Logf("%d kills, %d messages answered with 250", rounds, len(answered))
}

// send delivers messages to both accounts until the connection breaks.
func send(addr, name string, answered func(id string)) {
	c, err := smtp.Dial(addr)
	if err != nil {
		return
	}
	defer c.Close()
	for i := 0; ; i++ {
		id := fmt.Sprintf("%s.%d@kill.example", name, i)
		if c.Mail("a@kill.example") != nil || c.Rcpt("me@roost.localhost") != nil || c.Rcpt("you@roost.localhost") != nil {
			return
		}
		data, err := c.Data()
		if err != nil {
			return
		}
		fmt.Fprintf(data, "From: a@kill.example\r\nMessage-ID: <%s>\r\n\r\n%s\r\n", id, bytes.Repeat([]byte("to be or not to be\r\n"), rand.IntN(2000)))
		if data.Close() != nil {
			return
		}
		answered(id)
	}
}

var messageID = regexp.MustCompile(`<([0-9.]+@kill\.example)>`)

// stored counts the messages of both accounts by Message-ID; a message is there
// once when each of the two has it once.
func stored(t *testing.T, dir string) map[string]int {
	t.Helper()
	s, err := mailbox.Open(dir, mailbox.Options{LockTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := s.Check(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	found := make(map[string]int)
	for _, addr := range []mailbox.Address{"me@roost.localhost", "you@roost.localhost"} {
		a, err := s.Account(addr)
		if err != nil {
			t.Fatal(err)
		}
		snap, err := s.Snapshot(a.ID, mailbox.InboxID)
		if err != nil {
			t.Fatal(err)
		}
		var uids []mailbox.UID
		for _, e := range snap.Entries {
			uids = append(uids, e.UID)
		}
		here := make(map[string]int)
		err = s.Facts(a.ID, mailbox.InboxID, uids, func(m *mailbox.Facts) error {
			if id := messageID.FindSubmatch(m.Envelope); id != nil {
				here[string(id[1])]++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if addr == "me@roost.localhost" {
			found = here
			continue
		}
		for id := range found {
			if here[id] != found[id] {
				t.Errorf("message %s: me@ has it %d times, you@ %d times", id, found[id], here[id])
			}
		}
	}
	return found
}
