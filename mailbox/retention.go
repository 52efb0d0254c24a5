package mailbox

import (
	"context"
	"slices"
	"time"
)

// RetentionDays is how long messages stay in the mailboxes \Junk and \Trash unless
// the settings say otherwise. After that they are expunged, and can be had back
// for a while, like all that is.
const RetentionDays = 30

// daysOr reads a setting of days: 0 is the default, less is never.
func daysOr(set, otherwise int) int {
	switch {
	case set == 0:
		return otherwise
	case set < 0:
		return 0
	}
	return set
}

// DaysKept tells for how many days expunged messages can be had back; 0 is none.
func (v *Settings) DaysKept() int { return daysOr(v.UndeleteDays, UndeleteDays) }

// DaysIn tells how many days messages stay in a mailbox of that use; 0 is for ever.
func (v *Settings) DaysIn(use SpecialUse) int {
	switch use {
	case UseJunk:
		return daysOr(v.JunkDays, RetentionDays)
	case UseTrash:
		return daysOr(v.TrashDays, RetentionDays)
	}
	return 0
}

// expungeOld is the job that empties \Junk and \Trash of what came into them long
// ago.
func (s *Store) expungeOld(ctx context.Context) error {
	v, err := s.Settings()
	if err != nil {
		return err
	}
	accounts, err := s.Accounts()
	if err != nil {
		return err
	}
	for _, a := range accounts {
		folders, err := s.Folders(a.ID)
		if err != nil {
			return err
		}
		for _, f := range folders {
			if days := v.DaysIn(f.Use); days > 0 && f.Messages > 0 {
				if err := s.expungeBefore(ctx, a.ID, f.ID, time.Now().AddDate(0, 0, -days)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// expungeBefore expunges what came into a mailbox before a time.
func (s *Store) expungeBefore(ctx context.Context, id AccountID, folder FolderID, limit time.Time) error {
	snap, err := s.Snapshot(id, folder)
	if err != nil {
		return err
	}
	uids := make([]UID, len(snap.Entries))
	for i, e := range snap.Entries {
		uids[i] = e.UID
	}
	var old []UID
	err = s.Rows(id, folder, uids, func(m *Facts) error {
		if m.Saved.Before(limit) {
			old = append(old, m.UID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var pieces []func(*tx) error
	for part := range slices.Chunk(old, expungePiece) {
		pieces = append(pieces, expunge(new(Expunged), id, folder, part, 0))
	}
	_, err = s.updatePieces(ctx, pieces)
	return err
}
