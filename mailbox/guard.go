package mailbox

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"roost/mailbox/remote"
)

// Limits on wrong passwords, for what counts as one client (remote.Host).
const (
	guessesPerMinute = 10
	guessesPerDay    = 50
	minuteBlock      = 10 * time.Minute // for too many in a minute
	dayBlock         = 24 * time.Hour   // for too many in a day

	guessPause    = 500 * time.Millisecond // more before each answer
	maxGuessPause = 5 * time.Second

	// trustedFor is how long after a right password an address is slowed down at
	// most: somebody lives there.
	trustedFor = 7 * 24 * time.Hour

	// maxGuarded bounds the addresses that are remembered, of those who guess and
	// of those who knew.
	maxGuarded = 10_000
)

// guard counts wrong passwords at the login door, for all protocols together. The same
// one again counts once, so that a mail program with an old password does not lock its
// owner out; so do proofs of SCRAM for one name, which look different each time and of
// which no number finds a generated secret. Loopback is not counted, nor what has no
// address. The counts are in memory, and a restart forgets them; a block it does not
// forget, with what was counted until then (lockout.go).
type guard struct {
	key []byte // of this process

	mu      sync.Mutex
	guesses map[netip.Prefix]*guesses
	known   map[netip.Prefix]time.Time // the last right password
}

// guesses are the wrong passwords from one address.
type guesses struct {
	day    time.Time // when the first of the day came
	minute time.Time // and of the minute
	n      int       // in the minute
	seen   [][8]byte // digests of those of the day

	blocked, until time.Time
}

func newGuard() *guard {
	g := &guard{key: make([]byte, 32), guesses: make(map[netip.Prefix]*guesses), known: make(map[netip.Prefix]time.Time)}
	rand.Read(g.key)
	return g
}

// admit refuses an address that is blocked. It is asked before a password is looked
// at, and again before a right one is let in, so that guesses side by side have no
// more of them than one after the other.
func (g *guard) admit(from netip.Addr) error {
	p, counted := remote.Host(from)
	if !counted {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if w := g.guesses[p]; w != nil && time.Now().Before(w.until) {
		wait := "a minute"
		if n := int((time.Until(w.until) + time.Minute - 1) / time.Minute); n > 1 {
			wait = fmt.Sprintf("%d minutes", n)
		}
		return faultf(ErrBlocked, "too many wrong passwords from your address: try again in %s", wait)
	}
	return nil
}

// right notes that an address knew a password.
func (g *guard) right(from netip.Addr) {
	p, counted := remote.Host(from)
	if !counted {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, have := g.known[p]; !have && len(g.known) >= maxGuarded {
		g.forgetKnown()
	}
	g.known[p] = time.Now()
}

// wrong counts a wrong password. It gives how long the answer has to wait, and
// whether the address is blocked from now on.
func (g *guard) wrong(from netip.Addr, name, password string) (pause time.Duration, blocked bool) {
	p, counted := remote.Host(from)
	if !counted {
		return 0, false
	}
	mac := hmac.New(sha256.New, g.key)
	mac.Write([]byte(name + "\x00" + password))
	digest := [8]byte(mac.Sum(nil))
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	w := g.guesses[p]
	if w == nil {
		if len(g.guesses) >= maxGuarded {
			g.forgetGuesses(now)
		}
		w = &guesses{}
		g.guesses[p] = w
	}
	if now.Sub(w.day) >= 24*time.Hour {
		w.day, w.seen = now, nil
	}
	if !slices.Contains(w.seen, digest) {
		if now.Sub(w.minute) >= time.Minute {
			w.minute, w.n = now, 0
		}
		w.n++
		if len(w.seen) < guessesPerDay {
			w.seen = append(w.seen, digest)
		}
		if last, ok := g.known[p]; ok && now.Sub(last) < trustedFor {
			// Somebody lives there.
		} else if len(w.seen) >= guessesPerDay {
			w.block(now, dayBlock)
		} else if w.n >= guessesPerMinute {
			w.block(now, minuteBlock)
		}
	}
	return min(time.Duration(len(w.seen))*guessPause, maxGuessPause), w.blocked.Equal(now)
}

func (w *guesses) block(now time.Time, d time.Duration) {
	w.blocked, w.until, w.minute, w.n = now, now.Add(d), time.Time{}, 0
	if d == dayBlock {
		w.day = now // they stay counted while it lasts
	}
}

// forgetGuesses makes room: of those whose day is over, else of those who are not
// blocked, else of some.
func (g *guard) forgetGuesses(now time.Time) {
	for _, over := range []func(*guesses) bool{
		func(w *guesses) bool { return now.Sub(w.day) >= 24*time.Hour && now.After(w.until) },
		func(w *guesses) bool { return now.After(w.until) },
		func(*guesses) bool { return true },
	} {
		for p, w := range g.guesses {
			if len(g.guesses) > maxGuarded*9/10 && over(w) {
				delete(g.guesses, p)
			}
		}
	}
}

func (g *guard) forgetKnown() {
	for _, over := range []func(time.Time) bool{
		func(t time.Time) bool { return time.Since(t) >= trustedFor },
		func(time.Time) bool { return true },
	} {
		for p, t := range g.known {
			if len(g.known) > maxGuarded*9/10 && over(t) {
				delete(g.known, p)
			}
		}
	}
}

// Admit tells whether an address may try to log in. ErrBlocked, with the time that is
// left. Login asks too.
func (s *Store) Admit(from netip.Addr) error { return s.guard.admit(from) }

// knock lets check look at a password that came from an address.
func (s *Store) knock(ctx context.Context, from netip.Addr, name, password string, check func() (Account, error)) (Account, error) {
	if err := s.guard.admit(from); err != nil {
		return Account{}, err
	}
	a, err := check()
	switch errorKind(err) {
	case nil:
		if err := s.guard.admit(from); err != nil {
			return Account{}, err
		}
		s.guard.right(from)
	case ErrLogin:
		pause, blocked := s.guard.wrong(from, name, password)
		if blocked {
			s.log.Warn("locked out after many wrong passwords", "address", from)
			s.noteBlock(ctx, from)
		}
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return Account{}, ctx.Err()
		}
	}
	return a, err
}

// knockToSend is knock for those who come to send.
func (s *Store) knockToSend(ctx context.Context, from netip.Addr, name, password string, check func() (Submitter, error)) (who Submitter, err error) {
	_, err = s.knock(ctx, from, name, password, func() (_ Account, err error) {
		who, err = check()
		return who.Account, err
	})
	if err == nil {
		err = s.view(func(tx *tx) error {
			_, err := tx.maySend(who.Account.ID, who.Device, time.Now())
			return err
		})
	}
	if err != nil {
		return Submitter{}, err
	}
	return who, nil
}
