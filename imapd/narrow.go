package imapd

import (
	"github.com/emersion/go-imap/v2"

	"roost/imapd/wire"
	"roost/mailbox"
)

// narrowing is what a FETCH's modifiers leave of the messages it names.
type narrowing struct {
	since    *mailbox.ModSeq // only those changed after it
	partial  *portion        // only these of the messages that are left; nil is all
	vanished bool            // tell of those expunged after it, too
}

// A fetchModifier is one line of the table of modifiers of FETCH (RFC 4466
// section 2.3).
type fetchModifier struct {
	name  string
	parse func(s *session, n *narrowing) // reads what follows the name
}

// narrowing reads the modifiers in parentheses at a FETCH's end.
func (s *session) narrowing(c *call) narrowing {
	var n narrowing
	s.dec.List(func() {
		name := s.dec.Keyword()
		m, known := s.srv.tables.narrow[name]
		if s.dec.Err() != nil {
			return
		}
		if !known {
			s.dec.Failf("unknown modifier %.40q", name)
			return
		}
		m.parse(s, &n)
	})
	// RFC 7162 section 3.2.6.
	if n.vanished && (!c.uid || n.since == nil || !s.has(imap.CapQResync)) {
		s.dec.Failf("VANISHED needs UID FETCH, CHANGEDSINCE and ENABLE QRESYNC")
	}
	return n
}

// narrowed applies the modifiers to the messages of a set, and tells which of
// it have vanished.
func (s *session) narrowed(n narrowing, set wire.Set, uids []mailbox.UID) ([]mailbox.UID, error) {
	if n.since == nil {
		return n.page(uids), nil
	}
	c, err := s.srv.opts.Store.Changes(s.account.ID, s.view.folder, *n.since)
	if err != nil {
		return nil, err
	}
	if n.vanished {
		known := s.view.saved
		if !set.Saved {
			known = set.Resolve(max(uint32(c.Folder.UIDNext)-1, 1))
		}
		s.writeEarlier(c, known)
	}
	return n.page(changedSince(uids, c)), nil
}

// page applies PARTIAL (RFC 9394 section 3.2).
func (n narrowing) page(uids []mailbox.UID) []mailbox.UID {
	if n.partial == nil {
		return uids
	}
	lo, hi := n.partial.of(len(uids))
	return uids[lo:hi]
}
