package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"
)

// oneGoroutine marks a test whose heavy work is done by one goroutine, or in other
// processes. -short is what runs with the race detector, which makes such work ten
// times slower and sees nothing in it.
func oneGoroutine(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("heavy, and nothing in it is done side by side")
	}
}

// newStore opens a store with the domain example.org and the accounts ann@
// (administrator) and bob@, both with the password "secret". It is checked
// and closed when the test ends.
func newStore(t testing.TB, o Options) (s *Store, ann, bob Account) {
	t.Helper()
	s = openStore(t, t.TempDir(), o)
	ctx := context.Background()
	if _, err := s.AddDomain(ctx, "example.org"); err != nil {
		t.Fatal(err)
	}
	var err error
	if ann, err = s.CreateAccount(ctx, NewAccount{Address: "ann@example.org", Password: "secret", Admin: true}); err != nil {
		t.Fatal(err)
	}
	if bob, err = s.CreateAccount(ctx, NewAccount{Address: "bob@example.org", Password: "secret"}); err != nil {
		t.Fatal(err)
	}
	return s, ann, bob
}

// keepNothing makes expunged messages go at once.
func keepNothing(t testing.TB, s *Store) {
	t.Helper()
	if err := s.ChangeSettings(context.Background(), func(v *Settings) error { v.UndeleteDays = -1; return nil }); err != nil {
		t.Fatal(err)
	}
}

func openStore(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	select {
	case <-s.stop:
		return // the test closed it
	default:
	}
	r, err := s.Check(context.Background())
	if err := errors.Join(err, r.Err(), s.Close()); err != nil {
		t.Error(err)
	}
}

