package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Snapshots are copies of roost.db in DIR/snapshots, one an hour. They are small
// beside the packs, which need none: together with what packs got since, the
// newest good one gives every message back when roost.db is damaged (rescue.go).

const (
	snapshotEvery = time.Hour
	// Kept are the newest, and beyond them the last one of each day.
	snapshotsKept    = 4
	snapshotDaysKept = 4
	snapshotTime     = "20060102T150405Z"
)

func snapshotDir(dir string) string { return filepath.Join(dir, "snapshots") }

// A snapshotFile is a snapshot by its name, which tells when it was made.
type snapshotFile struct {
	path string
	at   time.Time
}

// snapshotsIn lists the snapshots of a data directory, the newest first.
func snapshotsIn(dir string) ([]snapshotFile, error) {
	entries, err := os.ReadDir(snapshotDir(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var all []snapshotFile
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), ".db")
		at, err := time.Parse(snapshotTime, base)
		if ok && err == nil {
			all = append(all, snapshotFile{filepath.Join(snapshotDir(dir), e.Name()), at})
		}
	}
	slices.SortFunc(all, func(a, b snapshotFile) int { return b.at.Compare(a.at) })
	return all, err
}

// takeSnapshot makes a snapshot when the newest is old enough, and removes those
// that are not kept. It makes none while the disk has less room than three of
// them would take.
func (s *Store) takeSnapshot(ctx context.Context) error {
	all, err := snapshotsIn(s.dir)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	if len(all) > 0 && now.Sub(all[0].at) < snapshotEvery*9/10 && !now.Before(all[0].at) {
		return nil
	}
	if err := nameDir(snapshotDir(s.dir)); err != nil {
		return err
	}
	var size int64
	if err := s.view(func(tx *tx) error { size = tx.Size(); return nil }); err != nil {
		return err
	}
	if err := s.room(3 * size); err != nil {
		return fmt.Errorf("make a snapshot: %w", err)
	}
	f, err := os.CreateTemp(snapshotDir(s.dir), spoolPrefix)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := s.copyDB(ctx, f, func(*tx) error { return nil }); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return s.full(err)
	}
	made := snapshotFile{filepath.Join(snapshotDir(s.dir), now.Format(snapshotTime)+".db"), now}
	if err := os.Rename(f.Name(), made.path); err != nil {
		return err
	}
	for _, old := range outdated(append([]snapshotFile{made}, all...)) {
		if err := os.Remove(old.path); err != nil {
			return err
		}
	}
	return syncDir(snapshotDir(s.dir))
}

// outdated tells which of the snapshots, the newest first, are not kept.
func outdated(all []snapshotFile) []snapshotFile {
	var old []snapshotFile
	days := make(map[string]bool)
	for i, f := range all {
		day := f.at.Format(time.DateOnly)
		last := !days[day] && len(days) < snapshotDaysKept
		if last {
			days[day] = true
		}
		if i >= snapshotsKept && !last {
			old = append(old, f)
		}
	}
	return old
}

// copyDB writes roost.db as it is at one moment. A transaction is open while it
// does: pages that are freed meanwhile stay unused until the next commit, and
// nobody waits. So w is a file of this machine, never a connection. note sees the
// same moment first.
func (s *Store) copyDB(ctx context.Context, w io.Writer, note func(*tx) error) error {
	return s.view(func(tx *tx) error {
		if err := note(tx); err != nil {
			return err
		}
		if _, err := tx.WriteTo(contextWriter{ctx, w}); err != nil {
			return fmt.Errorf("copy roost.db: %w", s.full(err))
		}
		return nil
	})
}

// contextWriter ends a long copy early.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c contextWriter) Write(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(b)
}

// lockDir takes the lock that an open store holds on its roost.db, for work on the
// files themselves. ErrLocked. Where there is no roost.db, nobody can have it open.
func lockDir(dir string) (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, dbName), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, faultf(ErrLocked, "%s is in use by another process: stop the Roost server that runs on it", dir)
	}
	return func() { f.Close() }, nil
}
