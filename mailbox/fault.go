package mailbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// What the disk does to a store, and what the store makes of it.
//
// A full disk passes. New mail is refused while less than Options.ReserveBytes
// are free, before any work is done, so that flags and expunges still have room.
// Other programs do not know of that mark: for when they take the last byte, the
// file "reserve" holds some room. The first commit that finds none removes it,
// and is run again; it is made anew once there is room for it beyond the mark.
//
// Any other write error leaves it unknown what is on the disk. The store then
// takes no more changes until it is opened again.
//
// roost.db is read through a map of the file, where a page that the disk does
// not give is a fault in the middle of nowhere: it ends that one read with
// ErrCorrupt, and not the process.

const reserveName = "reserve"

// reserveBytes is the size of the reserve. A commit of flags writes some dozens
// of pages, mostly into free ones.
func (s *Store) reserveBytes() int64 { return min(s.opts.ReserveBytes/4, 16<<20) }

// free is how much room the disk has for us.
func (s *Store) free() (bytes int64, known bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &st); err != nil {
		return 0, false // it will say so when it is full
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}

// Room says whether there is room for a message of some size, so that it can be
// refused for now before it comes. ErrFull.
func (s *Store) Room(size int64) error { return s.room(max(size, 0)) }

// room refuses new mail while the disk is almost full.
func (s *Store) room(need int64) error {
	if free, known := s.free(); known && free < s.opts.ReserveBytes+need {
		return ErrFull
	}
	return nil
}

// roomToRewrite lets packs be rewritten below the mark as well: it is how a disk
// that is full of dead mail gets room again.
func (s *Store) roomToRewrite(need int64) error {
	if free, known := s.free(); known && free < s.reserveBytes()+need {
		return ErrFull
	}
	return nil
}

// keepReserve is the job that makes the reserve when it is missing and there is
// room for it.
func (s *Store) keepReserve(context.Context) error {
	path := filepath.Join(s.dir, reserveName)
	if st, err := os.Stat(path); err == nil && st.Size() == s.reserveBytes() {
		return nil
	}
	if s.room(s.reserveBytes()) != nil {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return s.full(err)
	}
	err = allocate(f, s.reserveBytes())
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(path)
		return s.full(err)
	}
	return nil
}

// allocate gives a file blocks on the disk.
func allocate(f *os.File, size int64) error {
	err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
	if !errors.Is(err, syscall.EOPNOTSUPP) && !errors.Is(err, syscall.ENOSYS) {
		return err
	}
	zero := make([]byte, 64<<10)
	for at := int64(0); at < size; at += int64(len(zero)) {
		if _, err := f.WriteAt(zero[:min(int64(len(zero)), size-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// giveReserve removes the reserve; it says whether there was one.
func (s *Store) giveReserve() bool {
	err := os.Remove(filepath.Join(s.dir, reserveName))
	if err == nil {
		s.log.Warn("the disk is full; the reserve is used for flags and expunges", "bytes", s.reserveBytes())
	}
	return err == nil
}

// full makes ErrFull of a write error that says that the disk has no room.
func (s *Store) full(err error) error {
	for _, no := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		// Of some errors bbolt gives the text alone.
		if errors.Is(err, no) || err != nil && strings.HasSuffix(err.Error(), no.Error()) {
			return ErrFull
		}
	}
	return err
}

// trouble tells a full disk, which passes, from every other write error, after
// which nobody knows what the disk holds: the store takes no more changes.
func (s *Store) trouble(err error) error {
	if err = s.full(err); errors.Is(err, ErrFull) {
		return err
	}
	if !errors.Is(err, bolterrors.ErrTxClosed) {
		if s.broken.CompareAndSwap(false, true) {
			close(s.fell)
		}
		s.log.Error("the store met a write error and takes no more changes", "error", err)
	}
	return fmt.Errorf("%w (%w)", ErrBroken, err)
}

// put commits the transaction.
func (s *Store) put(t *tx) (err error) {
	id := t.ID()
	if err = tryCommit(t); err == nil {
		return nil
	}
	err = fmt.Errorf("commit: %w", err)
	if errors.Is(err, ErrCorrupt) {
		return err
	}
	// The page that makes it valid may be in the file, though it was not synced.
	now := s.view(func(tx *tx) error {
		if tx.ID() >= id {
			return errors.New("it may be in part on the disk")
		}
		return nil
	})
	if now != nil {
		return fmt.Errorf("commit: %v: %w", err, now) // broken, whatever the reason
	}
	return err
}

func tryCommit(t *tx) (err error) {
	defer func() {
		if errors.Is(err, ErrCorrupt) {
			defer func() { recover() }()
			t.Rollback() // lets go of the lock
		}
	}()
	defer recoverFault(&err)
	return t.Commit()
}

// recoverFault makes an error of a panic: of a page that could not be read, or
// that makes no sense.
func recoverFault(err *error) {
	p := recover()
	if p == nil {
		return
	}
	if fault, ok := p.(interface{ Addr() uintptr }); ok {
		*err = fmt.Errorf("roost.db can't be read at %#x: %w", fault.Addr(), ErrCorrupt)
		return
	}
	*err = fmt.Errorf("panic while reading roost.db: %v: %w\n%s", p, ErrCorrupt, debug.Stack())
}

// view runs f on a snapshot. f copies what it keeps, and does no network I/O.
func (s *Store) view(f func(*tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if errors.Is(err, ErrCorrupt) && s.unreadable.CompareAndSwap(false, true) {
			s.log.Error("the store is damaged: run `roost check`", "error", err)
		}
	}()
	defer recoverFault(&err)
	err = s.db.View(func(t *bbolt.Tx) error { return f(&tx{Tx: t, memos: &s.memos}) })
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}
