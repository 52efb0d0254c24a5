package mailbox

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
)

// many fills an account's INBOX, or the named mailbox, with n copies of a message.
func many(t testing.TB, s *Store, p Placement, n int) []UID {
	t.Helper()
	spool := s.NewSpool(0)
	defer spool.Close()
	spool.Write([]byte(hello(1)))
	var uids []UID
	for n > 0 {
		k := min(n, 1000)
		got, err := s.Accept(context.Background(), Intake{Body: spool, Place: slices.Repeat([]Placement{p}, k)})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range got.Placed {
			uids = append(uids, p.UID)
		}
		n -= k
	}
	return uids
}

func TestChangesOfManyMessagesComeInPieces(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	const n = 5000
	uids := many(t, s, Placement{Account: ann.ID}, n)
	f, err := s.Folder(ann.ID, InboxID)
	if err != nil {
		t.Fatal(err)
	}
	since := f.HighestModSeq
	done, err := s.SetFlags(ctx, ann.ID, InboxID, uids, FlagUpdate{Change: AddFlags, Flags: Deleted, Keywords: []string{"$A"}})
	if err != nil || len(done.Entries) != n || done.Folder.Deleted != n {
		t.Fatalf("%d entries, %d deleted, %v", len(done.Entries), done.Folder.Deleted, err)
	}
	if len(done.ModSeqs) < 2 || slices.Max(done.ModSeqs) != done.Folder.HighestModSeq {
		t.Errorf("modseqs %v, and the mailbox has %d", done.ModSeqs, done.Folder.HighestModSeq)
	}
	c, err := s.Changes(ann.ID, InboxID, since)
	if err != nil || len(c.Changed) != n || !slices.Equal(c.Changed, done.Entries) {
		t.Errorf("%d changes since, %v", len(c.Changed), err)
	}
	again, err := s.SetFlags(ctx, ann.ID, InboxID, uids, FlagUpdate{Change: AddFlags, Flags: Deleted})
	if err != nil || len(again.ModSeqs) != 0 || len(again.Entries) != n {
		t.Errorf("the same again: %d entries, modseqs %v, %v", len(again.Entries), again.ModSeqs, err)
	}
	since = c.Folder.HighestModSeq
	x, err := s.Expunge(ctx, ann.ID, InboxID, uids[:n/2])
	if err != nil || !slices.Equal(x.UIDs, uids[:n/2]) || x.Folder.Messages != n/2 {
		t.Errorf("%d expunged, %d left, %v", len(x.UIDs), x.Folder.Messages, err)
	}
	if c, err = s.Changes(ann.ID, InboxID, since); err != nil || !slices.Equal(c.Vanished, x.UIDs) {
		t.Errorf("%d vanished, %v", len(c.Vanished), err)
	}
}

