package mailbox

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

func folderNames(t *testing.T, s *Store, id AccountID) []string {
	t.Helper()
	all, err := s.Folders(id)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range all {
		names = append(names, f.Name)
	}
	return names
}

func TestFirstMailboxes(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	want := []string{"INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"}
	if got := folderNames(t, s, ann.ID); !slices.Equal(got, want) {
		t.Errorf("mailboxes %q, want %q", got, want)
	}
	subs, err := s.Subscriptions(ann.ID)
	slices.Sort(subs)
	slices.Sort(want)
	if err != nil || !slices.Equal(subs, want) {
		t.Errorf("subscriptions %q: %v", subs, err)
	}
	if f, err := s.FolderNamed(ann.ID, "inBOX"); err != nil || f.ID != InboxID {
		t.Errorf("INBOX in any case: %+v, %v", f, err)
	}
}

func TestMailboxNames(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	for name, want := range map[string]error{
		"a/b/c":                     nil,
		"Entwürfe":                  nil,
		"inbox/x":                   nil,
		"INBOX":                     ErrExists,
		"Sent":                      ErrExists,
		"":                          ErrInvalid,
		"/a":                        ErrInvalid,
		"a/":                        ErrInvalid,
		"a//b":                      ErrInvalid,
		"a\x00b":                    ErrInvalid,
		"a\xffb":                    ErrInvalid,
		strings.Repeat("x", 1001):   ErrInvalid,
		strings.Repeat("x/", 60):    ErrInvalid,
		"a name with spaces & more": nil,
	} {
		if _, err := s.CreateFolder(ctx, ann.ID, name, ""); !errors.Is(err, want) {
			t.Errorf("create %q: %v, want %v", name, err, want)
		}
	}
	names := folderNames(t, s, ann.ID)
	for _, want := range []string{"a", "a/b", "a/b/c", "INBOX/x"} {
		if !slices.Contains(names, want) {
			t.Errorf("%q is missing in %q", want, names)
		}
	}
}

func TestUIDValidityNeverComesBack(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	seen := make(map[uint32]bool)
	for range 5 {
		f, err := s.CreateFolder(ctx, ann.ID, "x", "")
		if err != nil {
			t.Fatal(err)
		}
		if seen[f.UIDValidity] {
			t.Fatalf("UIDVALIDITY %d again", f.UIDValidity)
		}
		seen[f.UIDValidity] = true
		accept(t, s, hello(1), Placement{Account: ann.ID, Folder: f.ID})
		if err := s.DeleteFolder(ctx, ann.ID, "x"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRename(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	for _, n := range []string{"a/b/c", "a/d", "other"} {
		if _, err := s.CreateFolder(ctx, ann.ID, n, ""); err != nil {
			t.Fatal(err)
		}
	}
	before, _ := s.FolderNamed(ann.ID, "a/b")
	if err := s.RenameFolder(ctx, ann.ID, "a", "z/y"); err != nil {
		t.Fatal(err)
	}
	names := folderNames(t, s, ann.ID)
	for _, want := range []string{"z", "z/y", "z/y/b", "z/y/b/c", "z/y/d"} {
		if !slices.Contains(names, want) {
			t.Errorf("%q is missing in %q", want, names)
		}
	}
	if slices.ContainsFunc(names, func(n string) bool { return n == "a" || strings.HasPrefix(n, "a/") }) {
		t.Errorf("old names are left in %q", names)
	}
	if after, _ := s.FolderNamed(ann.ID, "z/y/b"); after.ID != before.ID || after.UIDValidity != before.UIDValidity {
		t.Errorf("renamed %+v into %+v", before, after)
	}
	for _, c := range []struct {
		from, to string
		want     error
	}{
		{"nowhere", "x", ErrNotFound},
		{"other", "z/y/d", ErrExists},
		{"z", "z/y/b/q", ErrInvalid},
		{"other", "inbox", ErrExists},
	} {
		if err := s.RenameFolder(ctx, ann.ID, c.from, c.to); !errors.Is(err, c.want) {
			t.Errorf("rename %q to %q: %v, want %v", c.from, c.to, err, c.want)
		}
	}
}

func TestRenameOfInboxMovesItsMail(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	for i := range 300 {
		accept(t, s, hello(i), Placement{Account: ann.ID, Flags: Seen})
	}
	if err := s.RenameFolder(ctx, ann.ID, "INBOX", "old mail"); err != nil {
		t.Fatal(err)
	}
	inbox, _ := s.Folder(ann.ID, InboxID)
	old, err := s.FolderNamed(ann.ID, "old mail")
	if err != nil || inbox.Messages != 0 || inbox.UIDNext != 301 || old.Messages != 300 || old.Unseen != 0 {
		t.Errorf("INBOX %+v, old mail %+v, %v", inbox, old, err)
	}
	if got := readAll(t, s, ann.ID, old.ID, 300); got != hello(299) {
		t.Errorf("message is %q", got)
	}
}

func TestSubscriptionsOutliveMailboxes(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	if err := s.DeleteFolder(ctx, ann.ID, "Junk"); err != nil {
		t.Fatal(err)
	}
	subs, _ := s.Subscriptions(ann.ID)
	if !slices.Contains(subs, "Junk") {
		t.Errorf("subscriptions %q", subs)
	}
	if err := s.Subscribe(ctx, ann.ID, "Junk", false); err != nil {
		t.Fatal(err)
	}
	if subs, _ = s.Subscriptions(ann.ID); slices.Contains(subs, "Junk") {
		t.Errorf("subscriptions %q", subs)
	}
	if err := s.DeleteFolder(ctx, ann.ID, "INBOX"); !errors.Is(err, ErrInvalid) {
		t.Errorf("delete INBOX: %v", err)
	}
}

func TestRecentIsToldOnce(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	accept(t, s, hello(1), Placement{Account: ann.ID})
	f, _ := s.Folder(ann.ID, InboxID)
	if first := s.Recent(ann.ID, f); first != 1 {
		t.Errorf("recent from %d, want 1", first)
	}
	if first := s.ClaimRecent(ann.ID, f); first != 1 {
		t.Errorf("claimed from %d, want 1", first)
	}
	if first := s.ClaimRecent(ann.ID, f); first != 2 {
		t.Errorf("claimed again from %d, want 2", first)
	}
}
