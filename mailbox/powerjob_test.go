package mailbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// Why nothing is lost without some syncs.
const (
	alreadyNamed = "the directory had its name before"
	neverRead    = "nobody reads it after it was received"
)

var powerJobs = []powerJob{
	{
		name:    "migration",
		prepare: prepareMigration,
		run: func(_ context.Context, root string) error {
			// The store is not closed: a power cut is no clean stop.
			if _, err := Open(filepath.Join(root, "data"), powerOptions); err != nil {
				return err
			}
			fmt.Println("done")
			return nil
		},
		look:  lookAtMigration,
		spare: map[string]string{".": alreadyNamed},
	},
	{
		name: "snapshot",
		prepare: func(t *testing.T, root string) powerWants {
			s, _, _ := furnished(t)
			return powerWants{Texts: []map[string]int{copyStore(t, s, filepath.Join(root, "data"))}}
		},
		run: func(ctx context.Context, root string) error {
			s, err := Open(filepath.Join(root, "data"), powerOptions)
			if err != nil {
				return err
			}
			if err := s.takeSnapshot(ctx); err != nil {
				return err
			}
			fmt.Println("done")
			return s.Close()
		},
		look:  lookAtSnapshot,
		spare: map[string]string{".": alreadyNamed},
	},
	{
		name: "first-backup",
		prepare: func(t *testing.T, root string) powerWants {
			s, _, _ := furnished(t)
			writeFile(t, filepath.Join(root, "tape"), backUp(t, s, nil))
			return powerWants{Texts: []map[string]int{nil, texts(t, s)}}
		},
		run:  runBackup,
		look: lookAtBackup,
	},
	{
		name:    "backup",
		prepare: prepareBackup,
		run:     runBackup,
		look:    lookAtBackup,
		spare:   map[string]string{".": alreadyNamed},
	},
	{
		name:    "rescue",
		prepare: prepareRescue,
		run: func(ctx context.Context, root string) error {
			_, err := Rescue(ctx, filepath.Join(root, "data"), RescueOptions{})
			if err == nil {
				fmt.Println("done")
			}
			return err
		},
		look: lookAtRescue,
	},
	{
		name: "restore",
		prepare: func(t *testing.T, root string) powerWants {
			s, _, _ := furnished(t)
			writeFile(t, filepath.Join(root, "tape"), backUp(t, s, nil))
			return powerWants{Texts: []map[string]int{nil, texts(t, s)}}
		},
		run:   runRestore,
		look:  lookAtRestore,
		spare: map[string]string{stagedManifest: neverRead, stagedSums: neverRead},
	},
	{
		name: "replace",
		prepare: func(t *testing.T, root string) powerWants {
			s, _, _ := furnished(t)
			restored := texts(t, s)
			writeFile(t, filepath.Join(root, "tape"), backUp(t, s, nil))
			old, ann, _ := newStore(t, Options{}) // another, whose packs are of no use for the restored one
			old.packs.full = 64 << 10
			for n := range 8 {
				accept(t, old, letter(n), Placement{Account: ann.ID})
			}
			if err := old.takeSnapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
			return powerWants{Texts: []map[string]int{copyStore(t, old, filepath.Join(root, "data")), restored}}
		},
		run:   runRestore,
		look:  lookAtRestore,
		spare: map[string]string{".": alreadyNamed, stagedManifest: neverRead, stagedSums: neverRead},
	},
}

const (
	stagedManifest = "data/roost.restoring/backup.json.new.part"
	stagedSums     = "data/roost.restoring/SHANSUMS.new.part"
)

