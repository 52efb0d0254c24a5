package mailbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// mirror is a client that knows a mailbox only by what Changes tells it.
type mirror struct {
	id      AccountID
	folder  FolderID
	since   ModSeq
	entries map[UID]Entry
}

func (m *mirror) sync(s *Store) error {
	c, err := s.Changes(m.id, m.folder, m.since)
	if err != nil {
		return err
	}
	for _, uid := range c.Vanished {
		delete(m.entries, uid)
	}
	for _, e := range c.Changed {
		if e.ModSeq <= m.since {
			return fmt.Errorf("message %d changed at %d, asked since %d", e.UID, e.ModSeq, m.since)
		}
		m.entries[e.UID] = e
	}
	m.since = c.Folder.HighestModSeq
	return nil
}

// After any interleaving of writers, a client that asks since the modseq that
// it last saw has seen every change.
func TestChangesMissNothing(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx, stop := context.WithCancel(context.Background())
	other, err := s.CreateFolder(ctx, ann.ID, "other", "")
	if err != nil {
		t.Fatal(err)
	}
	folders := []FolderID{InboxID, other.ID}
	names := map[FolderID]string{InboxID: "INBOX", other.ID: "other"}
	var writers, readers sync.WaitGroup
	for w := range 6 {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(7, uint64(w)))
			for i := range 60 {
				f := folders[r.IntN(2)]
				snap, err := s.Snapshot(ann.ID, f)
				if err != nil {
					t.Error(err)
					return
				}
				var some []UID
				for _, e := range snap.Entries {
					if r.IntN(4) == 0 {
						some = append(some, e.UID)
					}
				}
				switch r.IntN(6) {
				case 0, 1:
					_, err = tryAccept(s, hello(i), Placement{Account: ann.ID, Folder: f, Flags: Flags(r.IntN(32))})
				case 2:
					_, err = s.SetFlags(ctx, ann.ID, f, some, FlagUpdate{Change: FlagChange(r.IntN(3)), Flags: Flags(r.IntN(32)), Keywords: []string{fmt.Sprint("k", r.IntN(3))}})
				case 3:
					_, err = s.Copy(ctx, ann.ID, f, some[:min(len(some), 5)], names[folders[r.IntN(2)]])
				case 4:
					_, err = s.Move(ctx, ann.ID, f, some, names[folders[r.IntN(2)]])
				case 5:
					_, err = s.Expunge(ctx, ann.ID, f, some)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	var mirrors []*mirror
	for i := range 4 {
		m := &mirror{id: ann.ID, folder: folders[i%2], entries: make(map[UID]Entry)}
		mirrors = append(mirrors, m)
		readers.Go(func() {
			for {
				bell := s.Bell(ann.ID)
				if err := m.sync(s); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-bell:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
	for _, m := range mirrors {
		if err := m.sync(s); err != nil {
			t.Fatal(err)
		}
		snap, err := s.Snapshot(m.id, m.folder)
		if err != nil {
			t.Fatal(err)
		}
		if len(snap.Entries) != len(m.entries) {
			t.Errorf("the mirror has %d messages, the mailbox %d", len(m.entries), len(snap.Entries))
		}
		for _, e := range snap.Entries {
			if m.entries[e.UID] != e {
				t.Errorf("the mirror has %+v, the mailbox %+v", m.entries[e.UID], e)
			}
		}
	}
}

func TestFlagsOfManyBlocks(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	const n = 3*blockUIDs + 10
	many(t, s, Placement{Account: ann.ID}, n)
	var odd []UID
	for u := UID(1); u <= n; u += 2 {
		odd = append(odd, u)
	}
	before, _ := s.Folder(ann.ID, InboxID)
	out, err := s.SetFlags(ctx, ann.ID, InboxID, append(slices.Clone(odd), 99999), FlagUpdate{Change: AddFlags, Flags: Seen | Deleted, Keywords: []string{"$Done"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Entries) != len(odd) || int(out.Folder.Unseen) != n-len(odd) || int(out.Folder.Deleted) != len(odd) || out.Folder.HighestModSeq != before.HighestModSeq+1 {
		t.Errorf("stored %d entries, %+v", len(out.Entries), out.Folder)
	}
	again, err := s.SetFlags(ctx, ann.ID, InboxID, odd, FlagUpdate{Change: AddFlags, Flags: Seen})
	if err != nil || again.Folder.HighestModSeq != out.Folder.HighestModSeq || len(again.Entries) != len(odd) {
		t.Errorf("a STORE that changes nothing: modseq %d, %v", again.Folder.HighestModSeq, err)
	}
	since := before.HighestModSeq
	cond, err := s.SetFlags(ctx, ann.ID, InboxID, []UID{1, 2}, FlagUpdate{Change: RemoveFlags, Flags: Seen, UnchangedSince: &since})
	if err != nil || !slices.Equal(cond.Modified, []UID{1}) || len(cond.Entries) != 1 {
		t.Errorf("UNCHANGEDSINCE: %+v, %v", cond, err)
	}
	got, err := s.Entries(ann.ID, InboxID, []UID{1, 2, 300, 5000})
	if err != nil || len(got) != 3 || got[0].Flags != Seen|Deleted || got[1].Flags != 0 || got[2].UID != 300 {
		t.Errorf("Entries: %+v, %v", got, err)
	}
	x, err := s.Expunge(ctx, ann.ID, InboxID, []UID{1, 3, 4})
	if err != nil || !slices.Equal(x.UIDs, []UID{1, 3}) {
		t.Errorf("UID EXPUNGE: %v, %v", x.UIDs, err)
	}
	if x, err = s.Expunge(ctx, ann.ID, InboxID, nil); err != nil || len(x.UIDs) != len(odd)-2 || x.Folder.Messages != n/2 {
		t.Errorf("EXPUNGE: %d, %v", len(x.UIDs), err)
	}
	c, err := s.Changes(ann.ID, InboxID, since)
	if err != nil || !slices.Equal(c.Vanished, odd) || len(c.Changed) != 0 {
		t.Errorf("changes: %d vanished, %d changed, %v", len(c.Vanished), len(c.Changed), err)
	}
}

// A STORE whose batch is rolled back because of somebody else runs again whole.
func TestStoreSurvivesARerun(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	const n = 2 * blockUIDs
	uids := many(t, s, Placement{Account: ann.ID}, n)
	for range 20 {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				s.update(ctx, func(tx *tx) error {
					tx.put(bSettings, []byte("x"), nil)
					return errors.New("on purpose")
				})
			})
		}
		wg.Go(func() {
			out, err := s.SetFlags(ctx, ann.ID, InboxID, uids, FlagUpdate{Change: AddFlags, Flags: Seen})
			if err != nil || len(out.Entries) != n || out.Folder.Unseen != 0 {
				t.Errorf("STORE answered %d entries, %d unseen, %v", len(out.Entries), out.Folder.Unseen, err)
			}
		})
		wg.Wait()
		if _, err := s.SetFlags(ctx, ann.ID, InboxID, uids, FlagUpdate{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKeywordsAreLimited(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	accept(t, s, hello(1), Placement{Account: ann.ID})
	var many []string
	for i := range maxKeywords {
		many = append(many, fmt.Sprint("k", i))
	}
	set := func(k ...string) error {
		_, err := s.SetFlags(context.Background(), ann.ID, InboxID, []UID{1}, FlagUpdate{Change: AddFlags, Keywords: k})
		return err
	}
	if err := set(many...); err != nil {
		t.Fatal(err)
	}
	if err := set("K0"); err != nil {
		t.Errorf("a known keyword in another case: %v", err)
	}
	if err := set("one-more"); !errors.Is(err, ErrLimit) {
		t.Errorf("one more: %v", err)
	}
	if err := set("a b"); !errors.Is(err, ErrInvalid) {
		t.Errorf("not an atom: %v", err)
	}
}

func TestCopyCarriesKeywordsOver(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	accept(t, s, hello(1), Placement{Account: ann.ID, Name: "Archive", Keywords: []string{"x", "y"}})
	accept(t, s, hello(2), Placement{Account: ann.ID, Keywords: []string{"y", "z"}, Flags: Seen})
	c, err := s.Copy(ctx, ann.ID, InboxID, []UID{1, 7}, "Archive")
	if err != nil || !slices.Equal(c.From, []UID{1}) || !slices.Equal(c.To, []UID{2}) {
		t.Fatalf("%+v, %v", c, err)
	}
	f, _ := s.FolderNamed(ann.ID, "Archive")
	e, err := s.Entries(ann.ID, f.ID, []UID{2})
	if err != nil || len(e) != 1 {
		t.Fatal(e, err)
	}
	if got := f.KeywordNames(e[0].Keywords); !slices.Equal(got, []string{"y", "z"}) || e[0].Flags != Seen {
		t.Errorf("copied keywords %q, flags %v", got, e[0].Flags)
	}
	if m, err := s.Move(ctx, ann.ID, InboxID, []UID{1}, "INBOX"); err != nil || !slices.Equal(m.To, []UID{2}) || m.Source.Messages != 1 {
		t.Errorf("a move within a mailbox: %+v, %v", m, err)
	}
	if _, err := s.Move(ctx, ann.ID, InboxID, []UID{2}, "nowhere"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a move to nowhere: %v", err)
	}
}
