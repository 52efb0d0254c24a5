package mailbox

import "sync"

// recents remembers, for the mailboxes that were selected since the store was
// opened, up to where a session has been told \Recent (RFC 3501 2.3.2). It is
// kept in memory: a commit for each SELECT would be a high price for a flag
// that IMAP4rev2 has dropped. A restart may call a few messages recent again.
type recents struct {
	mu   sync.Mutex
	upTo map[[2]uint32]UID
}

// ClaimRecent makes the caller the one session that sees \Recent on the
// messages with UIDs from first up to but not including f.UIDNext. EXAMINE,
// which must not claim, reads Recent instead.
func (s *Store) ClaimRecent(id AccountID, f Folder) (first UID) {
	s.recent.mu.Lock()
	defer s.recent.mu.Unlock()
	k := [2]uint32{uint32(id), uint32(f.ID)}
	first = max(f.recent, s.recent.upTo[k])
	if s.recent.upTo == nil {
		s.recent.upTo = make(map[[2]uint32]UID)
	}
	s.recent.upTo[k] = max(first, f.UIDNext)
	return first
}

// Recent is the UID from which on messages are \Recent for the next session
// that claims them.
func (s *Store) Recent(id AccountID, f Folder) (first UID) {
	s.recent.mu.Lock()
	defer s.recent.mu.Unlock()
	return max(f.recent, s.recent.upTo[[2]uint32{uint32(id), uint32(f.ID)}])
}
