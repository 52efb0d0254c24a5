package inbound_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roost/mailbox"
	"roost/mailbox/mailboxtest"
)

const opened = "S: 220 ...\nEHLO\nC: MAIL FROM:<joe@example.net>\nS: 250 ...\nC: RCPT TO:<ann@example.org>\nS: 250 ...\nC: RCPT TO:<bob@example.org>\nS: 250 ...\n"

// TestAlmostFull: below the mark nothing begins, and the words are for now.
func TestAlmostFull(t *testing.T) {
	p := newPostOn(t, t.TempDir(), mailbox.Options{ReserveBytes: 1 << 60}, nil, "")
	p.player().Play(t, "S: 220 ...\nEHLO\nC: MAIL FROM:<joe@example.net>\nS: 452 4.3.1 ...\nC: RCPT TO:<ann@example.org>\nS: 503 ...\nC: QUIT\nS: 221 ...")
}

// TestSizeThatHasNoRoom: RFC 1870 6.1, by what the client announces.
func TestSizeThatHasNoRoom(t *testing.T) {
	dir := mailboxtest.SmallDisk(t, 8)
	p := newPostOn(t, dir, mailbox.Options{ReserveBytes: 1 << 20, MaxMessage: 100 << 20}, nil, "")
	p.player().Play(t, "S: 220 ...\nEHLO\nC: MAIL FROM:<joe@example.net> SIZE=50000000\nS: 452 4.3.1 ...\nC: MAIL FROM:<joe@example.net> SIZE=1000\nS: 250 ...")
}

// TestDiskRunsFull fills a real disk with mail. What was answered with 250 is
// there, the rest was refused for now, never for good; and when there is room
// again mail comes in over the same server.
func TestDiskRunsFull(t *testing.T) {
	for _, mark := range []int64{4 << 20, 1} { // heeded, and run into
		t.Run(fmt.Sprint("reserve ", mark), func(t *testing.T) {
			dir := mailboxtest.SmallDisk(t, 16)
			filler := filepath.Join(dir, "filler")
			if err := os.WriteFile(filler, make([]byte, 6<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			p := newPostOn(t, dir, mailbox.Options{ReserveBytes: mark, MaxMessage: 4 << 20}, nil, "")
			noise := strings.Builder{}
			for i := uint64(1); noise.Len() < 400_000; i = i*6364136223846793005 + 1442695040888963407 {
				fmt.Fprintf(&noise, "%016x\r\n", i) // little to compress
			}
			send := func(n int) string {
				t.Helper()
				return p.say(fmt.Sprintf("Subject: %d\r\n\r\n%s", n, noise.String()))
			}
			taken := 0
			for n := range 200 {
				r := send(n)
				if strings.HasPrefix(r, "250 ") {
					taken++
					continue
				}
				if !strings.HasPrefix(r, "452 4.3.1 ") {
					t.Fatalf("a full disk says %q", r)
				}
				break
			}
			if n := len(p.inbox("ann@example.org")); taken == 0 || taken > 150 || n != taken {
				t.Fatalf("%d messages answered with 250, %d in the mailbox", taken, n)
			}
			for n := range 3 { // and again, and smaller
				if r := p.say(fmt.Sprintf("Subject: again %d\r\n\r\n", n)); strings.HasPrefix(r, "250 ") {
					taken++
				} else if !strings.HasPrefix(r, "452 4.3.1 ") {
					t.Fatalf("a full disk says %q", r)
				}
			}
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			if r := send(1000); !strings.HasPrefix(r, "250 ") {
				t.Fatalf("with room again: %q", r)
			}
			for _, who := range []mailbox.Address{"ann@example.org", "bob@example.org"} {
				if n := len(p.inbox(who)); n != taken+1 {
					t.Errorf("%d messages answered with 250, %d in the mailbox of %s", taken+1, n, who)
				}
			}
		})
	}
}

// TestStoreIsGone: a store that takes nothing more is trouble for now.
func TestStoreIsGone(t *testing.T) {
	p := newPost(t)
	player := p.player()
	player.Play(t, opened+"C: DATA\nS: 354 ...")
	if err := p.store.Close(); err != nil {
		t.Fatal(err)
	}
	player.Play(t, "C: Subject: x\nC:\nC: .\nS: 451 4.3.0 ...\nC: MAIL FROM:<joe@example.net>\nS: 250 ...\nC: RCPT TO:<ann@example.org>\nS: 451 4.3.0 ...")
}

// TestAccountLeavesMeanwhile: between RCPT and the commit. Nobody gets half.
func TestAccountLeavesMeanwhile(t *testing.T) {
	p := newPost(t)
	player := p.player()
	player.Play(t, opened+"C: DATA\nS: 354 ...")
	if err := p.store.RemoveAccount(t.Context(), "bob@example.org"); err != nil {
		t.Fatal(err)
	}
	player.Play(t, "C: Subject: x\nC:\nC: .\nS: 451 4.3.0 ...\nINBOX ann@example.org 0")
}

// TestQuotaMeanwhile: two senders were let in by RCPT, and there is room for one.
func TestQuotaMeanwhile(t *testing.T) {
	p := newPost(t)
	begin := "S: 220 ...\nEHLO\nC: MAIL FROM:<joe@example.net>\nS: 250 ...\nC: RCPT TO:<ann@example.org>\nS: 250 ...\nC: RCPT TO:<full@example.org>\nS: 250 ...\nC: DATA\nS: 354 ...\n"
	one, two := p.player(), p.player()
	one.Play(t, begin)
	two.Play(t, begin)
	message := `C= "Subject: x\r\n\r\n" * 10x"..............................................xxxx\r\n" * ".\r\n"` + "\n"
	one.Play(t, message+"S: 250 ...")
	two.Play(t, message+"S: 452 4.2.2 ...\nINBOX full@example.org 1\nINBOX ann@example.org 1")
}
