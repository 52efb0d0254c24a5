package mailbox

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func expungeAll(t testing.TB, s *Store, id AccountID, folder FolderID, uids ...UID) {
	t.Helper()
	ctx := context.Background()
	if _, err := s.SetFlags(ctx, id, folder, uids, FlagUpdate{Change: AddFlags, Flags: Deleted}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Expunge(ctx, id, folder, uids)
	if err != nil || !slices.Equal(got.UIDs, uids) {
		t.Fatalf("expunged %v of %v, %v", got.UIDs, uids, err)
	}
}

func TestExpungedMessagesComeBack(t *testing.T) {
	s, ann, bob := newStore(t, Options{})
	ctx := context.Background()
	for n := range 5 {
		accept(t, s, hello(n), Placement{Account: ann.ID, Keywords: []string{"k"}, Flags: Seen}, Placement{Account: bob.ID})
	}
	before, err := s.AccountUsage(ann.ID)
	if err != nil {
		t.Fatal(err)
	}
	var object ObjectID
	if err := s.Rows(ann.ID, InboxID, []UID{2}, func(m *Facts) error { object = m.Object; return nil }); err != nil {
		t.Fatal(err)
	}
	expungeAll(t, s, ann.ID, InboxID, 2, 4)
	if u, err := s.AccountUsage(ann.ID); err != nil || u.Messages != 3 || u.Bytes >= before.Bytes {
		t.Errorf("after the expunge the account has %+v, before %+v (%v)", u, before, err)
	}
	if _, err := s.OpenMessage(ann.ID, InboxID, 2); !errors.Is(err, ErrNotFound) {
		t.Errorf("an expunged message is opened: %v", err)
	}
	if err := s.Facts(ann.ID, InboxID, []UID{2, 4}, func(m *Facts) error { t.Errorf("facts of expunged message %d", m.UID); return nil }); err != nil {
		t.Error(err)
	}
	if found, err := s.Search(ctx, ann.ID, InboxID, Query{Test: TestText, Text: "number 1"}); err != nil || len(found) != 0 {
		t.Errorf("a search finds the expunged %v, %v", found, err)
	}
	list, err := s.Undeletable(ann.ID, 10)
	if err != nil || len(list) != 2 || list[0].Subject != "hello 3" || list[0].Mailbox != Inbox || list[0].From == "" {
		t.Fatalf("%+v, %v", list, err)
	}
	if list, err = s.Undeletable(bob.ID, 10); err != nil || len(list) != 0 {
		t.Errorf("bob may have back %+v, %v", list, err)
	}
	if n, err := s.Undelete(ctx, ann.ID, Undeletion{UIDs: []UID{2}}); n != 1 || err != nil {
		t.Fatalf("%d came back, %v", n, err)
	}
	snap, err := s.Snapshot(ann.ID, InboxID)
	if err != nil {
		t.Fatal(err)
	}
	last := snap.Entries[len(snap.Entries)-1]
	if last.UID != 6 || last.Flags != Seen || len(snap.Folder.KeywordNames(last.Keywords)) != 1 {
		t.Errorf("it came back as %+v", last)
	}
	if got := readAll(t, s, ann.ID, InboxID, 6); got != hello(1) {
		t.Errorf("it came back as %q", got)
	}
	if err := s.Rows(ann.ID, InboxID, []UID{6}, func(m *Facts) error {
		if m.Object != object {
			t.Error("it has another EMAILID")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if _, err := s.Undelete(ctx, ann.ID, Undeletion{UIDs: []UID{2}}); !errors.Is(err, ErrNotFound) {
		t.Errorf("it came back twice: %v", err)
	}
	if n, err := s.Undelete(ctx, ann.ID, Undeletion{}); n != 1 || err != nil {
		t.Errorf("%d came back, %v", n, err)
	}
	if u, err := s.AccountUsage(ann.ID); err != nil || u != before {
		t.Errorf("the account has %+v, before %+v (%v)", u, before, err)
	}
}

func TestADeletedMailboxComesBack(t *testing.T) {
	for _, n := range []int{3, 600} {
		s, ann, _ := newStore(t, Options{})
		ctx := context.Background()
		many(t, s, Placement{Account: ann.ID, Name: "Old/mail", Keywords: []string{"k"}}, n)
		old := mustFolder(t, s, ann.ID, "Old/mail")
		expungeAll(t, s, ann.ID, old, 1)
		if err := s.DeleteFolder(ctx, ann.ID, "Old/mail"); err != nil {
			t.Fatal(err)
		}
		if err := s.emptyDiscarded(ctx); err != nil {
			t.Fatal(err)
		}
		if r, err := s.Check(ctx); err != nil || r.Err() != nil {
			t.Fatal(err, r.Err())
		}
		if list, err := s.Undeletable(ann.ID, 1000); err != nil || len(list) != n {
			t.Fatalf("%d of %d can come back, %v", len(list), n, err)
		}
		if back, err := s.Undelete(ctx, ann.ID, Undeletion{Mailbox: "Old/mail"}); back != n || err != nil {
			t.Fatalf("%d of %d came back, %v", back, n, err)
		}
		f, err := s.FolderNamed(ann.ID, "Old/mail")
		if err != nil || int(f.Messages) != n || f.ID == old || !slices.Equal(f.Keywords, []string{"k"}) {
			t.Errorf("the mailbox is %+v, %v", f, err)
		}
	}
}

func TestExpungedMessagesAreForgottenAfterTheirDays(t *testing.T) {
	first, ann, bob := newStore(t, Options{})
	many(t, first, Placement{Account: ann.ID}, 300)
	many(t, first, Placement{Account: bob.ID, Name: "Old"}, 10)
	closeStore(t, first)
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, first.Dir(), Options{})
		ctx := context.Background()
		all := uidsUpTo(300)
		expungeAll(t, s, ann.ID, InboxID, all...)
		if err := s.DeleteFolder(ctx, bob.ID, "Old"); err != nil {
			t.Fatal(err)
		}
		forget := func() {
			t.Helper()
			for _, job := range []func(context.Context) error{s.forgetExpunged, s.emptyDiscarded} {
				if err := job(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(13 * 24 * time.Hour)
		forget()
		if list, err := s.Undeletable(ann.ID, 1000); err != nil || len(list) != 300 {
			t.Errorf("after 13 days %d can come back, %v", len(list), err)
		}
		time.Sleep(2 * 24 * time.Hour)
		forget()
		for _, a := range []Account{ann, bob} {
			if list, err := s.Undeletable(a.ID, 1000); err != nil || len(list) != 0 {
				t.Errorf("after 15 days %d can come back, %v", len(list), err)
			}
		}
		if left := countRows(s, nil); left != 0 {
			t.Errorf("%d messages are left", left)
		}
	})
}

func TestNothingIsKeptWhereTheSettingsSaySo(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	if err := s.ChangeSettings(ctx, func(v *Settings) error { v.UndeleteDays = -1; return nil }); err != nil {
		t.Fatal(err)
	}
	many(t, s, Placement{Account: ann.ID}, 3)
	expungeAll(t, s, ann.ID, InboxID, 1, 2, 3)
	if left := countRows(s, nil); left != 0 {
		t.Errorf("%d rows are left", left)
	}
}

func TestAnAccountIsRemovedWithWhatItExpunged(t *testing.T) {
	s, _, bob := newStore(t, Options{})
	ctx := context.Background()
	many(t, s, Placement{Account: bob.ID}, 300)
	many(t, s, Placement{Account: bob.ID, Name: "Old"}, 3)
	expungeAll(t, s, bob.ID, InboxID, uidsUpTo(290)...)
	if err := s.DeleteFolder(ctx, bob.ID, "Old"); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveAccount(ctx, bob.Address); err != nil {
		t.Fatal(err)
	}
	if err := s.emptyDiscarded(ctx); err != nil {
		t.Fatal(err)
	}
	if left := countRows(s, nil); left != 0 {
		t.Errorf("%d messages are left", left)
	}
}

func TestUndeleteHeedsTheQuotaAndSentHasATenthMore(t *testing.T) {
	s, _, _ := newStore(t, Options{})
	ctx := context.Background()
	size := int64(len(hello(1)))
	cy, err := s.CreateAccount(ctx, NewAccount{Address: "cy@example.org", Quota: 10 * size})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		accept(t, s, hello(1), Placement{Account: cy.ID})
	}
	if _, err := tryAccept(s, hello(1), Placement{Account: cy.ID}); !errors.Is(err, ErrOverQuota) {
		t.Errorf("an eleventh: %v", err)
	}
	accept(t, s, hello(1), Placement{Account: cy.ID, Use: UseSent})
	if _, err := tryAccept(s, hello(1), Placement{Account: cy.ID, Use: UseSent}); !errors.Is(err, ErrOverQuota) {
		t.Errorf("a twelfth, in Sent: %v", err)
	}
	expungeAll(t, s, cy.ID, InboxID, 1, 2)
	accept(t, s, hello(1), Placement{Account: cy.ID})
	if n, err := s.Undelete(ctx, cy.ID, Undeletion{}); n != 0 || !errors.Is(err, ErrOverQuota) {
		t.Errorf("%d came back over the quota, %v", n, err)
	}
}

func TestJunkAndTrashAreEmptiedAfterTheirDays(t *testing.T) {
	first, ann, _ := newStore(t, Options{})
	closeStore(t, first)
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, first.Dir(), Options{})
		ctx := context.Background()
		if err := s.ChangeSettings(ctx, func(v *Settings) error { v.TrashDays = -1; return nil }); err != nil {
			t.Fatal(err)
		}
		places := []Placement{{Account: ann.ID}, {Account: ann.ID, Use: UseJunk}, {Account: ann.ID, Use: UseTrash}}
		accept(t, s, hello(1), places...)
		time.Sleep(20 * 24 * time.Hour)
		accept(t, s, hello(2), places...)
		time.Sleep(11 * 24 * time.Hour)
		if err := s.expungeOld(ctx); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]uint32{Inbox: 2, "Junk": 1, "Trash": 2} {
			if f, err := s.FolderNamed(ann.ID, name); err != nil || f.Messages != want {
				t.Errorf("%s has %d messages, want %d (%v)", name, f.Messages, want, err)
			}
		}
		if list, err := s.Undeletable(ann.ID, 10); err != nil || len(list) != 1 || list[0].Mailbox != "Junk" {
			t.Errorf("%+v can come back, %v", list, err)
		}
	})
}
