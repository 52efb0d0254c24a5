package mailbox

import (
	"context"
	"encoding/binary"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestOldRowsOfExpungedMessagesAreGivenUp(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	uids := many(t, s, Placement{Account: ann.ID}, 20)
	before, err := s.Snapshot(ann.ID, InboxID)
	if err != nil {
		t.Fatal(err)
	}
	expungeAll(t, s, ann.ID, InboxID, 3, 7)
	middle, err := s.Folder(ann.ID, InboxID)
	if err != nil {
		t.Fatal(err)
	}
	expungeAll(t, s, ann.ID, InboxID, 11)
	// As if there had been thousands of expunges after that one.
	const more = expungedRows + 10
	err = s.update(ctx, func(tx *tx) error {
		f, err := tx.folder(ann.ID, InboxID)
		for i := 0; i < more && err == nil; i++ {
			f.HighestModSeq, err = tx.advance(ann.ID)
			if err == nil {
				err = tx.put(bExpunged, expungedKey(ann.ID, InboxID, f.HighestModSeq), binary.AppendUvarint(nil, 13))
			}
		}
		if err != nil {
			return err
		}
		return tx.putFolder(ann.ID, f)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.giveUpExpunged(ctx); err != nil {
		t.Fatal(err)
	}
	rows := 0
	s.view(func(tx *tx) error {
		return tx.each(bExpunged, folderKey(ann.ID, InboxID), func(_, _ []byte) error { rows++; return nil })
	})
	if rows != expungedRowsKept+1 {
		t.Errorf("%d rows are left, want %d and the floor", rows, expungedRowsKept)
	}
	for name, since := range map[string]ModSeq{"before all": before.Folder.HighestModSeq, "between": middle.HighestModSeq} {
		c, err := s.Changes(ann.ID, InboxID, since)
		if err != nil {
			t.Fatal(err)
		}
		for _, uid := range []UID{3, 7, 11} {
			if name == "between" && uid != 11 {
				continue
			}
			if !slices.Contains(c.Vanished, uid) {
				t.Errorf("%s: message %d is gone, and %v are told", name, uid, c.Vanished)
			}
		}
		for _, e := range c.Changed {
			if slices.Contains(c.Vanished, e.UID) {
				t.Errorf("%s: message %d is there, and told to be gone", name, e.UID)
			}
		}
		if len(c.Vanished) != 3 {
			t.Errorf("%s: %v are told to be gone of %d", name, c.Vanished, len(uids))
		}
	}
	last, err := s.Folder(ann.ID, InboxID)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := s.Changes(ann.ID, InboxID, last.HighestModSeq-1); err != nil || !slices.Equal(c.Vanished, []UID{13}) {
		t.Errorf("the last expunge: %v, %v", c.Vanished, err)
	}
}

func TestTheJournalIsTracedAndTrimmed(t *testing.T) {
	first, ann, _ := newStore(t, Options{})
	closeStore(t, first)
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, first.Dir(), Options{})
		ctx := context.Background()
		for n := range 600 {
			if err := s.Log(ctx, Line{Event: Delivered, Message: BodyID(1 + n%2), Account: ann.ID, To: []string{"x@example.com"}}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(100 * 24 * time.Hour)
		if err := s.Log(ctx, Line{Event: Failed, Message: 2}); err != nil {
			t.Fatal(err)
		}
		trace := func(id BodyID) (events []Event) {
			t.Helper()
			if err := s.Trace(id, func(l Line) bool {
				if l.Message != id {
					t.Errorf("a line of %s is traced for %s", l.Message, id)
				}
				events = append(events, l.Event)
				return true
			}); err != nil {
				t.Fatal(err)
			}
			return events
		}
		if got := trace(2); len(got) != 301 || got[0] != Failed {
			t.Errorf("%d lines, the newest %q", len(got), got[0])
		}
		if got := trace(1); len(got) != 300 {
			t.Errorf("%d lines", len(got))
		}
		if got := trace(3); len(got) != 0 {
			t.Errorf("%d lines of no message", len(got))
		}
		time.Sleep(100 * 24 * time.Hour)
		if err := s.trimJournal(ctx); err != nil {
			t.Fatal(err)
		}
		if one, two := trace(1), trace(2); len(one) != 0 || len(two) != 1 {
			t.Errorf("after 200 days %d and %d lines", len(one), len(two))
		}
		s.view(func(tx *tx) error {
			if n := tx.Bucket(bTraces).Stats().KeyN; n != 1 {
				t.Errorf("%d traces are left", n)
			}
			return nil
		})
	})
}
