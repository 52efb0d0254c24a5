package mailbox

import (
	"roost/mailbox/message"
)

// SortKeys calls f with the row and the sort keys of each of the messages with
// the given UIDs (in order) that still exists, like Rows.
func (s *Store) SortKeys(id AccountID, folder FolderID, uids []UID, f func(m *Facts, k *SortKeys) error) error {
	type pair struct {
		facts Facts
		keys  SortKeys
	}
	var page []pair
	for len(uids) > 0 {
		part := uids[:min(len(uids), factsPage)]
		uids = uids[len(part):]
		page = page[:0]
		var unknown []int
		err := s.view(func(tx *tx) error {
			if s.reads.wanted() {
				s.reads.rows(tx, bFacts, id, folder, part[0], part[len(part)-1])
				s.reads.bodies(tx, bDigests, id, folder, part[0], part[len(part)-1])
			}
			rows, bodies := tx.walk(bFacts, id, folder), bodyWalk{c: tx.Bucket(bDigests).Cursor()}
			if page == nil {
				page = make([]pair, 0, len(part))
			}
			for _, uid := range part {
				v := rows.at(uid)
				if v == nil || isGone(v) {
					continue
				}
				m, err := parseRow(rows.k, v)
				if err != nil {
					return err
				}
				k, err := digestKeys(bodies.at(m.Body))
				if err != nil {
					return err
				}
				if k == nil {
					k = new(SortKeys)
					unknown = append(unknown, len(page))
				}
				page = append(page, pair{m, *k})
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, i := range unknown {
			page[i].keys = s.readKeys(id, folder, page[i].facts.UID)
		}
		for i := range page {
			if err := f(&page[i].facts, &page[i].keys); err != nil {
				return err
			}
		}
	}
	return nil
}

// readKeys works a message's keys out again, where the store has none that this
// version can use. A message that is gone or damaged has none.
func (s *Store) readKeys(id AccountID, folder FolderID, uid UID) SortKeys {
	m, err := s.OpenMessage(id, folder, uid)
	if err != nil {
		return SortKeys{}
	}
	part, err := message.Parse(m.Reader())
	if err != nil {
		return SortKeys{}
	}
	return digestOf(part).keys
}