// Deliveries go between the pieces, and a piece rides along with each of their
// batches, so that neither starves.
func TestPiecesAndDeliveriesTakeTurns(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	delivered, atEnd := 0, 0
	stop := make(chan struct{})
	began := make(chan struct{})
	var order []int
	finished := make(chan error)
	go func() {
		pieces := make([]func(*tx) error, 50)
		for i := range pieces {
			pieces[i] = func(tx *tx) error {
				if i == 0 {
					close(began)
				}
				order = append(order, i)
				for k := range 200 {
					if err := tx.put(bSettings, be64(uint64(k*50+i)), make([]byte, 4000)); err != nil {
						return err
					}
				}
				return nil
			}
		}
		n, err := s.updatePieces(ctx, pieces)
		if n != len(pieces) {
			t.Errorf("%d pieces are done", n)
		}
		close(stop)
		finished <- err
	}()
	<-began
	for open := true; open; {
		accept(t, s, hello(1), Placement{Account: ann.ID})
		select {
		case <-stop:
			open = false
		default:
			delivered++
		}
	}
	if err := <-finished; err != nil {
		t.Fatal(err)
	}
	atEnd = len(order)
	if delivered < 5 || atEnd != 50 || !slices.IsSorted(order) {
		t.Errorf("%d deliveries between %d pieces, in the order %v", delivered, atEnd, order)
	}
	err := s.update(ctx, func(tx *tx) error {
		for i := range uint64(10_000) {
			if err := tx.delete(bSettings, be64(i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAPieceThatFailsEndsTheOperation(t *testing.T) {
	s, _, _ := newStore(t, Options{})
	boom := errors.New("boom")
	for name, how := range map[string]func() error{
		"an error":    func() error { return boom },
		"a panic":     func() error { panic("on purpose") },
		"after a put": nil,
	} {
		t.Run(name, func(t *testing.T) {
			var ran [10]bool
			pieces := make([]func(*tx) error, len(ran))
			for i := range pieces {
				pieces[i] = func(tx *tx) error {
					ran[i] = true
					if i == 5 && how != nil {
						return how()
					}
					if err := tx.put(bSettings, []byte{byte(i)}, []byte(name)); err != nil || i != 5 {
						return err
					}
					return boom
				}
			}
			n, err := s.updatePieces(context.Background(), pieces)
			if n != 5 || err == nil || name != "a panic" && !errors.Is(err, boom) {
				t.Errorf("%d pieces done, %v", n, err)
			}
			if ran[6] {
				t.Error("it went on")
			}
			s.view(func(tx *tx) error {
				for i := range byte(10) {
					if there := string(tx.Bucket(bSettings).Get([]byte{i})) == name; there != (i < 5) {
						t.Errorf("piece %d is there: %v", i, there)
					}
				}
				return nil
			})
		})
	}
}

func TestAnOperationInPiecesHeedsItsContext(t *testing.T) {
	s, _, _ := newStore(t, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	pieces := make([]func(*tx) error, 100)
	for i := range pieces {
		pieces[i] = func(tx *tx) error {
			if i == 3 {
				cancel()
			}
			return tx.put(bSettings, []byte("piece"), []byte{byte(i)})
		}
	}
	if n, err := s.updatePieces(ctx, pieces); n != 4 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d pieces done, %v", n, err)
	}
}

func TestALargeMailboxIsDeletedBitByBit(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	keepNothing(t, s)
	const n = 3000
	uids := many(t, s, Placement{Account: ann.ID, Name: "Old"}, n)
	old, err := s.FolderNamed(ann.ID, "Old")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Copy(ctx, ann.ID, old.ID, uids[:10], "Archive"); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteFolder(ctx, ann.ID, "Old"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.FolderNamed(ann.ID, "Old"); !errors.Is(err, ErrNotFound) {
		t.Errorf("it is still to be seen: %v", err)
	}
	if u, err := s.AccountUsage(ann.ID); err != nil || u.Messages != 10 {
		t.Errorf("the account has %d messages, %v", u.Messages, err)
	}
	if left := countRows(s, folderKey(ann.ID, old.ID)); left != n {
		t.Errorf("%d messages are left at once", left)
	}
	// A new one may have its name, before and after a restart.
	if _, err := s.CreateFolder(ctx, ann.ID, "Old", ""); err != nil {
		t.Fatal(err)
	}
	accept(t, s, hello(2), Placement{Account: ann.ID, Name: "Old"})
	closeStore(t, s)
	s = openStore(t, s.Dir(), Options{})
	if err := s.emptyDiscarded(ctx); err != nil {
		t.Fatal(err)
	}
	if left := countRows(s, folderKey(ann.ID, old.ID)); left != 0 {
		t.Errorf("%d messages are left", left)
	}
	if f, err := s.FolderNamed(ann.ID, "Old"); err != nil || f.Messages != 1 {
		t.Errorf("the new mailbox: %+v, %v", f, err)
	}
	if got := readAll(t, s, ann.ID, mustFolder(t, s, ann.ID, "Archive"), 10); got != hello(1) {
		t.Errorf("the copy is %q", got)
	}
}

func TestMaintainEmptiesWhatWasDeleted(t *testing.T) {
	s, ann, bob := newStore(t, Options{})
	uids := many(t, s, Placement{Account: bob.ID}, 1000)
	closeStore(t, s)
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, s.Dir(), Options{})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { defer close(ended); s.Maintain(ctx) }()
		synctest.Wait()
		if err := s.RemoveAccount(ctx, bob.Address); err != nil {
			t.Fatal(err)
		}
		for countRows(s, folderKey(bob.ID, InboxID)) > 0 {
			if err := s.Subscribe(ctx, ann.ID, "x", true); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		cancel()
		<-ended
		if len(uids) != 1000 {
			t.Error(len(uids))
		}
	})
}

func countRows(s *Store, prefix []byte) (n int) {
	s.view(func(tx *tx) error {
		return tx.each(bFacts, prefix, func(_, _ []byte) error { n++; return nil })
	})
	return n
}

func mustFolder(t *testing.T, s *Store, id AccountID, name string) FolderID {
	t.Helper()
	f, err := s.FolderNamed(id, name)
	if err != nil {
		t.Fatal(err)
	}
	return f.ID
}
