package mailbox

import (
	"context"
	"slices"
	"time"
)

// Copied is what COPY and MOVE answer with: COPYUID's two lists, of one length,
// in order (RFC 4315, RFC 6851).
type Copied struct {
	UIDValidity uint32 // of the mailbox that they went to
	Dest        FolderID
	From        []UID
	To          []UID
	Source      Folder // as it is now
}

// Copy copies the messages with the given UIDs (in order), with flags,
// keywords and INTERNALDATE, behind the last one of another mailbox, or of the
// same; all or none. Messages that are gone are passed over. Errors:
// ErrNotFound when the source mailbox is gone or to does not exist,
// ErrOverQuota, ErrLimit for keywords.
func (s *Store) Copy(ctx context.Context, id AccountID, folder FolderID, uids []UID, to string) (Copied, error) {
	return s.transfer(ctx, id, folder, uids, to, false)
}

// Move is Copy that takes the messages out of the mailbox they were in, in the
// same commit. Within one mailbox it gives them new UIDs.
func (s *Store) Move(ctx context.Context, id AccountID, folder FolderID, uids []UID, to string) (Copied, error) {
	return s.transfer(ctx, id, folder, uids, to, true)
}

func (s *Store) transfer(ctx context.Context, id AccountID, folder FolderID, uids []UID, to string, move bool) (Copied, error) {
	var out Copied
	err := s.updateMany(ctx, len(uids), func(tx *tx) error {
		f, err := tx.folder(id, folder)
		if err != nil {
			return err
		}
		dest, err := tx.folderNamed(id, to)
		if err != nil {
			return err
		}
		entries, err := tx.entries(id, folder)
		if err != nil {
			return err
		}
		entries = slices.DeleteFunc(entries, func(e Entry) bool {
			_, ok := slices.BinarySearch(uids, e.UID)
			return !ok
		})
		out, err = tx.transfer(id, f, dest, entries, move)
		return err
	})
	return out, err
}

func (tx *tx) transfer(id AccountID, f, dest Folder, entries []Entry, move bool) (Copied, error) {
	out := Copied{UIDValidity: dest.UIDValidity, Dest: dest.ID, Source: f}
	if len(entries) == 0 {
		return out, nil
	}
	var facts []Facts
	var bytes int64
	bits := make(map[uint64]uint64) // the source's keywords → the destination's
	var copies []Entry
	now := time.Now().UTC()
	for _, e := range entries {
		m, err := tx.facts(id, f.ID, e.UID)
		if err != nil {
			return out, err
		}
		if _, ok := bits[e.Keywords]; !ok {
			b, err := dest.keywordBits(f.KeywordNames(e.Keywords), true)
			if err != nil {
				return out, err
			}
			bits[e.Keywords] = b
		}
		m.Saved = now
		bytes += m.Size
		facts = append(facts, m)
		copies = append(copies, Entry{Flags: e.Flags, Keywords: bits[e.Keywords]})
		out.From = append(out.From, e.UID)
	}
	if !move {
		if err := tx.roomFor(id, dest.Use, bytes); err != nil {
			return out, err
		}
	}
	for _, m := range facts {
		if err := tx.retain(m.Body, 1); err != nil {
			return out, err
		}
	}
	from, first := f.Use, dest.UIDNext
	if err := tx.addMessages(id, &dest, facts, copies); err != nil {
		return out, err
	}
	for uid := first; uid < dest.UIDNext; uid++ {
		out.To = append(out.To, uid)
	}
	if f.ID == dest.ID {
		f = dest
	}
	if move {
		var err error
		if f, err = tx.removeEntries(id, f, entries, false); err != nil {
			return out, err
		}
	}
	bodies := make([]BodyID, len(facts))
	for i := range facts {
		bodies[i] = facts[i].Body
	}
	if err := tx.readerMoved(id, from, dest.Use, bodies); err != nil {
		return out, err
	}
	out.Source = f
	return out, nil
}
