package mailbox

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// What was expunged can be told again, after changes that came later.
func TestRetellExpunged(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	for range 3 {
		accept(t, s, "Subject: x\r\n\r\ntext\r\n", Placement{Account: ann.ID})
	}
	if _, err := s.SetFlags(ctx, ann.ID, InboxID, []UID{2}, FlagUpdate{Change: AddFlags, Flags: Deleted}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Expunge(ctx, ann.ID, InboxID, nil); err != nil {
		t.Fatal(err)
	}
	late, err := s.SetFlags(ctx, ann.ID, InboxID, []UID{3}, FlagUpdate{Change: AddFlags, Flags: Seen})
	if err != nil {
		t.Fatal(err)
	}
	since := late.Folder.HighestModSeq
	again, err := s.RetellExpunged(ctx, ann.ID, InboxID, []UID{2})
	if err != nil || again <= since {
		t.Fatal(again, err)
	}
	c, err := s.Changes(ann.ID, InboxID, since)
	if err != nil || !slices.Equal(c.Vanished, []UID{2}) || len(c.Changed) > 0 || c.Folder.HighestModSeq != again {
		t.Errorf("got %+v, %v", c, err)
	}
	if c, err = s.Changes(ann.ID, InboxID, 1); err != nil || !slices.Equal(c.Vanished, []UID{2}) {
		t.Errorf("from the beginning: %+v, %v", c, err)
	}
	if _, err := s.RetellExpunged(ctx, ann.ID, InboxID, []UID{1}); !errors.Is(err, ErrInvalid) {
		t.Error("a message that is there was told to be expunged:", err)
	}
}
