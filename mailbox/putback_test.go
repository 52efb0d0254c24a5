package mailbox

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A restore that was killed is finished when the store is next opened, or it has not
// happened. Power cuts at every sync are in powerjob_test.go.
func TestRestoreIsFinishedByTheNextStart(t *testing.T) {
	for _, c := range []struct {
		name   string
		killed func(dir, stage string) // how far it had come
		old    bool
	}{
		{"before the backup was read", func(dir, stage string) { os.Rename(stage, filepath.Join(dir, restoringName)) }, true},
		{"before anything was moved", func(dir, stage string) {}, false},
		{"while the old got their second names", func(dir, stage string) {
			to := filepath.Join(dir, replacedName+filepath.Base(stage)[len(replacingName):])
			os.MkdirAll(filepath.Join(to, "packs"), 0o700)
			os.Link(filepath.Join(dir, "packs", packName(1)), filepath.Join(to, "packs", packName(1)))
		}, false},
		{"while the old were removed", func(dir, stage string) {
			linkStore(dir, filepath.Join(dir, replacedName+filepath.Base(stage)[len(replacingName):]))
			os.Rename(stage, filepath.Join(dir, placingName))
			os.Remove(filepath.Join(dir, "packs", packName(1)))
		}, false},
		{"while the new came", func(dir, stage string) {
			linkStore(dir, filepath.Join(dir, replacedName+filepath.Base(stage)[len(replacingName):]))
			os.Rename(stage, filepath.Join(dir, placingName))
			os.Remove(filepath.Join(dir, dbName))
			os.Remove(filepath.Join(dir, "packs", packName(1)))
			os.Link(filepath.Join(dir, placingName, "packs", packName(1)), filepath.Join(dir, "packs", packName(1)))
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, ann, _ := furnished(t)
			restored := texts(t, s)
			tape := backUp(t, s, nil)
			accept(t, s, letter(1), Placement{Account: ann.ID})
			old := texts(t, s)
			dir := s.Dir()
			closeStore(t, s)
			other := filepath.Join(t.TempDir(), "other")
			if _, err := Restore(t.Context(), bytes.NewReader(tape), other, RestoreOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(filepath.Join(dir, restoringName), os.DirFS(other)); err != nil {
				t.Fatal(err)
			}
			stage, replaced, err := begunRestore(dir, true)
			if err != nil {
				t.Fatal(err)
			}
			c.killed(dir, stage)
			now := openStore(t, dir, Options{})
			if c.old {
				sameTexts(t, texts(t, now), old)
			} else {
				sameTexts(t, texts(t, now), restored)
				sameTexts(t, texts(t, openStore(t, replaced, Options{})), old)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "roost.*ing*")); err != nil || len(left) > 0 {
				t.Errorf("%q is left (%v)", left, err)
			}
		})
	}
}

// A directory of somebody's own in the data directory is not taken for one of ours.
func TestADirectoryOfOnesOwnIsNotARestore(t *testing.T) {
	s, _, _ := furnished(t)
	want, dir := texts(t, s), s.Dir()
	other := filepath.Join(t.TempDir(), "other")
	if _, err := Restore(t.Context(), bytes.NewReader(backUp(t, s, nil)), other, RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	for _, name := range []string{"restored", "restoring", "backup"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(other)); err != nil {
			t.Fatal(err)
		}
	}
	sameTexts(t, texts(t, openStore(t, dir, Options{})), want)
	for _, name := range []string{"restored", "restoring", "backup"} {
		if _, err := os.Stat(filepath.Join(dir, name, dbName)); err != nil {
			t.Error(err)
		}
	}
}

// Where a file can have only one name, or none on the other file system, it is copied.
func TestAFileThatCannotBeLinkedIsCopied(t *testing.T) {
	from := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(from, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere, err := os.MkdirTemp("/dev/shm", "roost")
	if err != nil {
		t.Skip("there is no second file system: ", err)
	}
	defer os.RemoveAll(elsewhere)
	to := filepath.Join(elsewhere, "file")
	if err := os.Link(from, to); !errors.Is(err, syscall.EXDEV) {
		t.Skip("/dev/shm is no second file system: ", err)
	}
	for range 2 { // the second time it is there
		if err := linkFile(from, to); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(to); err != nil || string(b) != "text" {
		t.Errorf("the copy has %q, %v", b, err)
	}
}
