package mailbox

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// receiveFrom delivers a message of a sender who is confirmed.
func receiveFrom(t *testing.T, s *Store, from Address, to ...AccountID) {
	t.Helper()
	spool := s.NewSpool(0)
	defer spool.Close()
	if _, err := spool.Write([]byte(hello(1))); err != nil {
		t.Fatal(err)
	}
	in := Intake{Body: spool, Author: from}
	for _, id := range to {
		in.Place = append(in.Place, Placement{Account: id})
	}
	if _, err := s.Accept(context.Background(), in); err != nil {
		t.Fatal(err)
	}
}

// wantReputation holds the numbers of an address with an account and of its domain:
// received, moved to Junk, moved out of it, sent.
func wantReputation(t *testing.T, s *Store, id AccountID, sender Address, address, domain [4]float64) {
	t.Helper()
	r, err := s.Reputation(id, sender)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		got  Tally
		want [4]float64
	}{"address": {r.Address, address}, "domain": {r.Domain, domain}} {
		for i, n := range []float64{c.got.Received, c.got.Junked, c.got.Rescued, c.got.Sent} {
			if math.Abs(n-c.want[i]) > 0.001 {
				t.Errorf("%s of %s: %+v, want %v", what, sender, c.got, c.want)
				break
			}
		}
	}
}

func TestReadersAreCounted(t *testing.T) {
	s, ann, bob := newStore(t, Options{})
	ctx := t.Context()
	for range 3 {
		receiveFrom(t, s, "joe@shop.example", ann.ID, bob.ID)
	}
	accept(t, s, hello(1), Placement{Account: ann.ID}) // nobody knows from whom
	wantReputation(t, s, ann.ID, "joe@shop.example", [4]float64{3, 0, 0, 0}, [4]float64{3, 0, 0, 0})

	steps := []struct {
		what   string
		do     func() error
		junked float64
		saved  float64
	}{
		{"moved to Junk", func() error { _, err := s.Move(ctx, ann.ID, InboxID, []UID{1, 2, 4}, "Junk"); return err }, 2, 0},
		{"marked there too", mark(s, ann.ID, "Junk", 1, "$Junk"), 2, 0},
		{"back to the INBOX", func() error {
			_, err := s.Move(ctx, ann.ID, folderOf(t, s, ann.ID, "Junk"), []UID{1}, Inbox)
			return err
		}, 1, 1},
		{"and to Junk again", func() error { _, err := s.Move(ctx, ann.ID, InboxID, []UID{5}, "Junk"); return err }, 2, 0},
		{"from Junk to Trash", func() error {
			_, err := s.Move(ctx, ann.ID, folderOf(t, s, ann.ID, "Junk"), []UID{2}, "Trash")
			return err
		}, 2, 0},
		{"marked as junk", mark(s, ann.ID, Inbox, 3, "$junk"), 3, 0},
		{"as none", mark(s, ann.ID, Inbox, 3, "$NotJunk"), 2, 1},
		{"copied", func() error { _, err := s.Copy(ctx, ann.ID, InboxID, []UID{3}, "Archive"); return err }, 2, 1},
		{"another who marks what he did not take for junk", mark(s, bob.ID, Inbox, 1, "$NotJunk"), 2, 1},
		{"a word of Thunderbird's", mark(s, bob.ID, Inbox, 1, "NonJunk"), 2, 1},
	}
	for _, c := range steps {
		if err := c.do(); err != nil {
			t.Fatal(c.what, err)
		}
		t.Log(c.what)
		want := [4]float64{3, c.junked, c.saved, 0}
		wantReputation(t, s, ann.ID, "joe@shop.example", want, want)
	}
	if _, err := s.Move(ctx, bob.ID, InboxID, []UID{1}, "Junk"); err != nil {
		t.Fatal(err)
	}
	wantReputation(t, s, bob.ID, "joe@shop.example", [4]float64{3, 1, 0, 0}, [4]float64{3, 3, 1, 0})
	if err := send(s, bob.ID, "", "joe@shop.example", "eve@shop.example"); err != nil {
		t.Fatal(err)
	}
	wantReputation(t, s, bob.ID, "joe@shop.example", [4]float64{3, 1, 0, 1}, [4]float64{3, 3, 1, 1})
	wantReputation(t, s, bob.ID, "eve@shop.example", [4]float64{0, 0, 0, 1}, [4]float64{3, 3, 1, 1})
	keepNothing(t, s)
	if err := s.RemoveAccount(ctx, "bob@example.org"); err != nil {
		t.Fatal(err)
	}
	wantReputation(t, s, bob.ID, "joe@shop.example", [4]float64{}, [4]float64{3, 3, 1, 1})
}

func folderOf(t *testing.T, s *Store, id AccountID, name string) FolderID {
	t.Helper()
	f, err := s.FolderNamed(id, name)
	if err != nil {
		t.Fatal(err)
	}
	return f.ID
}

func mark(s *Store, id AccountID, folder string, uid UID, keyword string) func() error {
	return func() error {
		f, err := s.FolderNamed(id, folder)
		if err != nil {
			return err
		}
		_, err = s.SetFlags(context.Background(), id, f.ID, []UID{uid}, FlagUpdate{Change: AddFlags, Keywords: []string{keyword}})
		return err
	}
}

func TestTalliesFade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ann, _ := newStore(t, Options{})
		for range 4 {
			receiveFrom(t, s, "joe@shop.example", ann.ID)
		}
		time.Sleep(halfLife * 24 * time.Hour)
		wantReputation(t, s, ann.ID, "joe@shop.example", [4]float64{2, 0, 0, 0}, [4]float64{2, 0, 0, 0})
		receiveFrom(t, s, "joe@shop.example", ann.ID)
		time.Sleep(halfLife * 24 * time.Hour)
		wantReputation(t, s, ann.ID, "joe@shop.example", [4]float64{1.5, 0, 0, 0}, [4]float64{1.5, 0, 0, 0})
	})
}

// TestTalliesAreBounded: of many strangers the last ones stay, and those whom the
// account wrote to.
func TestTalliesAreBounded(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	n := func(i int) Address { return Address(fmt.Sprintf("n%d@x.example", i)) }
	const written, more = 100, 500
	now := DayOf(time.Now())
	for begin := 0; begin < maxCorrespondents+more; begin += 2500 {
		err := s.update(t.Context(), func(tx *tx) error {
			for i := begin; i < min(begin+2500, maxCorrespondents+more); i++ {
				count := func(t *Tally) { t.Received++ }
				if i < written {
					count = func(t *Tally) { t.Sent, t.Wrote = 1, now }
				}
				if err := tx.countTally(tallyKey(ann.ID, string(n(i))), now+Day(begin), count); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := s.view(func(tx *tx) error {
		have := 0
		if err := tx.each(bCorrespondents, be32(uint32(ann.ID)), func(_, _ []byte) error { have++; return nil }); err != nil {
			return err
		}
		if have != maxCorrespondents {
			t.Errorf("%d tallies", have)
		}
		for i := range written {
			if v := tx.Bucket(bCorrespondents).Get(tallyKey(ann.ID, string(n(i)))); v == nil {
				t.Errorf("%s, who was written to, is forgotten", n(i))
			}
		}
		for i := maxCorrespondents; i < maxCorrespondents+more; i++ {
			if v := tx.Bucket(bCorrespondents).Get(tallyKey(ann.ID, string(n(i)))); v == nil {
				t.Errorf("%s, the newest, is forgotten", n(i))
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
