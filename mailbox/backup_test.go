package mailbox

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// furnished is a store with what a backup has to bring back.
func furnished(t *testing.T) (*Store, Account, Account) {
	t.Helper()
	s, ann, bob := newStore(t, Options{})
	ctx := context.Background()
	for n := range 20 {
		accept(t, s, hello(n), Placement{Account: ann.ID}, Placement{Account: bob.ID, Prefix: []byte("Delivered-To: bob\r\n")})
	}
	accept(t, s, strings.Repeat("A long one.\r\n", 100_000), Placement{Account: ann.ID, Name: "Kept/deep", Keywords: []string{"blue"}, Flags: Seen})
	if _, err := s.SetFlags(ctx, ann.ID, InboxID, []UID{1, 2, 3}, FlagUpdate{Change: AddFlags, Flags: Flagged | Deleted}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Expunge(ctx, ann.ID, InboxID, []UID{3}); err != nil {
		t.Fatal(err)
	}
	submit(t, s, ann, "far.example", "away.example")
	return s, ann, bob
}

func backUp(t *testing.T, s *Store, have map[string]int64) []byte {
	t.Helper()
	b, err := s.NewBackup(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var out bytes.Buffer
	var done int64
	if err := b.WriteTar(context.Background(), &out, have, func(n int64) { done = n }); err != nil {
		t.Fatal(err)
	}
	if done != b.Size() {
		t.Errorf("progress ended at %d of %d", done, b.Size())
	}
	if size, err := b.TarSize(have); err != nil || size != int64(out.Len()) {
		t.Errorf("the tar file has %d bytes, and should have %d (%v)", out.Len(), size, err)
	}
	return out.Bytes()
}

func TestSizeOfAHugeBackup(t *testing.T) {
	b := &Backup{Manifest: Manifest{Database: 9 << 30, Taken: time.Now().Truncate(time.Second)}}
	small := &Backup{Manifest: Manifest{Database: 1 << 30, Taken: b.Manifest.Taken}}
	huge, err := b.TarSize(nil)
	if err != nil {
		t.Fatal(err)
	}
	size, err := small.TarSize(nil)
	if err != nil {
		t.Fatal(err)
	}
	// A tar header has room for eleven octal digits of a size, and another way for more.
	if more := huge - size - 8<<30; more < 0 || more > 4096 {
		t.Errorf("8 GB more are %d bytes and 8 GB more", more)
	}
}

// texts are all messages of a store, by account and mailbox, without UIDs.
func texts(t *testing.T, s *Store) map[string]int {
	t.Helper()
	all, err := textsOf(s)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func textsOf(s *Store) (map[string]int, error) {
	all := make(map[string]int)
	accounts, err := s.Accounts()
	if err != nil {
		return nil, err
	}
	for _, a := range accounts {
		folders, err := s.Folders(a.ID)
		if err != nil {
			return nil, err
		}
		for _, f := range folders {
			snap, err := s.Snapshot(a.ID, f.ID)
			if err != nil {
				return nil, err
			}
			for _, e := range snap.Entries {
				text, err := textOf(s, a.ID, f.ID, e.UID)
				if err != nil {
					return nil, err
				}
				all[string(a.Address)+" "+f.Name+" "+text]++
			}
		}
	}
	return all, nil
}

func sameTexts(t *testing.T, got, want map[string]int) {
	t.Helper()
	for text, n := range want {
		if got[text] != n {
			t.Errorf("%d copies instead of %d of %.80q", got[text], n, text)
		}
	}
	for text, n := range got {
		if want[text] == 0 {
			t.Errorf("%d copies of %.80q came from nowhere", n, text)
		}
	}
}

func validities(t *testing.T, s *Store, id AccountID) map[string]uint32 {
	t.Helper()
	folders, err := s.Folders(id)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]uint32)
	for _, f := range folders {
		all[f.Name] = f.UIDValidity
	}
	return all
}

func TestBackupIsRestoredWithTheOutboxHeld(t *testing.T) {
	s, ann, _ := furnished(t)
	tape := backUp(t, s, nil)
	want, before := texts(t, s), validities(t, s, ann.ID)
	accept(t, s, hello(1000), Placement{Account: ann.ID}) // after the backup

	dir := filepath.Join(t.TempDir(), "new")
	out, err := Restore(context.Background(), bytes.NewReader(tape), dir, RestoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if out.Accounts != 2 || out.Held != 2 || out.SameUIDs || out.Messages == 0 {
		t.Errorf("restored %+v", out)
	}
	r := openStore(t, dir, Options{})
	sameTexts(t, texts(t, r), want)
	for name, v := range validities(t, r, ann.ID) {
		if v <= before[name] {
			t.Errorf("%s kept UIDVALIDITY %d, though messages came after the backup", name, v)
		}
	}
	due, next, err := r.DueOutbox(time.Now().Add(1000*time.Hour), 10, nil)
	if err != nil || len(due) != 0 || !next.IsZero() {
		t.Errorf("%d messages would be sent again by themselves (%v)", len(due), err)
	}
	waiting, err := r.Outbox()
	if err != nil || len(waiting) != 2 || !waiting[0].Held {
		t.Errorf("outbox %+v, %v", waiting, err)
	}
	if err := r.RetryOutgoing(context.Background(), waiting[0].ID); err != nil {
		t.Error(err)
	}
	if due, _, err := r.DueOutbox(time.Now().Add(time.Second), 10, nil); err != nil || len(due) != 1 {
		t.Errorf("the owner let one go, and %d are due (%v)", len(due), err)
	}
}

func TestRestoreKeepsUIDsOnlyIfNothingCameAfterTheBackup(t *testing.T) {
	for _, more := range []bool{false, true} {
		s, ann, _ := furnished(t)
		tape := backUp(t, s, nil)
		if more {
			accept(t, s, hello(1000), Placement{Account: ann.ID})
		}
		before := validities(t, s, ann.ID)
		if _, err := Restore(context.Background(), bytes.NewReader(tape), s.Dir(), RestoreOptions{Replace: true}); !errors.Is(err, ErrLocked) {
			t.Fatalf("restored below a running server: %v", err)
		}
		closeStore(t, s)
		if _, err := Restore(context.Background(), bytes.NewReader(tape), s.Dir(), RestoreOptions{}); !errors.Is(err, ErrExists) {
			t.Fatalf("restored over a store: %v", err)
		}
		out, err := Restore(context.Background(), bytes.NewReader(tape), s.Dir(), RestoreOptions{Replace: true})
		if err != nil {
			t.Fatal(err)
		}
		if out.SameUIDs == more {
			t.Errorf("more messages: %v, same UIDs: %v", more, out.SameUIDs)
		}
		r := openStore(t, s.Dir(), Options{})
		if after := validities(t, r, ann.ID); (after["INBOX"] == before["INBOX"]) == more {
			t.Errorf("more messages: %v, UIDVALIDITY %d became %d", more, before["INBOX"], after["INBOX"])
		}
		old := openStore(t, out.Replaced, Options{})
		if n := len(texts(t, old)); n == 0 {
			t.Error("the store that was there is gone")
		}
	}
}

func TestDamagedBackupIsRefused(t *testing.T) {
	s, _, _ := furnished(t)
	tape := backUp(t, s, nil)
	dir := t.TempDir()
	for name, bad := range map[string][]byte{
		"cut off":      tape[:len(tape)/2],
		"one bit":      func() []byte { b := bytes.Clone(tape); b[len(b)/2] ^= 1; return b }(),
		"without sums": tape[:bytes.LastIndex(tape, []byte(sumsName))],
		"no backup":    []byte(strings.Repeat("no tar ", 1000)),
		"nothing":      nil,
	} {
		if _, err := Restore(context.Background(), bytes.NewReader(bad), dir, RestoreOptions{}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
		if there, err := hasStore(dir); there || err != nil {
			t.Errorf("%s: a store was left in the directory (%v)", name, err)
		}
	}
}

func TestBackupDirectoryGetsOnlyWhatItLacks(t *testing.T) {
	s, ann, _ := furnished(t)
	s.packs.full = 1 << 10 // many packs
	for n := range 30 {
		accept(t, s, letter(100+n), Placement{Account: ann.ID})
	}
	to := filepath.Join(t.TempDir(), "usb")
	full := backUp(t, s, nil)
	if _, err := ReceiveBackup(context.Background(), bytes.NewReader(full), to, nil); err != nil {
		t.Fatal(err)
	}
	accept(t, s, letter(1000), Placement{Account: ann.ID})
	have, err := BackupHas(to)
	if err != nil || len(have) < 5 {
		t.Fatalf("%d packs are there (%v)", len(have), err)
	}
	b, err := s.NewBackup(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var more bytes.Buffer
	if err := b.WriteTar(context.Background(), &more, have, nil); err != nil {
		t.Fatal(err)
	}
	if names := strings.Count(more.String(), packsPrefix) / 2; names > 2 {
		t.Errorf("%d packs were copied again", names)
	}
	if _, err := ReceiveBackup(context.Background(), &more, to, nil); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("sh", "-c", "cd '"+to+"' && sha256sum --quiet -c SHA256SUMS").CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
	dir := t.TempDir()
	if _, err := RestoreDir(context.Background(), to, dir, RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	sameTexts(t, texts(t, openStore(t, dir, Options{})), texts(t, s))
}

func TestAnyTarUnpacksABackup(t *testing.T) {
	s, _, _ := furnished(t)
	dir := t.TempDir()
	cmd := exec.Command("tar", "-x", "-C", dir)
	cmd.Stdin = bytes.NewReader(backUp(t, s, nil))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	sameTexts(t, texts(t, openStore(t, dir, Options{})), texts(t, s))
}

func TestBackupOfAStoreAtWork(t *testing.T) {
	s, ann, _ := furnished(t)
	s.packs.full = 8 << 10
	b, err := s.NewBackup(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	want := texts(t, s)
	// All that the backup needs is expunged, and its packs would go.
	if _, err := s.SetFlags(context.Background(), ann.ID, InboxID, uidsUpTo(1000), FlagUpdate{Change: AddFlags, Flags: Deleted}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Expunge(context.Background(), ann.ID, InboxID, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.rewritePacks(context.Background()); err != nil {
		t.Fatal(err)
	}
	var tape bytes.Buffer
	if err := b.WriteTar(context.Background(), &tape, nil, nil); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := Restore(context.Background(), &tape, dir, RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	sameTexts(t, texts(t, openStore(t, dir, Options{})), want)
}

func uidsUpTo(n UID) []UID {
	var all []UID
	for uid := UID(1); uid <= n; uid++ {
		all = append(all, uid)
	}
	return all
}

func TestSnapshotsAreKeptByAge(t *testing.T) {
	s, _, _ := furnished(t)
	if err := s.takeSnapshot(context.Background()); err != nil {
		t.Fatal(err)
	}
	all, err := snapshotsIn(s.Dir())
	if err != nil || len(all) != 1 {
		t.Fatalf("%d snapshots, %v", len(all), err)
	}
	if err := Inspect(all[0].path); err != nil {
		t.Error(err)
	}
	if err := s.takeSnapshot(context.Background()); err != nil { // too soon
		t.Fatal(err)
	}
	if err := os.Rename(all[0].path, filepath.Join(snapshotDir(s.Dir()), time.Now().UTC().Add(-2*time.Hour).Format(snapshotTime)+".db")); err != nil {
		t.Fatal(err)
	}
	if err := s.takeSnapshot(context.Background()); err != nil {
		t.Fatal(err)
	}
	if all, err = snapshotsIn(s.Dir()); err != nil || len(all) != 2 {
		t.Fatalf("%d snapshots after two hours, %v", len(all), err)
	}

	now := time.Date(2026, 11, 25, 12, 30, 0, 0, time.UTC)
	var kept []snapshotFile
	for h := range 24 * 10 {
		kept = slices.Insert(kept, 0, snapshotFile{at: now.Add(time.Duration(h+1-240) * time.Hour)})
		gone := outdated(kept)
		kept = slices.DeleteFunc(kept, func(f snapshotFile) bool { return slices.Contains(gone, f) })
	}
	var got []string
	for _, f := range kept {
		got = append(got, f.at.Format("02 15:04"))
	}
	want := []string{"25 12:30", "25 11:30", "25 10:30", "25 09:30", "24 23:30", "23 23:30", "22 23:30"}
	if !slices.Equal(got, want) {
		t.Errorf("after ten days %v are kept, want %v", got, want)
	}
}

// A backup looks at a moment when a pack still had mail, and pins it just before
// the pack is removed.
func TestAPackThatABackupPinnedStays(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	keepNothing(t, s)
	accept(t, s, hello(1), Placement{Account: ann.ID})
	s.packs.mu.Lock()
	s.packs.last = 0 // as if it were full
	s.packs.mu.Unlock()
	b, err := s.NewBackup(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if gone, err := s.packs.remove(1); gone || err != nil {
		t.Errorf("pack 1 is gone: %v, %v", gone, err)
	}
	expungeAll(t, s, ann.ID, InboxID, 1)
	var tape bytes.Buffer
	if err := b.WriteTar(context.Background(), &tape, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := Restore(context.Background(), &tape, dir, RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	if n := len(texts(t, openStore(t, dir, Options{}))); n != 1 {
		t.Errorf("the backup has %d messages", n)
	}
	if err := s.sweepPacks(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.packs.path(packName(1))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pack is still there when the backup is done: %v", err)
	}
}
