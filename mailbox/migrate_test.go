package mailbox

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// A migration may end between any two of its steps; the next start goes on.
func TestMigrationGoesOnWhereItWas(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("testdata", "format.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, steps := range []int{0, 1, 3, 100} {
		t.Run(fmt.Sprint(steps), func(t *testing.T) {
			dir := t.TempDir()
			unpack(t, "testdata/format-1.tar.gz", dir)
			migrateSome(t, dir, steps)
			s := openStore(t, dir, Options{})
			if got := describe(t, s); got != string(want) {
				t.Errorf("after %d steps and a start it has\n%s\nwant\n%s", steps, got, want)
			}
			err := s.view(func(tx *tx) error {
				if tx.Bucket(bMessages1) != nil {
					t.Error("the old rows are still there")
				}
				lines := 0
				err := tx.Bucket(bJournal).ForEach(func(k, v []byte) error {
					var l Line
					if err := json.Unmarshal(v, &l); err != nil || l.Message == 0 {
						return err
					}
					if lines++; tx.Bucket(bTraces).Get(append(be64(uint64(l.Message)), k...)) == nil {
						t.Errorf("nothing leads from message %s to its line", l.Message)
					}
					return nil
				})
				if err != nil || lines == 0 {
					t.Errorf("%d lines of messages, %v", lines, err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// migrateSome does some steps of one message each and ends, as a killed process
// would: without the last one, that notes the new format.
func migrateSome(t *testing.T, dir string, steps int) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, "roost.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := prepare(db); err != nil {
		t.Fatal(err)
	}
	s := &Store{dir: dir, db: db, log: slog.New(slog.DiscardHandler)}
	if s.unzip, err = newUnzip(); err != nil {
		t.Fatal(err)
	}
	err = s.view(func(tx *tx) error {
		s.packs, _, err = openPacks(filepath.Join(dir, "packs"), tx, s.log)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.packs.close()
	for range steps {
		if _, err := s.stepToFormat2(1); err != nil {
			t.Fatal(err)
		}
	}
}

// What is damaged in an old store does not keep the rest from being opened.
func TestMigrationPassesDamageOn(t *testing.T) {
	dir := t.TempDir()
	unpack(t, "testdata/format-1.tar.gz", dir)
	path := filepath.Join(dir, "packs", packName(1))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := s.Check(t.Context())
	if err != nil || len(r.Problems) != 1 || r.Messages != 20 {
		t.Errorf("Check: %v, %d messages, %q, want one problem", err, r.Messages, r.Problems)
	}
}
