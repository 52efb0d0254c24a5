package mailbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A roost.db with a damaged page is refused with the way out, or it opens; then
// whatever is done with it ends with an answer or an error. Nothing ends the
// process, which a server manager would start again for ever.
func TestNoDamagedPageEndsTheProcess(t *testing.T) {
	oneGoroutine(t)
	s, ann, _ := furnished(t)
	start := crash(t, s)
	if err := os.Remove(filepath.Join(start, reserveName)); err != nil { // large, and of no use here
		t.Fatal(err)
	}
	db, err := os.ReadFile(filepath.Join(start, dbName))
	if err != nil {
		t.Fatal(err)
	}
	const size = 4096
	var used []int
	for page := 0; page+size <= len(db); page += size {
		if strings.Trim(string(db[page:page+size]), "\x00") != "" {
			used = append(used, page)
		}
	}
	dir := crash(t, s)
	inspect := inspectElsewhere(t)
	refused, opened, found := 0, 0, 0
	for seed := range max(kills(40), 30) {
		rng := rand.New(rand.NewPCG(uint64(seed), 3))
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(dir, os.DirFS(start)); err != nil {
			t.Fatal(err)
		}
		bad := append([]byte(nil), db...)
		page := bad[used[rng.IntN(len(used))]:][:size]
		switch seed % 5 {
		case 0: // a bit
			page[rng.IntN(size)] ^= 1 << rng.IntN(8)
		case 1: // a few bytes at the start, where the page says what it is
			for range 4 {
				page[rng.IntN(64)] = byte(rng.Uint32())
			}
		case 2: // another page
			copy(page, db[used[rng.IntN(len(used))]:][:size])
		case 3: // the second half was not written
			clear(page[size/2:])
		case 4: // the file is cut off
			bad = bad[:rng.IntN(len(bad))]
		}
		if err := os.WriteFile(filepath.Join(dir, dbName), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, Options{Inspect: inspect})
		if err != nil {
			refused++
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "roost rescue") {
				t.Errorf("seed %d: Open: %v, want ErrCorrupt and the way out", seed, err)
			}
			continue
		}
		opened++
		if r, err := s.Check(context.Background()); err != nil || r.Err() != nil {
			found++
		}
		folders, _ := s.Folders(ann.ID)
		for _, f := range folders {
			snap, err := s.Snapshot(ann.ID, f.ID)
			if err != nil {
				continue
			}
			var uids []UID
			for _, e := range snap.Entries {
				uids = append(uids, e.UID)
			}
			_ = s.Facts(ann.ID, f.ID, uids, func(*Facts) error { return nil })
			_, _ = s.SetFlags(context.Background(), ann.ID, f.ID, uids, FlagUpdate{Flags: Seen})
		}
		_, _ = tryAccept(s, hello(1), Placement{Account: ann.ID})
		_ = s.Close()
	}
	if refused == 0 || opened == 0 {
		t.Errorf("%d refused and %d opened: the damages are too much alike to show anything", refused, opened)
	}
	t.Logf("%d refused, %d opened, of which Check found %d damaged", refused, opened, found)
}