// copyStore copies a store at rest and tells what it has.
func copyStore(t *testing.T, s *Store, to string) map[string]int {
	t.Helper()
	all := texts(t, s)
	if err := os.CopyFS(to, os.DirFS(s.Dir())); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{reserveName, runningName} { // large; or made anew
		if err := os.Remove(filepath.Join(to, name)); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// opensWith opens a store and compares what it has.
func opensWith(dir string, want ...map[string]int) error {
	s, err := Open(dir, powerOptions)
	if err != nil {
		return err
	}
	defer s.Close()
	got, err := textsOf(s)
	if err != nil {
		return err
	}
	for _, w := range want {
		if maps.Equal(got, w) {
			r, err := s.Check(context.Background())
			return errors.Join(err, r.Err())
		}
	}
	return fmt.Errorf("it has %d messages, and not those that it should", len(got))
}

func prepareMigration(t *testing.T, root string) powerWants {
	want, err := os.ReadFile(filepath.Join("testdata", "format.txt"))
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(root, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	unpack(t, "testdata/format-1.tar.gz", data)
	return powerWants{Description: want}
}

func lookAtMigration(ctx context.Context, root string, done bool, want powerWants) error {
	data := filepath.Join(root, "data")
	if done {
		if _, err := os.Stat(filepath.Join(data, runningName)); err != nil {
			return fmt.Errorf("nothing tells that the stop was not clean: %w", err)
		}
		err := readDB(filepath.Join(data, dbName), func(tx *tx) error {
			if have := binary.BigEndian.Uint32(tx.Bucket(bMeta).Get(kFormat)); have != format {
				return fmt.Errorf("it has format %d again", have)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	s, err := Open(data, powerOptions)
	if err != nil {
		return err
	}
	defer s.Close()
	switch got, err := description(s); {
	case err != nil:
		return err
	case got != string(want.Description):
		return fmt.Errorf("it has\n%s", got)
	}
	r, err := s.Check(ctx)
	return errors.Join(err, r.Err())
}

// lookAtSnapshot wants every snapshot that is there to be whole, and one of them once
// it was made.
func lookAtSnapshot(_ context.Context, root string, done bool, want powerWants) error {
	data := filepath.Join(root, "data")
	all, err := snapshotsIn(data)
	if err != nil {
		return err
	}
	if done && len(all) != 1 {
		return fmt.Errorf("there are %d snapshots", len(all))
	}
	for _, s := range all {
		if err := Inspect(s.path); err != nil {
			return err
		}
	}
	return opensWith(data, want.Texts...)
}

func prepareBackup(t *testing.T, root string) powerWants {
	s, ann, _ := furnished(t)
	s.packs.full = 64 << 10 // some packs stay, some are new
	want := powerWants{Texts: []map[string]int{texts(t, s)}}
	usb := filepath.Join(root, "usb")
	if _, err := ReceiveBackup(t.Context(), bytes.NewReader(backUp(t, s, nil)), usb, nil); err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		accept(t, s, letter(n), Placement{Account: ann.ID})
	}
	if _, err := s.Expunge(t.Context(), ann.ID, InboxID, nil); err != nil {
		t.Fatal(err)
	}
	have, err := BackupHas(usb)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(root, "tape"), backUp(t, s, have))
	want.Texts = append(want.Texts, texts(t, s))
	return want
}

func runBackup(ctx context.Context, root string) error {
	if err := receiveTape(ctx, root); err != nil {
		return err
	}
	fmt.Println("done")
	return nil
}

func receiveTape(ctx context.Context, root string) error {
	f, err := os.Open(filepath.Join(root, "tape"))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = ReceiveBackup(ctx, f, filepath.Join(root, "usb"), nil)
	return err
}

// lookAtBackup wants the former backup, if there was one, or the new one; and the
// next to succeed.
func lookAtBackup(ctx context.Context, root string, done bool, want powerWants) error {
	usb := filepath.Join(root, "usb")
	former, now := want.Texts[0], want.Texts[1]
	for i, may := range [][]map[string]int{{former, now}, {now}} {
		data := filepath.Join(root, fmt.Sprintf("restored-%d", i))
		switch _, err := RestoreDir(ctx, usb, data, RestoreOptions{}); {
		case errors.Is(err, ErrNotFound) && former == nil && i == 0 && !done:
		case err != nil:
			return err
		case done:
			return opensWith(data, now)
		default:
			if err := opensWith(data, may...); err != nil {
				return err
			}
		}
		if i == 0 {
			if err := receiveTape(ctx, root); err != nil {
				return err
			}
		}
	}
	return nil
}

func prepareRescue(t *testing.T, root string) powerWants {
	s, ann, _ := furnished(t)
	if err := s.takeSnapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	accept(t, s, letter(1), Placement{Account: ann.ID})
	data := filepath.Join(root, "data")
	want := powerWants{Texts: []map[string]int{copyStore(t, s, data)}}
	if err := os.Truncate(filepath.Join(data, dbName), 4096); err != nil {
		t.Fatal(err)
	}
	return want
}

func lookAtRescue(ctx context.Context, root string, done bool, want powerWants) error {
	data := filepath.Join(root, "data")
	damaged, err := filepath.Glob(filepath.Join(data, dbName+".damaged-*"))
	if st, statErr := os.Stat(filepath.Join(data, dbName)); err != nil || len(damaged) == 0 && (statErr != nil || st.Size() != 4096) {
		return fmt.Errorf("the damaged file is gone: %w", errors.Join(err, statErr))
	}
	if err = opensWith(data, want.Texts...); err == nil || done {
		return err
	}
	if _, err := Rescue(ctx, data, RescueOptions{}); err != nil {
		return err
	}
	return opensWith(data, want.Texts...)
}

func runRestore(ctx context.Context, root string) error {
	if _, err := restoreTape(ctx, root); err != nil {
		return err
	}
	fmt.Println("done")
	return nil
}

func restoreTape(ctx context.Context, root string) (Restored, error) {
	f, err := os.Open(filepath.Join(root, "tape"))
	if err != nil {
		return Restored{}, err
	}
	defer f.Close()
	return Restore(ctx, f, filepath.Join(root, "data"), RestoreOptions{Replace: true})
}

// lookAtRestore wants nothing to have happened, or the restored store with the one
// that was there beside it; and another restore to succeed.
func lookAtRestore(ctx context.Context, root string, done bool, want powerWants) error {
	data := filepath.Join(root, "data")
	old, restored := want.Texts[0], want.Texts[1]
	err := opensWith(data, restored)
	if left, bad := filepath.Glob(filepath.Join(data, "roost.*ing*")); bad != nil || len(left) > 0 {
		return fmt.Errorf("%q is left (%v)", left, bad)
	}
	if err != nil && !done {
		return errors.Join(opensWith(data, old), restoreAgain(ctx, root, restored))
	}
	if err != nil || old == nil {
		return err
	}
	replaced, err := filepath.Glob(filepath.Join(data, replacedName+"*"))
	if err != nil || len(replaced) != 1 {
		return fmt.Errorf("%d stores were replaced (%v)", len(replaced), err)
	}
	if err := opensWith(replaced[0], old); err != nil {
		return fmt.Errorf("the store that was there: %w", err)
	}
	if all, err := snapshotsIn(replaced[0]); err != nil || len(all) != 1 {
		return fmt.Errorf("the store that was there has %d snapshots (%v)", len(all), err)
	}
	return restoreAgain(ctx, root, restored)
}

func restoreAgain(ctx context.Context, root string, restored map[string]int) error {
	if _, err := restoreTape(ctx, root); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("restore once more: %w", err)
	}
	return opensWith(filepath.Join(root, "data"), restored)
}
