package mailbox

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// Group commit. Whoever changes the store hands the writer a closure and waits.
// The writer takes all that wait, runs them in one bbolt transaction, syncs the
// pack that their bodies went into, commits, and then answers all of them: one
// round of syncs for as many as came together. There is no timer: alone, a
// closure never waits for company.
//
// bbolt has no savepoints. So a closure validates before its first put, can be
// run again, and has no effect outside of its transaction; when one fails after
// a put, or panics, the transaction is rolled back and run again without it.

// Two lanes. Deliveries, and what a person waits for, come first; what touches
// more than a thousand messages is cut into pieces, each of which leaves the
// store as it may be for good, and goes behind them: one piece rides along with
// every batch, and while nobody else waits, as many as fit. COPY and MOVE are
// atomic, and so one piece whatever their size.

// A batch ends at whichever comes first, so that nobody waits long behind it.
const (
	batchTime  = 20 * time.Millisecond
	batchSize  = 512
	batchBytes = 4 << 20 // of pages to be written

	// Of these, for pieces with nobody else in the batch.
	bulkTime  = 15 * time.Millisecond
	bulkBytes = 4 << 20
)

// operation is what one caller waits for: a closure, or several.
type operation struct {
	ctx      context.Context
	pieces   int   // that are committed
	fault    error // that one ran into
	err      error
	done     chan struct{}
	answered bool
}

// commit is one closure of an operation, and those to run after it.
type commit struct {
	*operation
	run  func(*tx) error
	rest []func(*tx) error
	bulk bool
	mail bool // new mail, which has no part in the reserve for a full disk
}

// fail notes an error. The caller is told once it is known what became of the
// closures before.
func (c *commit) fail(err error) {
	if c.fault == nil {
		c.fault = err
	}
}

// answer tells the caller when its last closure is committed, or one failed.
func (c *commit) answer(err error) {
	if c.answered {
		return
	}
	if err == nil {
		c.pieces++
		if len(c.rest) > 0 {
			return
		}
	}
	c.err, c.answered = err, true
	close(c.done)
}

// update runs f in the next commit and returns when it is durable.
func (s *Store) update(ctx context.Context, f func(*tx) error) error {
	return s.enqueue(ctx, s.first, &commit{run: f})
}

// updateMail is update for new mail.
func (s *Store) updateMail(ctx context.Context, f func(*tx) error) error {
	return s.enqueue(ctx, s.first, &commit{run: f, mail: true})
}

// bulkSize is how many messages an operation may touch before it is bulk.
const bulkSize = 1000

// updateMany is update for an atomic operation on n messages: one on many lets
// all that waits in front of it go first.
func (s *Store) updateMany(ctx context.Context, n int, f func(*tx) error) error {
	if n > bulkSize {
		return s.updateBulk(ctx, f)
	}
	return s.update(ctx, f)
}

// updateBulk runs f behind all that waits in front of it.
func (s *Store) updateBulk(ctx context.Context, f func(*tx) error) error {
	return s.enqueue(ctx, s.bulk, &commit{run: f, bulk: true})
}

// updatePieces runs closures one after the other, in as many commits as it takes
// for others not to wait. The first error ends it, and so does ctx; the first
// done pieces stay.
func (s *Store) updatePieces(ctx context.Context, pieces []func(*tx) error) (done int, err error) {
	if len(pieces) == 0 {
		return 0, nil
	}
	c, lane := &commit{run: pieces[0], rest: pieces[1:]}, s.first
	if len(pieces) > 1 {
		c.bulk, lane = true, s.bulk
	}
	err = s.enqueue(ctx, lane, c)
	return c.pieces, err
}

// enqueue heeds ctx only until the writer has the closure: after that the
// outcome is not the caller's to choose, and is waited for.
func (s *Store) enqueue(ctx context.Context, lane chan<- *commit, c *commit) error {
	c.operation = &operation{ctx: ctx, done: make(chan struct{})}
	select {
	case <-s.stop:
		return ErrClosed
	default:
	}
	select {
	case lane <- c:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stop:
		return ErrClosed
	}
	<-c.done
	return c.err
}

// write is the writer. The lanes are unbuffered: a closure is either taken, and
// then answered, or its sender sees the store close.
func (s *Store) write() {
	debug.SetPanicOnFault(true) // see fault.go
	w := writer{Store: s}
	for {
		c := w.noting()
		if c == nil {
			c = w.wait()
		}
		if c == nil {
			return
		}
		w.commitBatch(c)
	}
}

// writer is the state of the one goroutine that commits.
type writer struct {
	*Store
	next *commit // the next piece of an operation that was begun
}

// wait returns what a batch begins with, or nil when the store closes.
func (w *writer) wait() *commit {
	select {
	case c := <-w.first:
		return c
	default:
	}
	if c := w.piece(); c != nil {
		select {
		case <-w.stop:
			c.answer(ErrClosed)
			return nil
		default:
			return c
		}
	}
	select {
	case c := <-w.first:
		return c
	case c := <-w.bulk:
		return c
	case d := <-w.damages:
		return w.noting(d)
	case <-w.stop:
		return nil
	}
}

// piece takes the next closure from the lane behind, if there is one.
func (w *writer) piece() *commit {
	c := w.next
	w.next = nil
	if c != nil && !c.answered && c.fault == nil {
		err := c.ctx.Err()
		if err == nil {
			return c
		}
		c.fail(err)
		c.answer(err)
	}
	select {
	case c = <-w.bulk:
		return c
	default:
		return nil
	}
}

