package mailbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
)

// follower is a client that knows a mailbox as it was at some modseq, and asks for
// what came after.
type follower struct {
	modSeq ModSeq
	seen   map[UID]Entry
}

func (f *follower) ask(s *Store, id AccountID, folder FolderID) error {
	c, err := s.Changes(id, folder, f.modSeq)
	if err != nil {
		return err
	}
	for _, e := range c.Changed {
		f.seen[e.UID] = e
	}
	for _, uid := range c.Vanished {
		delete(f.seen, uid)
	}
	if len(c.Changed)+len(c.Vanished) > 0 && c.Folder.HighestModSeq <= f.modSeq {
		return fmt.Errorf("changes after modseq %d, and HIGHESTMODSEQ is %d", f.modSeq, c.Folder.HighestModSeq)
	}
	if f.modSeq = c.Folder.HighestModSeq; len(f.seen) != int(c.Folder.Messages) {
		return fmt.Errorf("at modseq %d the client has %d messages, and the mailbox %d", f.modSeq, len(f.seen), c.Folder.Messages)
	}
	return nil
}

func (f *follower) clone() *follower { return &follower{f.modSeq, maps.Clone(f.seen)} }

// TestChangesAreNeverMissed lets writers do what they like at once, so that several
// operations are in one commit, while clients ask for changes from modseqs that
// they saw some time ago. Every client must have the mailbox's own picture.
func TestChangesAreNeverMissed(t *testing.T) {
	rounds := 60
	if os.Getenv("ROOST_LONG") != "" {
		rounds = 2000
	}
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	many(t, s, Placement{Account: ann.ID}, 50)
	archive := mustFolder(t, s, ann.ID, "Archive")
	var writers, readers sync.WaitGroup
	fail := func(err error) {
		if err != nil && !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	}
	for w := range 6 {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 7))
			for range rounds {
				snap, err := s.Snapshot(ann.ID, InboxID)
				fail(err)
				var some []UID
				for _, e := range snap.Entries {
					if r.IntN(8) == 0 {
						some = append(some, e.UID)
					}
				}
				switch r.IntN(7) {
				case 0, 1:
					_, err = tryAccept(s, hello(r.IntN(1000)), Placement{Account: ann.ID})
				case 2, 3:
					old := ModSeq(r.Uint64N(uint64(snap.Folder.HighestModSeq)))
					u := FlagUpdate{Change: FlagChange(r.IntN(3)), Flags: Flags(r.IntN(32)), Keywords: []string{fmt.Sprint("k", r.IntN(3))}}
					if r.IntN(3) == 0 {
						u.UnchangedSince = &old
					}
					_, err = s.SetFlags(ctx, ann.ID, InboxID, some, u)
				case 4:
					_, err = s.Expunge(ctx, ann.ID, InboxID, some)
				case 5:
					_, err = s.Move(ctx, ann.ID, InboxID, some[:min(len(some), 2)], "Archive")
				case 6:
					_, err = s.Copy(ctx, ann.ID, archive, uidsUpTo(UID(1+r.IntN(3))), Inbox)
				}
				fail(err)
			}
		})
	}
	stop := make(chan struct{})
	followers := make([]*follower, 3)
	for i := range followers {
		f := &follower{seen: make(map[UID]Entry)}
		followers[i] = f
		readers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 9))
			past := f.clone()
			for {
				select {
				case <-stop:
					return
				default:
				}
				fail(f.ask(s, ann.ID, InboxID))
				if r.IntN(5) == 0 { // one that was away comes back
					fail(past.ask(s, ann.ID, InboxID))
					past = f.clone()
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	snap, err := s.Snapshot(ann.ID, InboxID)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range followers {
		fail(f.ask(s, ann.ID, InboxID))
		got := slices.Collect(maps.Values(f.seen))
		slices.SortFunc(got, func(a, b Entry) int { return int(a.UID) - int(b.UID) })
		if !slices.Equal(got, snap.Entries) {
			t.Errorf("client %d has %d messages, which are not the %d of the mailbox", i, len(got), len(snap.Entries))
		}
	}
}
