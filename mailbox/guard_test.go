package mailbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// door tries to log in as ann from an address.
type door struct {
	t *testing.T
	s *Store
}

// try gives "in", "wrong" or "blocked", and how long the answer took.
func (d door) try(from, password string) (string, time.Duration) {
	d.t.Helper()
	begun := time.Now()
	_, err := d.s.Login(context.Background(), netip.MustParseAddr(from), "ann@example.org", password)
	took := time.Since(begun)
	switch {
	case err == nil:
		return "in", took
	case errors.Is(err, ErrLogin):
		return "wrong", took
	case errors.Is(err, ErrBlocked):
		return "blocked", took
	}
	d.t.Fatal(err)
	return "", 0
}

func (d door) want(from, password, want string) {
	d.t.Helper()
	if got, _ := d.try(from, password); got != want {
		d.t.Errorf("%q from %s: %s, want %s", password, from, got, want)
	}
}

func TestGuessing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := newStore(t, Options{})
		d := door{t, s}
		const guesser = "192.0.2.1"
		for n := range 10 {
			got, took := d.try(guesser, fmt.Sprint("guess ", n))
			if want := time.Duration(n+1) * 500 * time.Millisecond; got != "wrong" || took != want {
				t.Errorf("guess %d: %s after %s, want %s", n, got, took, want)
			}
		}
		d.want(guesser, "secret", "blocked")
		d.want("::ffff:192.0.2.1", "secret", "blocked")
		if _, err := s.LoginPerson(context.Background(), netip.MustParseAddr(guesser), "ann", "secret"); !errors.Is(err, ErrBlocked) {
			t.Errorf("at the panel: %v", err)
		}
		if err := s.Admit(netip.MustParseAddr(guesser)); !errors.Is(err, ErrBlocked) || err.Error() != "too many wrong passwords from your address: try again in 10 minutes" {
			t.Errorf("Admit: %v", err)
		}
		d.want("192.0.2.2", "secret", "in")
		all := s.Blocks()
		if len(all) != 1 || all[0].Address.String() != "192.0.2.1/32" || all[0].Wrong != 10 || all[0].Until.Sub(all[0].Since) != 10*time.Minute {
			t.Errorf("%+v", all)
		}
		time.Sleep(10 * time.Minute)
		if all := s.Blocks(); len(all) != 0 {
			t.Errorf("%+v", all)
		}
		d.want(guesser, "secret", "in")
	})
}

func TestGuessingSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := newStore(t, Options{})
		d := door{t, s}
		for n := range 50 {
			if n > 0 {
				time.Sleep(20 * time.Minute)
			}
			// The addresses of one host.
			from := netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", n+1))
			if err := s.Admit(from); err != nil {
				t.Fatalf("guess %d: %v", n, err)
			}
			if pause, blocked := s.guard.wrong(from, "ann", fmt.Sprint("guess ", n)); pause > 5*time.Second || blocked != (n == 49) {
				t.Errorf("guess %d: %s, %v", n, pause, blocked)
			}
		}
		d.want("2001:db8::ffff", "secret", "blocked")
		d.want("2001:db8:0:1::1", "secret", "in")
		if all := s.Blocks(); len(all) != 1 || all[0].Address.String() != "2001:db8::/64" {
			t.Fatalf("%+v", all)
		}
		time.Sleep(23 * time.Hour)
		d.want("2001:db8::1", "secret", "blocked")
		time.Sleep(time.Hour)
		d.want("2001:db8::1", "guess", "wrong")
		d.want("2001:db8::1", "secret", "in")
	})
}

// TestAnOldPasswordAgain: a mail program that nobody told of the new one.
func TestAnOldPasswordAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := newStore(t, Options{})
		d := door{t, s}
		for range 12 {
			if got, took := d.try("192.0.2.1", "old"); got != "wrong" || took != 500*time.Millisecond {
				t.Fatalf("%s after %s", got, took)
			}
		}
		d.want("192.0.2.1", "secret", "in")
	})
}

func TestWhoIsNeverLockedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := newStore(t, Options{})
		d := door{t, s}
		for n := range 12 {
			if got, took := d.try("127.0.0.1", fmt.Sprint(n)); got != "wrong" || took != 0 {
				t.Fatalf("at home: %s after %s", got, took)
			}
		}
		d.want("127.0.0.1", "secret", "in")
		d.want("192.0.2.1", "secret", "in")
		for n := range 12 {
			if got, took := d.try("192.0.2.1", fmt.Sprint(n)); got != "wrong" || took != min(time.Duration(n+1)*500*time.Millisecond, 5*time.Second) {
				t.Fatalf("where somebody lives: %s after %s", got, took)
			}
		}
		d.want("192.0.2.1", "secret", "in")
		time.Sleep(8 * 24 * time.Hour)
		for n := range 10 {
			d.want("192.0.2.1", fmt.Sprint(n), "wrong")
		}
		d.want("192.0.2.1", "secret", "blocked")
	})
}

func TestLiftBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := newStore(t, Options{})
		d := door{t, s}
		addr := netip.MustParseAddr("192.0.2.1")
		if err := s.LiftBlock(t.Context(), addr); !errors.Is(err, ErrNotFound) {
			t.Errorf("nothing to lift: %v", err)
		}
		for n := range 10 {
			d.want("192.0.2.1", fmt.Sprint(n), "wrong")
		}
		if err := s.LiftBlock(t.Context(), addr); err != nil {
			t.Error(err)
		}
		d.want("192.0.2.1", "another", "wrong")
		d.want("192.0.2.1", "secret", "in")
	})
}

// TestGuessesSideBySide have no more of them than those that wait for each other: a
// right one among them that comes too late is not let in.
func TestGuessesSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard()
		from := netip.MustParseAddr("192.0.2.1")
		for range 20 {
			if err := g.admit(from); err != nil {
				t.Fatal(err)
			}
		}
		blocked := 0
		for n := range 19 {
			if _, now := g.wrong(from, "ann", fmt.Sprint(n)); now {
				blocked = n + 1
				break
			}
		}
		if blocked != 10 || g.admit(from) == nil {
			t.Errorf("blocked after %d", blocked)
		}
	})
}

func TestGuardHasBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard()
		address := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}) }
		blocked := netip.MustParseAddr("192.0.2.1")
		for n := range 10 {
			g.wrong(blocked, "ann", fmt.Sprint(n))
		}
		for n := range 3 * maxGuarded {
			g.wrong(address(n), "ann", "guess")
			g.right(address(n))
		}
		if len(g.guesses) > maxGuarded || len(g.known) > maxGuarded {
			t.Errorf("%d and %d addresses are remembered", len(g.guesses), len(g.known))
		}
		if g.admit(blocked) == nil {
			t.Error("a block was forgotten for those who are not blocked")
		}
		for n := range maxGuarded + 100 {
			for k := range 10 {
				g.wrong(netip.AddrFrom4([4]byte{11, byte(n >> 16), byte(n >> 8), byte(n)}), "ann", fmt.Sprint(k))
			}
		}
		if len(g.guesses) > maxGuarded {
			t.Errorf("%d addresses are remembered", len(g.guesses))
		}
	})
}
