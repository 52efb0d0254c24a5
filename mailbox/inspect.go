package mailbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Inspect looks whether a roost.db can be opened: every page of it, its format,
// its buckets. It changes nothing. A damaged file may end the process that looks
// at it, beyond recovery; so a server has another process do it. Errors:
// ErrLocked, ErrCorrupt.
func Inspect(path string) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true, Timeout: time.Second})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return faultf(ErrLocked, "%s is in use by another process: is a Roost server running on it?", filepath.Dir(path))
	}
	if err != nil {
		return faultf(ErrCorrupt, "%s can't be opened: %v", path, err)
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			return faultf(ErrCorrupt, "%s is damaged: %v", path, err)
		}
		if tx.Bucket(bMeta) == nil {
			return nil // nothing was committed yet
		}
		have, err := formatOf(tx)
		if err != nil {
			return err
		}
		if have < 1 || have > format {
			return faultf(ErrInvalid, "%s has format %d, and this Roost knows formats 1 to %d: run a newer Roost", path, have, format)
		}
		return nil
	})
}

// inspectFirst refuses to open what can't be opened, or what would be a new store
// in place of a lost one.
func inspectFirst(dir string, o Options) error {
	path := filepath.Join(dir, dbName)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		packs, err := filepath.Glob(filepath.Join(dir, "packs", "*.pack"))
		if err != nil || len(packs) == 0 {
			return err
		}
		return faultf(ErrCorrupt, "%s is missing, and there is mail in %d packs beside it: `roost rescue` gives it back", path, len(packs))
	}
	if _, err := os.Stat(filepath.Join(dir, runningName)); err != nil || o.Inspect == nil {
		return nil
	}
	release, err := lockDir(dir)
	if err != nil {
		return nil // somebody works with it, as whoever opens it is told
	}
	release()
	o.Log.Info("the last stop was not a clean one: looking through roost.db")
	switch err := o.Inspect(path); {
	case err == nil, errors.Is(err, ErrLocked), errors.Is(err, ErrInvalid):
		return err
	default:
		return damagedFile(dir, err.Error())
	}
}

func damagedFile(dir, what string) error {
	return faultf(ErrCorrupt, "%s is damaged (%s): `roost rescue` makes a new one from the last good snapshot and the packs, and keeps the damaged one",
		filepath.Join(dir, dbName), what)
}

// markRunning makes the file that only a clean Close removes, and has it on the
// disk before anything else is written: it tells of a power cut, too.
func (s *Store) markRunning() error {
	f, err := os.OpenFile(filepath.Join(s.dir, runningName), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("mark the store as open: %w", err)
	}
	s.marked = true
	return errors.Join(f.Close(), syncDir(s.dir))
}
