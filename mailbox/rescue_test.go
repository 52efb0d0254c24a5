package mailbox

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// crash copies a store's directory as a process that dies leaves it.
func crash(t testing.TB, s *Store) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.Dir())); err != nil {
		t.Fatal(err)
	}
	return dir
}

func rescueStore(t *testing.T, dir string) Rescued {
	t.Helper()
	out, err := Rescue(context.Background(), dir, RescueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRescueFromSnapshotAndPacks(t *testing.T) {
	s, ann, bob := furnished(t)
	if err := s.takeSnapshot(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	// After the snapshot: deliveries, one to a mailbox that it does not know, an
	// expunge, a pack that is rewritten, and mail that waits to be sent.
	for n := range 10 {
		accept(t, s, hello(100+n), Placement{Account: bob.ID, Flags: Seen, Keywords: []string{"late"}, Date: time.Date(2026, 1, n+1, 8, 0, 0, 0, time.UTC)})
	}
	accept(t, s, hello(200), Placement{Account: ann.ID, Name: "New/one"}, Placement{Account: ann.ID, Use: UseJunk})
	submit(t, s, bob, "later.example")
	want := texts(t, s)
	dir := crash(t, s)
	if err := os.WriteFile(filepath.Join(dir, dbName), []byte("nothing of a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "roost rescue") {
		t.Fatalf("opened: %v", err)
	}
	out := rescueStore(t, dir)
	if out.Snapshot == "" || out.Found != 12 || out.Lost != 0 || out.Held != 3 || out.Made != 0 {
		t.Errorf("rescued %+v", out)
	}
	r := openStore(t, dir, Options{})
	sameTexts(t, texts(t, r), want)
	if _, err := r.Login(ctx, netip.Addr{}, "ann@example.org", "secret"); err != nil {
		t.Errorf("ann can't log in: %v", err)
	}
	snap, err := r.Snapshot(bob.ID, InboxID)
	if err != nil {
		t.Fatal(err)
	}
	last := snap.Entries[len(snap.Entries)-1]
	if last.Flags != Seen || strings.Join(snap.Folder.KeywordNames(last.Keywords), " ") != "late" {
		t.Errorf("the last message came back as %+v of %v", last, snap.Folder.Keywords)
	}
	if _, err := os.Stat(out.Damaged); err != nil {
		t.Errorf("the damaged file: %v", err)
	}
	if _, err := Rescue(ctx, dir, RescueOptions{}); !errors.Is(err, ErrLocked) {
		t.Errorf("rescued below an open store: %v", err)
	}
}

func TestRescueWithoutAnySnapshot(t *testing.T) {
	s, _, _ := furnished(t)
	want := texts(t, s)
	want["ann@example.org INBOX "+hello(2)]++ // was expunged, and nothing is left that tells of it
	dir := crash(t, s)
	if err := os.Remove(filepath.Join(dir, dbName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("a new store was made beside packs: %v", err)
	}
	out := rescueStore(t, dir)
	if out.Snapshot != "" || out.Made != 2 || out.Held != 2 {
		t.Errorf("rescued %+v", out)
	}
	sameTexts(t, texts(t, openStore(t, dir, Options{})), want)
}

func TestRescueFindsRewrittenRecords(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	s.packs.full = 64 << 10
	sparse(t, s, ann.ID, 200)
	if err := s.takeSnapshot(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.rewritePacks(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := texts(t, s)
	dir := crash(t, s)
	// Long after what was expunged came, or it would be taken for newer.
	all, err := snapshotsIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	later := filepath.Join(snapshotDir(dir), all[0].at.Add(time.Hour).Format(snapshotTime)+".db")
	if err := os.Rename(all[0].path, later); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, dbName), 4096); err != nil {
		t.Fatal(err)
	}
	if out := rescueStore(t, dir); out.Lost != 0 {
		t.Errorf("rescued %+v", out)
	}
	sameTexts(t, texts(t, openStore(t, dir, Options{})), want)
}

func TestRescueLosesOnlyWhatIsDamaged(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	for n := range 50 {
		accept(t, s, letter(n), Placement{Account: ann.ID})
	}
	if err := s.takeSnapshot(context.Background()); err != nil {
		t.Fatal(err)
	}
	for n := range 50 {
		accept(t, s, letter(1000+n), Placement{Account: ann.ID})
	}
	whole := texts(t, s)
	dir := crash(t, s)
	pack := filepath.Join(dir, "packs", packName(1))
	b, err := os.ReadFile(pack)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(b) / 4; i < len(b)/4+100; i++ { // within what the snapshot knows
		b[i] ^= 0xff
	}
	for i := len(b) * 3 / 4; i < len(b)*3/4+100; i++ { // within what it does not
		b[i] ^= 0xff
	}
	if err := os.WriteFile(pack, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, dbName)); err != nil {
		t.Fatal(err)
	}
	rescueStore(t, dir)
	r, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	snap, err := r.Snapshot(ann.ID, InboxID)
	if err != nil {
		t.Fatal(err)
	}
	readable := 0
	for _, e := range snap.Entries {
		m, err := r.OpenMessage(ann.ID, InboxID, e.UID)
		if err != nil {
			continue
		}
		b := make([]byte, m.Size)
		if _, err := m.ReadAt(b, 0); err != nil {
			continue
		}
		if whole["ann@example.org INBOX "+string(b)] != 1 {
			t.Errorf("message %d has other bytes than it came with", e.UID)
		}
		readable++
	}
	if readable < 94 || readable > 98 {
		t.Errorf("%d of 100 messages can be read, and 200 damaged bytes touch 2 to 6", readable)
	}
}

func TestRescueAfterDamagedPages(t *testing.T) {
	oneGoroutine(t)
	s, _, _ := furnished(t)
	if err := s.takeSnapshot(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := texts(t, s)
	db, err := os.ReadFile(filepath.Join(s.Dir(), dbName))
	if err != nil {
		t.Fatal(err)
	}
	var used []int // the others are room to grow
	for page := 0; page < len(db); page += 4096 {
		if bytes.ContainsFunc(db[page:page+4096], func(r rune) bool { return r != 0 }) {
			used = append(used, page)
		}
	}
	tries := 20
	if os.Getenv("ROOST_LONG") != "" {
		tries = 150
	}
	dir := crash(t, s)
	start := crash(t, s)
	r := rand.New(rand.NewPCG(1, 2))
	damaged := 0
	for range tries {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(dir, os.DirFS(start)); err != nil {
			t.Fatal(err)
		}
		bad := append([]byte(nil), db...)
		page := used[r.IntN(len(used))]
		for i := range 4096 {
			bad[page+i] = byte(r.Uint32())
		}
		if err := os.WriteFile(filepath.Join(dir, dbName), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := Rescue(context.Background(), dir, RescueOptions{Inspect: inspectElsewhere(t)})
		if errors.Is(err, ErrInvalid) {
			continue // the page was a free one
		}
		if err != nil {
			t.Fatalf("page %d: %v", page/4096, err)
		}
		damaged++
		again, err := Open(dir, Options{})
		if err != nil {
			t.Fatalf("page %d: %v", page/4096, err)
		}
		got := texts(t, again)
		if !maps.Equal(got, want) {
			t.Errorf("page %d, %+v:", page/4096, out)
			sameTexts(t, got, want)
		}
		closeStore(t, again)
	}
	if damaged < tries/4 {
		t.Errorf("only %d of %d damages were found", damaged, tries)
	}
}

func TestUncleanStopIsInspectedFirst(t *testing.T) {
	s, _, _ := furnished(t)
	dir := crash(t, s)
	seen := 0
	look := func(string) error { seen++; return nil }
	again, err := Open(dir, Options{Inspect: look})
	if err != nil || seen != 1 {
		t.Fatalf("opened after a crash: inspected %d times, %v", seen, err)
	}
	closeStore(t, again)
	if again, err = Open(dir, Options{Inspect: look}); err != nil || seen != 1 {
		t.Fatalf("opened after a clean stop: inspected %d times, %v", seen, err)
	}
	closeStore(t, again)
	_, err = Open(crash(t, s), Options{Inspect: func(string) error { return errors.New("exit status 2") }})
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "roost rescue") {
		t.Errorf("a file that kills who looks at it: %v", err)
	}
}
