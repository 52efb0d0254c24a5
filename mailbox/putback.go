package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A store that was restored takes the place of the one that was there in two steps.
// The directory with its files says by its name which of them is next, each step can
// be done again, and the next Open finishes what a kill or a power cut ended:
//
//	roost.restoring       the backup is being read: what is in the data directory stays
//	roost.replacing-TIME  all of it is whole: the files of the store that was there get
//	                      a second name in replaced-TIME
//	roost.placing         they have it: their first names go, and the restored files
//	                      get a second name in the data directory
//
// Nobody gives such names to a directory of their own, since of these the next Open
// makes the store.
//
// A file gets a second name, and loses the first when that is on the disk: nothing
// promises that one which is moved to another directory is in either of them after a
// power cut.

const (
	restoringName = "roost.restoring"
	replacingName = "roost.replacing-" // and when
	placingName   = "roost.placing"
	replacedName  = "replaced-" // and when
)

// finishRestore finishes a restore that had come so far that its files are whole, and
// removes what one left that had not. It says whether it finished one. ErrLocked when
// another process is at it.
func finishRestore(dir string) (finished bool, err error) {
	whole, err := filepath.Glob(filepath.Join(dir, replacingName+"*"))
	if err != nil {
		return false, err
	}
	// There is only one of them: a restore begins with finishing the last.
	for _, stage := range append(whole, filepath.Join(dir, placingName), filepath.Join(dir, restoringName)) {
		release, err := lockRestore(stage)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		defer release()
		if filepath.Base(stage) == restoringName {
			return false, dropRestore(dir)
		}
		if err := putBack(dir, stage); err != nil {
			return false, fmt.Errorf("finish a restore that was interrupted: %w", err)
		}
		return true, nil
	}
	return false, nil
}

// lockRestore keeps other processes away from a directory of restored files, also
// under its later names.
func lockRestore(stage string) (release func(), err error) {
	f, err := os.Open(stage)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, faultf(ErrLocked, "another process restores a backup into %s", filepath.Dir(stage))
	}
	return func() { f.Close() }, nil
}

// beginRestore makes the directory for a restore to come.
func beginRestore(dir string) (release func(), err error) {
	stage := filepath.Join(dir, restoringName)
	if err := os.Mkdir(stage, 0o700); err != nil {
		return nil, err
	}
	return lockRestore(stage)
}

// begunRestore gives the files of a restore, once they are whole, the name from which
// it can be finished. there: a store has to make room, and goes to replaced.
func begunRestore(dir string, there bool) (stage, replaced string, err error) {
	stage = filepath.Join(dir, placingName)
	if there {
		at := time.Now().UTC()
		for ; ; at = at.Add(time.Second) {
			replaced = filepath.Join(dir, replacedName+at.Format(snapshotTime))
			if _, err := os.Lstat(replaced); errors.Is(err, fs.ErrNotExist) {
				break
			}
		}
		stage = filepath.Join(dir, replacingName+at.Format(snapshotTime))
	}
	if err := os.Rename(filepath.Join(dir, restoringName), stage); err != nil {
		return "", "", err
	}
	return stage, replaced, syncDir(dir)
}

// putBack goes on with a restore whose files, in the directory stage, are whole.
func putBack(dir, stage string) error {
	if at, ok := strings.CutPrefix(filepath.Base(stage), replacingName); ok {
		if err := linkStore(dir, filepath.Join(dir, replacedName+at)); err != nil {
			return err
		}
		safe := filepath.Join(dir, placingName)
		if err := os.Rename(stage, safe); err != nil {
			return err
		}
		if err := syncDir(dir); err != nil {
			return err
		}
		stage = safe
	}
	old, err := storeFiles(dir)
	if err != nil {
		return err
	}
	for _, name := range old {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if err := linkStore(stage, dir); err != nil {
		return err
	}
	if err := dropRestore(dir); err != nil {
		return err
	}
	if err := os.Rename(stage, filepath.Join(dir, restoringName)); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	return dropRestore(dir)
}

// dropRestore removes what a restore left that came to nothing, or is over.
func dropRestore(dir string) error {
	stage := filepath.Join(dir, restoringName)
	if _, err := os.Lstat(stage); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(os.RemoveAll(stage), syncDir(dir))
}

// storeFiles names the files of the store in a directory, roost.db last.
func storeFiles(dir string) ([]string, error) {
	var names []string
	for _, sub := range []struct{ dir, suffix string }{{"packs", ".pack"}, {"snapshots", ".db"}, {".", ""}} {
		entries, err := os.ReadDir(filepath.Join(dir, sub.dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			name := e.Name()
			if sub.suffix != "" && strings.HasSuffix(name, sub.suffix) || sub.suffix == "" && (name == dbName || name == runningName) {
				names = append(names, filepath.Join(sub.dir, name))
			}
		}
	}
	return names, nil
}

// linkStore gives the files of a store names in another directory as well, and has
// these on the disk.
func linkStore(from, to string) error {
	names, err := storeFiles(from)
	if err != nil {
		return err
	}
	if err := makeDir(to); err != nil {
		return err
	}
	dirs := []string{filepath.Join(to, "packs"), to}
	if _, err := os.Stat(snapshotDir(from)); err == nil {
		if err := os.MkdirAll(snapshotDir(to), 0o700); err != nil {
			return err
		}
		dirs = append(dirs, snapshotDir(to))
	}
	for _, name := range names {
		if err := linkFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	for _, dir := range dirs {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// linkFile gives a file a second name, or copies it where the file system knows only
// one. A second name that is there stays: it is only ever given to whole files.
func linkFile(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	in, openErr := os.Open(from)
	if openErr != nil {
		return openErr
	}
	defer in.Close()
	st, statErr := in.Stat()
	if statErr != nil {
		return statErr
	}
	_, err = receiveFile(context.Background(), to, st.Size(), in, func(int64) {})
	return err
}
