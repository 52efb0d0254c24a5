package mailbox

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"syscall"
	"time"

	bolterrors "go.etcd.io/bbolt/errors"
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

// A batch ends at whichever comes first, so that nobody waits long behind it.
const (
	batchTime = 20 * time.Millisecond
	batchSize = 512
)

type commit struct {
	run  func(*tx) error
	err  error
	done chan struct{}
}

// update runs f in the next commit and returns when it is durable.
func (s *Store) update(ctx context.Context, f func(*tx) error) error {
	return s.enqueue(ctx, s.first, f)
}

// bulkSize is how many messages an operation may touch before it is bulk.
const bulkSize = 1000

// updateMany is update for an operation on n messages: one on many lets all
// that waits in front of it go first.
func (s *Store) updateMany(ctx context.Context, n int, f func(*tx) error) error {
	if n > bulkSize {
		return s.enqueue(ctx, s.bulk, f)
	}
	return s.update(ctx, f)
}

// enqueue heeds ctx only until the writer has the closure: after that the
// outcome is not the caller's to choose, and is waited for.
func (s *Store) enqueue(ctx context.Context, lane chan<- *commit, f func(*tx) error) error {
	c := &commit{run: f, done: make(chan struct{})}
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
	for {
		s.noteDamages()
		var c *commit
		select {
		case c = <-s.first:
		default:
			select {
			case c = <-s.first:
			case c = <-s.bulk:
			case d := <-s.damages:
				s.noteDamages(d)
				continue
			case <-s.stop:
				return
			}
		}
		s.commitBatch(c)
	}
}

func (s *Store) commitBatch(c *commit) {
	var batch []*commit
	if s.broken.Load() {
		c.err = ErrBroken
		close(c.done)
		return
	}
	t, err := s.begin()
	begun := time.Now()
	for err == nil && c != nil {
		again, failed := t.attempt(c)
		switch {
		case !failed:
			batch = append(batch, c)
		case again:
			close(c.done)
			t.Rollback()
			t, err = s.rerun(&batch)
		default:
			close(c.done)
		}
		c = nil
		if len(batch) < batchSize && time.Since(begun) < batchTime {
			select {
			case c = <-s.first:
			default:
			}
		}
	}
	if c != nil { // begin or rerun failed
		batch = append(batch, c)
	}
	if err == nil {
		err = s.finish(t, len(batch) > 0)
	}
	for _, c := range batch {
		c.err = err
		close(c.done)
	}
}

func (s *Store) begin() (*tx, error) {
	t, err := s.db.Begin(true)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	return &tx{Tx: t, packs: s.packs}, nil
}

// rerun runs the batch again on a fresh transaction. A closure that fails now
// though it did not before leaves the batch too.
func (s *Store) rerun(batch *[]*commit) (*tx, error) {
	for {
		t, err := s.begin()
		if err != nil {
			return nil, err
		}
		kept := (*batch)[:0:0]
		clean := true
		for i, c := range *batch {
			again, failed := t.attempt(c)
			if !failed {
				kept = append(kept, c)
				continue
			}
			close(c.done)
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
		if p := recover(); p != nil {
			c.err = fmt.Errorf("panic in a store operation: %v\n%s", p, debug.Stack())
			again, failed = true, true
		}
	}()
	c.err = c.run(t)
	if c.err == nil {
		return false, false
	}
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
	if err := t.Commit(); err != nil {
		return s.trouble(fmt.Errorf("commit: %w", err))
	}
	for id := range t.rings {
		s.bells.ring(id)
	}
	if t.ringOutbox {
		s.bells.ring(outboxBell)
	}
	for _, n := range t.deadPacks {
		if err := s.packs.remove(n); err != nil {
			s.log.Warn("could not remove a pack that holds no mail any more", "pack", n, "error", err)
		}
	}
	return nil
}

// trouble tells a full disk, which passes, from every other write error, after
// which nobody knows what the disk holds: the store takes no more changes.
func (s *Store) trouble(err error) error {
	if err = s.full(err); errors.Is(err, ErrFull) {
		return err
	}
	if !errors.Is(err, bolterrors.ErrTxClosed) {
		s.broken.Store(true)
		s.log.Error("the store met a write error and takes no more changes", "error", err)
	}
	return fmt.Errorf("%w (%w)", ErrBroken, err)
}

// full makes ErrFull of a write error that says that the disk has no room.
func (s *Store) full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return ErrFull
	}
	return err
}