// accept delivers a text to an account's INBOX, or where p says.
func accept(t testing.TB, s *Store, text string, places ...Placement) Accepted {
	t.Helper()
	a, err := tryAccept(s, text, places...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func tryAccept(s *Store, text string, places ...Placement) (Accepted, error) {
	spool := s.NewSpool(0)
	defer spool.Close()
	if _, err := io.WriteString(spool, text); err != nil {
		return Accepted{}, err
	}
	return s.Accept(context.Background(), Intake{Body: spool, Place: places})
}

func hello(n int) string {
	return fmt.Sprintf("From: <a@example.com>\r\nSubject: hello %d\r\nMessage-ID: <%d@example.com>\r\n\r\nHello, number %d.\r\n", n, n, n)
}

func readAll(t testing.TB, s *Store, id AccountID, folder FolderID, uid UID) string {
	t.Helper()
	text, err := textOf(s, id, folder, uid)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func textOf(s *Store, id AccountID, folder FolderID, uid UID) (string, error) {
	m, err := s.OpenMessage(id, folder, uid)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(m.Reader())
	return string(b), err
}

func TestOpenTwiceIsRefused(t *testing.T) {
	s, _, _ := newStore(t, Options{})
	if _, err := Open(s.Dir(), Options{LockTimeout: 1}); !errors.Is(err, ErrLocked) {
		t.Fatalf("second Open: %v, want ErrLocked", err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	s, _, _ := newStore(t, Options{})
	closeStore(t, s)
	path := filepath.Join(s.Dir(), "roost.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bMeta).Put(kFormat, be32(format+1)) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.Dir(), Options{}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "newer Roost") {
		t.Fatalf("Open of a newer format: %v", err)
	}
}

func TestEverythingIsThereAfterReopening(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	accept(t, s, hello(1), Placement{Account: ann.ID, Flags: Flagged, Keywords: []string{"$Work"}, Prefix: []byte("Return-Path: <>\r\n")})
	closeStore(t, s)
	s = openStore(t, s.Dir(), Options{})
	snap, err := s.Snapshot(ann.ID, InboxID)
	if err != nil {
		t.Fatal(err)
	}
	if len(snap.Entries) != 1 || snap.Entries[0].Flags != Flagged || snap.Folder.KeywordNames(snap.Entries[0].Keywords)[0] != "$Work" {
		t.Fatalf("after reopening: %+v", snap)
	}
	if got, want := readAll(t, s, ann.ID, InboxID, 1), "Return-Path: <>\r\n"+hello(1); got != want {
		t.Errorf("message is %q, want %q", got, want)
	}
	second := accept(t, s, hello(2), Placement{Account: ann.ID})
	if second.Placed[0].UID != 2 {
		t.Errorf("UID after reopening is %d, want 2", second.Placed[0].UID)
	}
	names, err := os.ReadDir(filepath.Join(s.Dir(), "packs"))
	if err != nil || len(names) != 1 {
		t.Errorf("a clean restart goes on with the same pack: %v, %v", names, err)
	}
}

// What is behind the last committed record of a pack is left alone: it may
// belong to a newer roost.db than the one that was put back.
func TestUncommittedTailOfPackIsNeverOverwritten(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	accept(t, s, hello(1), Placement{Account: ann.ID})
	closeStore(t, s)
	path := filepath.Join(s.Dir(), "packs", packName(1))
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("written, and not committed")
	f.Close()
	before, _ := os.ReadFile(path)
	s = openStore(t, s.Dir(), Options{})
	accept(t, s, hello(2), Placement{Account: ann.ID})
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the tail was overwritten")
	}
	if got := readAll(t, s, ann.ID, InboxID, 2); got != hello(2) {
		t.Errorf("message is %q", got)
	}
}

func TestDamagedBodyIsNeverServed(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	text := hello(1) + strings.Repeat("All work and no play. \r\n", 20000)
	accept(t, s, text, Placement{Account: ann.ID})
	accept(t, s, hello(2), Placement{Account: ann.ID})
	if got := readAll(t, s, ann.ID, InboxID, 1); got != text {
		t.Fatal("message differs before the damage")
	}
	f, err := os.OpenFile(filepath.Join(s.Dir(), "packs", packName(1)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	f.ReadAt(b[:], 150)
	damaged := b[0] ^ 0x10
	f.WriteAt([]byte{damaged}, 150)
	m, err := s.OpenMessage(ann.ID, InboxID, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(m.Reader()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("reading a damaged body: %v, want ErrCorrupt", err)
	}
	if r, err := s.Check(context.Background()); err != nil || len(r.Problems) != 1 {
		t.Errorf("Check: %v, %q, want one problem", err, r.Problems)
	}
	if got := readAll(t, s, ann.ID, InboxID, 2); got != hello(2) {
		t.Error("another message suffered")
	}
	f.WriteAt(b[:], 150)
}

func TestAClosureThatFailsHarmsNobodyInItsBatch(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	boom := errors.New("boom")
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			err := s.update(ctx, func(tx *tx) error {
				if err := tx.put(bSettings, []byte(fmt.Sprint(i)), []byte("x")); err != nil {
					return err
				}
				switch i % 3 {
				case 1:
					return boom
				case 2:
					panic("on purpose")
				}
				return nil
			})
			if (i%3 == 0) != (err == nil) || i%3 == 1 && !errors.Is(err, boom) {
				t.Errorf("closure %d: %v", i, err)
			}
		})
		wg.Go(func() {
			if _, err := tryAccept(s, hello(i), Placement{Account: ann.ID}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	err := s.view(func(tx *tx) error {
		for i := range 60 {
			if there := tx.Bucket(bSettings).Get([]byte(fmt.Sprint(i))) != nil; there != (i%3 == 0) {
				t.Errorf("closure %d: its put is there: %v", i, there)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if f, _ := s.Folder(ann.ID, InboxID); f.Messages != 60 {
		t.Errorf("%d messages, want 60", f.Messages)
	}
}

func TestAfterAWriteErrorNothingIsTaken(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	accept(t, s, hello(1), Placement{Account: ann.ID})
	s.packs.mu.Lock()
	s.packs.files[s.packs.last].Close() // the next write to it fails
	s.packs.mu.Unlock()
	if _, err := tryAccept(s, hello(2), Placement{Account: ann.ID}); !errors.Is(err, ErrBroken) {
		t.Errorf("Accept: %v, want ErrBroken", err)
	}
	if err := s.Subscribe(context.Background(), ann.ID, "x", true); !errors.Is(err, ErrBroken) {
		t.Errorf("Subscribe: %v, want ErrBroken", err)
	}
	if f, err := s.Folder(ann.ID, InboxID); err != nil || f.Messages != 1 {
		t.Errorf("reading goes on: %v, %d messages", err, f.Messages)
	}
	s.Close()
}

// A full disk may show only when the pack is synced. The kernel then forgets
// what it could not write, also for those who have not come to their commit yet.
func TestNothingIsCommittedFromAPackWhoseSyncFailed(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	accept(t, s, hello(1), Placement{Account: ann.ID})
	spool := s.NewSpool(0)
	defer spool.Close()
	io.WriteString(spool, hello(2))
	st, err := s.stage(&Intake{Body: spool, Place: []Placement{{Account: ann.ID}}})
	if err != nil {
		t.Fatal(err)
	}
	s.packs.distrust(st.row.pack)
	err = s.update(context.Background(), func(tx *tx) error {
		_, err := tx.accept(st)
		return err
	})
	if !errors.Is(err, ErrFull) {
		t.Errorf("committed from a pack whose sync failed: %v", err)
	}
	third := accept(t, s, hello(3), Placement{Account: ann.ID})
	if got := readAll(t, s, ann.ID, InboxID, third.Placed[0].UID); got != hello(3) || third.Placed[0].UID != 2 {
		t.Errorf("UID %d is %q", third.Placed[0].UID, got)
	}
	if got := readAll(t, s, ann.ID, InboxID, 1); got != hello(1) {
		t.Errorf("what was committed before is %q", got)
	}
}

func TestFullDisk(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	accept(t, s, hello(1), Placement{Account: ann.ID})
	s.opts.ReserveBytes = 1 << 60
	if _, err := tryAccept(s, hello(2), Placement{Account: ann.ID}); !errors.Is(err, ErrFull) {
		t.Errorf("Accept: %v, want ErrFull", err)
	}
	if _, err := s.SetFlags(context.Background(), ann.ID, InboxID, []UID{1}, FlagUpdate{Change: AddFlags, Flags: Deleted}); err != nil {
		t.Errorf("SetFlags on the reserve: %v", err)
	}
	if x, err := s.Expunge(context.Background(), ann.ID, InboxID, nil); err != nil || len(x.UIDs) != 1 {
		t.Errorf("Expunge on the reserve: %v, %v", x.UIDs, err)
	}
	s.opts.ReserveBytes = 1
	accept(t, s, hello(3), Placement{Account: ann.ID})
}

func TestClosedStoreAnswers(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if _, err := tryAccept(s, hello(i), Placement{Account: ann.ID}); err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, os.ErrClosed) && !errors.Is(err, ErrBroken) {
				t.Error(err)
			}
		})
	}
	s.Close()
	wg.Wait()
	if _, err := s.Accounts(); !errors.Is(err, ErrClosed) {
		t.Errorf("Accounts: %v, want ErrClosed", err)
	}
}

// TestNumbersOfRefusedMailAreNotGivenAgain: they are in the journal alone, and a
// message of the same number would be shown with their lines.
func TestNumbersOfRefusedMailAreNotGivenAgain(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	spool := s.NewSpool(0)
	refused := spool.ID()
	spool.Close()
	if err := s.Log(t.Context(), Line{Event: Refused, Message: refused}); err != nil {
		t.Fatal(err)
	}
	dir := s.Dir()
	closeStore(t, s)
	s = openStore(t, dir, Options{})
	if got := accept(t, s, hello(1), Placement{Account: ann.ID}); got.ID <= refused {
		t.Errorf("the message has the number %s, and what was refused has %s", got.ID, refused)
	}
}