// follow returns what comes into the batch as well, or nil when it is enough.
func (w *writer) follow(t *tx, batch []*commit, begun time.Time) *commit {
	took, bytes := time.Since(begun), t.weight()
	if len(batch) >= batchSize || took >= batchTime || bytes >= batchBytes {
		return nil
	}
	select {
	case c := <-w.first:
		return c
	default:
	}
	pieces := 0
	for _, c := range batch {
		if c.bulk {
			pieces++
		}
	}
	if pieces > 0 && (pieces < len(batch) || took >= bulkTime || bytes >= bulkBytes) {
		return nil
	}
	if w.next != nil && w.next.ctx.Err() != nil {
		return nil // it ends when its pieces in this batch are committed
	}
	return w.piece()
}

func (w *writer) commitBatch(c *commit) {
	if w.broken.Load() {
		c.answer(ErrBroken)
		return
	}
	var batch, failed []*commit
	t, err := w.begin()
	begun := time.Now()
	for err == nil && c != nil {
		again, bad := t.attempt(c)
		switch {
		case !bad:
			batch = append(batch, c)
			if len(c.rest) > 0 {
				w.next = &commit{operation: c.operation, run: c.rest[0], rest: c.rest[1:], bulk: true}
			}
		case again:
			failed = append(failed, c)
			t.Rollback()
			t, err = w.rerun(&batch, &failed)
		default:
			failed = append(failed, c)
		}
		c = nil
		if err == nil {
			c = w.follow(t, batch, begun)
		}
	}
	if c != nil { // begin failed
		batch = append(batch, c)
	}
	if err == nil {
		err = w.finish(t, len(batch) > 0)
	}
	if errors.Is(err, ErrFull) {
		err = w.withoutMail(&batch, &failed)
	}
	for _, c := range batch {
		c.answer(err)
	}
	for _, c := range failed { // now it is known what became of its pieces before
		c.answer(c.fault)
	}
}

// withoutMail commits on a full disk what needs little room.
func (w *writer) withoutMail(batch, failed *[]*commit) error {
	kept := slices.DeleteFunc(slices.Clone(*batch), func(c *commit) bool {
		if c.mail {
			c.fail(ErrFull)
			*failed = append(*failed, c)
		}
		return c.mail
	})
	if len(kept) == len(*batch) && !w.giveReserve() {
		return ErrFull
	}
	for *batch = kept; len(*batch) > 0; {
		t, err := w.rerun(batch, failed)
		if err == nil {
			err = w.finish(t, len(*batch) > 0)
		}
		if !errors.Is(err, ErrFull) || !w.giveReserve() {
			return err
		}
	}
	return nil
}

// weight is about how many bytes of pages the transaction will write.
func (t *tx) weight() int64 {
	stats := t.Stats()
	return stats.GetNodeCount()*int64(t.DB().Info().PageSize) + t.bytes
}

func (s *Store) begin() (_ *tx, err error) {
	defer recoverFault(&err)
	t, err := s.db.Begin(true)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	return &tx{Tx: t, packs: s.packs, memos: &s.memos}, nil
}

// rerun runs the batch again on a fresh transaction. A closure that fails now
// though it did not before leaves the batch too.
func (s *Store) rerun(batch, failed *[]*commit) (*tx, error) {
	for {
		t, err := s.begin()
		if err != nil {
			return nil, err
		}
		kept := (*batch)[:0:0]
		clean := true
		for i, c := range *batch {
			again, bad := t.attempt(c)
			if !bad {
				kept = append(kept, c)
				continue
			}
			*failed = append(*failed, c)
			if again {
				kept = append(kept, (*batch)[i+1:]...)
				clean = false
				break
			}
		}
		*batch = kept
		if clean {
			return t, nil
		}
		t.Rollback()
	}
}

// attempt runs one closure. again says that it failed with puts behind it, so
// that the transaction must be given up.
func (t *tx) attempt(c *commit) (again, failed bool) {
	before := t.puts
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		again, failed = true, true
		if fault, ok := p.(interface{ Addr() uintptr }); ok {
			c.fail(fmt.Errorf("roost.db can't be read at %#x: %w", fault.Addr(), ErrCorrupt))
			return
		}
		c.fail(fmt.Errorf("panic in a store operation: %v\n%s", p, debug.Stack()))
	}()
	err := c.run(t)
	if err == nil {
		return false, false
	}
	c.fail(err)
	return t.puts > before, true
}

// finish makes the batch durable: first the bytes that its rows point at, then
// the rows.
func (s *Store) finish(t *tx, changed bool) error {
	if !changed || t.puts == 0 {
		t.Rollback()
		return nil
	}
	if err := s.packs.sync(); err != nil {
		t.Rollback()
		return s.trouble(fmt.Errorf("sync the pack: %w", err))
	}
	if err := s.put(t); err != nil {
		return s.trouble(err)
	}
	if t.wake {
		select {
		case s.wake <- struct{}{}:
		default: // it will see this as well
		}
	}
	for _, f := range t.after {
		f()
	}
	for id := range t.rings {
		s.bells.ring(id)
	}
	if t.ringOutbox {
		s.bells.ring(outboxBell)
	}
	for _, n := range t.deadPacks {
		if _, err := s.packs.remove(n); err != nil {
			s.log.Warn("could not remove a pack that holds no mail any more", "pack", n, "error", err)
		}
	}
	return nil
}
