package mailbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is done once, and with a whole store at stake, is cut at every sync too: a
// migration goes on at the next start, a backup to a directory leaves the former
// one or the new, a rescue is begun again. The same must find losses when no sync
// counts.
func TestPowerCutsOfMigrationBackupAndRescue(t *testing.T) {
	oneGoroutine(t)
	for name, begin := range map[string]func(t *testing.T, root string) powerCopy{
		"migration": cutMigration,
		"backup":    cutBackup,
		"rescue":    cutRescue,
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			job := begin(t, root)
			d, careless := newDisk(root), newDisk(root)
			if err := errors.Join(d.root.load(root), careless.root.load(root)); err != nil {
				t.Fatal(err)
			}
			log := recordPowerOf(t, powerCopyEnv+"="+name+" "+root)
			done, cuts, syncs := false, 0, 0
			d.note = func(line string) { done = done || line == "done\n" }
			cut := func(random bool) error {
				cuts++
				rng := rand.New(rand.NewPCG(uint64(cuts), 1))
				dir := filepath.Join(t.TempDir(), "cut")
				keep := func() bool { return random && rng.IntN(2) == 0 }
				if err := d.cut(dir, keep); err != nil {
					t.Fatal(err)
				}
				defer os.RemoveAll(dir)
				return job.verify(dir, done)
			}
			look := func(what string) {
				for i := range 3 {
					if err := cut(i > 0); err != nil && !t.Failed() {
						t.Errorf("cut %d, %s: %v", cuts, what, err)
					}
				}
			}
			d.before = func(n *inode) {
				if syncs++; !t.Failed() {
					look(fmt.Sprintf("before sync %d of %s", syncs, n.name))
				}
			}
			replayFile(t, d, log)
			if !done || syncs < 3 {
				t.Fatalf("it made %d syncs, done: %v", syncs, done)
			}
			look("at the end")
			t.Logf("%d cuts at %d syncs", cuts, syncs)

			d = careless
			d.sync = func(*inode) bool { return false }
			replayFile(t, d, log)
			if err := cut(false); err == nil {
				t.Error("without syncs nothing was lost: the test would not see a program that leaves them out")
			}
		})
	}
}

// powerCopy is something to do below a directory, and what must hold of it after
// a cut. done: the process has said so.
type powerCopy struct {
	verify func(root string, done bool) error
}

const powerCopyEnv = "ROOST_TEST_POWER_COPY"

// powerCopyChild does it, in a process of its own.
func powerCopyChild(job string) error {
	what, root, _ := strings.Cut(job, " ")
	data, ctx := filepath.Join(root, "data"), context.Background()
	switch what {
	case "migration":
		s, err := Open(data, powerOptions)
		if err != nil {
			return err
		}
		fmt.Println("done")
		return s.Close()
	case "backup":
		f, err := os.Open(filepath.Join(root, "tape"))
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := ReceiveBackup(ctx, f, filepath.Join(root, "usb"), nil); err != nil {
			return err
		}
	case "rescue":
		if _, err := Rescue(ctx, data, RescueOptions{}); err != nil {
			return err
		}
	}
	fmt.Println("done")
	return nil
}

func cutMigration(t *testing.T, root string) powerCopy {
	want, err := os.ReadFile(filepath.Join("testdata", "format.txt"))
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(root, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	unpack(t, "testdata/format-1.tar.gz", data)
	return powerCopy{func(root string, done bool) error {
		data := filepath.Join(root, "data")
		if done {
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
		if got := describe(t, s); got != string(want) {
			return fmt.Errorf("it has\n%s", got)
		}
		r, err := s.Check(context.Background())
		return errors.Join(err, r.Err())
	}}
}

func cutBackup(t *testing.T, root string) powerCopy {
	s, ann, _ := furnished(t)
	s.packs.full = 64 << 10 // some packs stay, some are new
	former := texts(t, s)
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
	if err := os.WriteFile(filepath.Join(root, "tape"), backUp(t, s, have), 0o600); err != nil {
		t.Fatal(err)
	}
	now := texts(t, s)
	return powerCopy{func(root string, done bool) error {
		data := filepath.Join(root, "data")
		if _, err := RestoreDir(context.Background(), filepath.Join(root, "usb"), data, RestoreOptions{}); err != nil {
			return err
		}
		if done {
			return opensWith(t, data, now)
		}
		return opensWith(t, data, former, now)
	}}
}

func cutRescue(t *testing.T, root string) powerCopy {
	s, ann, _ := furnished(t)
	if err := s.takeSnapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	accept(t, s, letter(1), Placement{Account: ann.ID})
	want := texts(t, s)
	data := filepath.Join(root, "data")
	if err := os.CopyFS(data, os.DirFS(s.Dir())); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(filepath.Join(data, reserveName)), os.Truncate(filepath.Join(data, dbName), 4096)); err != nil {
		t.Fatal(err)
	}
	return powerCopy{func(root string, done bool) error {
		data := filepath.Join(root, "data")
		err := opensWith(t, data, want)
		if err == nil || done {
			return err
		}
		if _, err := Rescue(context.Background(), data, RescueOptions{}); err != nil {
			return err
		}
		return opensWith(t, data, want)
	}}
}

// opensWith opens a store and compares what it has.
func opensWith(t *testing.T, dir string, want ...map[string]int) error {
	s, err := Open(dir, powerOptions)
	if err != nil {
		return err
	}
	defer s.Close()
	got := texts(t, s)
	for _, w := range want {
		if maps.Equal(got, w) {
			r, err := s.Check(context.Background())
			if err != nil {
				return err
			}
			return r.Err()
		}
	}
	return fmt.Errorf("it has %d messages, and not those that it should", len(got))
}
