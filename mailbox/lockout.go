package mailbox

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"roost/mailbox/remote"
)

// Block is an address that may not log in for a time. The guard knows it, and a row in
// the bucket blocks, from which the next Open tells the guard. A row says what the
// guard says when its commit is made, so that of a block and its lifting at the same
// time whichever the guard has seen last is kept.
type Block struct {
	Address netip.Prefix `json:"address"` // a single IPv4 address, or an IPv6 /64
	Wrong   int          `json:"wrong"`   // passwords in the last day, each once
	Since   time.Time    `json:"since"`
	Until   time.Time    `json:"until"`
}

// Network is the address as people write it.
func (b Block) Network() string {
	if b.Address.IsSingleIP() {
		return b.Address.Addr().String()
	}
	return b.Address.String()
}

func (b Block) line() Line {
	return Line{Event: Blocked, Remote: b.Network(), Detail: []string{
		fmt.Sprintf("%d wrong passwords in a day: may not log in until %s", b.Wrong, b.Until.UTC().Format(time.DateTime+" UTC"))}}
}

// blockedNow gives the block of an address, if there is one.
func (g *guard) blockedNow(p netip.Prefix) (Block, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.guesses[p]
	if w == nil || !time.Now().Before(w.until) {
		return Block{}, false
	}
	return Block{p, len(w.seen), w.blocked.UTC(), w.until.UTC()}, true
}

// load makes the guard know a block of an earlier process. What was guessed then can't
// be compared any more, as the key is gone: it counts, and equals nothing. A clock that
// was set back since makes no block longer than a new one.
func (g *guard) load(b Block, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	until := b.Until
	if latest := now.Add(dayBlock); until.After(latest) {
		until = latest
	}
	g.guesses[b.Address] = &guesses{day: b.Since, seen: make([][8]byte, min(b.Wrong, guessesPerDay)), blocked: b.Since, until: until}
}

// Blocks lists the addresses that may not log in, the latest first.
func (s *Store) Blocks() []Block {
	g := s.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []Block
	for p, w := range g.guesses {
		if time.Now().Before(w.until) {
			all = append(all, Block{p, len(w.seen), w.blocked, w.until})
		}
	}
	slices.SortFunc(all, func(a, b Block) int {
		return cmp.Or(b.Since.Compare(a.Since), a.Address.Addr().Compare(b.Address.Addr()))
	})
	return all
}

// LiftBlock lets an address log in again, and forgets what it guessed. ErrNotFound
// when it is not blocked.
func (s *Store) LiftBlock(ctx context.Context, a netip.Addr) error {
	p, _ := remote.Host(a)
	g := s.guard
	g.mu.Lock()
	w := g.guesses[p]
	if w == nil || !time.Now().Before(w.until) {
		g.mu.Unlock()
		return faultf(ErrNotFound, "%s is not locked out", a)
	}
	delete(g.guesses, p)
	g.mu.Unlock()
	err := s.update(ctx, func(tx *tx) error { return tx.keepBlock(g, p) })
	if err != nil { // it would be back after a restart
		g.mu.Lock()
		if g.guesses[p] == nil {
			g.guesses[p] = w
		}
		g.mu.Unlock()
	}
	return err
}

// noteBlock writes down a block that just began, for the journal and for the next
// process. Whoever guesses may have hung up: that does not matter.
func (s *Store) noteBlock(ctx context.Context, from netip.Addr) {
	p, _ := remote.Host(from)
	b, ok := s.guard.blockedNow(p)
	if !ok {
		return // it was lifted meanwhile
	}
	err := s.update(context.WithoutCancel(ctx), func(tx *tx) error {
		if err := tx.keepBlock(s.guard, p); err != nil {
			return err
		}
		return tx.log(b.line())
	})
	if err != nil {
		s.log.Error("a lockout could not be written down: a restart forgets it", "address", from, "error", err)
	}
}

// keepBlock makes the row of an address what the guard knows of it.
func (tx *tx) keepBlock(g *guard, p netip.Prefix) error {
	b, ok := g.blockedNow(p)
	if !ok {
		return tx.delete(bBlocks, []byte(p.String()))
	}
	return tx.putJSON(bBlocks, []byte(p.String()), &b)
}

func parseLockout(k, v []byte) (Block, error) {
	var b Block
	if err := json.Unmarshal(v, &b); err != nil {
		return b, fmt.Errorf("lockout of %q: %w", k, err)
	}
	if p, ok := remote.Host(b.Address.Addr()); !ok || p != b.Address || p.String() != string(k) || b.Wrong < 0 || !b.Since.Before(b.Until) {
		return b, fmt.Errorf("lockout of %q: %s cannot be", k, v)
	}
	return b, nil
}

// loadBlocks tells the guard what the last process knew. A row that can't be read is
// passed over, and dropped by the next dropBlocks: it is no reason not to serve mail.
func (s *Store) loadBlocks() error {
	now := time.Now()
	var all []Block
	err := s.view(func(tx *tx) error {
		return tx.each(bBlocks, nil, func(k, v []byte) error {
			b, err := parseLockout(k, v)
			if err != nil {
				s.log.Warn("passed over", "error", err)
			} else if now.Before(b.Until) {
				all = append(all, b)
			}
			return nil
		})
	})
	slices.SortFunc(all, func(a, b Block) int { return b.Since.Compare(a.Since) })
	for _, b := range all[:min(len(all), maxGuarded)] {
		s.guard.load(b, now)
	}
	return err
}

// blocksPiece is how many rows of blocks are dropped in one commit.
const blocksPiece = 256

// dropBlocks is the job that drops the rows of what the guard does not block any more,
// because it is over or because there are too many.
func (s *Store) dropBlocks(ctx context.Context) error {
	for left := true; left; {
		err := s.updateBulk(ctx, func(tx *tx) (err error) {
			left, err = tx.dropBlocks(s.guard)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (tx *tx) dropBlocks(g *guard) (left bool, err error) {
	var over [][]byte
	c := tx.Bucket(bBlocks).Cursor()
	for k, v := c.First(); k != nil && len(over) < blocksPiece; k, v = c.Next() {
		b, err := parseLockout(k, v)
		if err == nil {
			if _, is := g.blockedNow(b.Address); is {
				continue
			}
		}
		over = append(over, bytes.Clone(k))
	}
	for _, k := range over {
		if err := tx.delete(bBlocks, k); err != nil {
			return false, err
		}
	}
	return len(over) == blocksPiece, nil
}

// checkBlocks looks whether each row can be read, and is of the network it lies at.
func (tx *tx) checkBlocks(r *Report, _ map[BodyID]int64) error {
	return tx.each(bBlocks, nil, func(k, v []byte) error {
		if _, err := parseLockout(k, v); err != nil {
			r.problem("%v", err)
		}
		return nil
	})
}
