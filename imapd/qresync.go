package imapd

import (
	"slices"

	"github.com/emersion/go-imap/v2"

	"roost/imapd/wire"
	"roost/mailbox"
)

// qresync brings QRESYNC (RFC 7162 section 3.2): a client that comes back
// learns in SELECT what happened since it left, and VANISHED takes the place
// of EXPUNGE.
func qresync() extension {
	return extension{
		name:      imap.CapQResync,
		enable:    true,
		enabled:   func(s *session) error { s.useModSeq(); return nil },
		selecting: []selectParam{{"QRESYNC", readResync}},
		narrow: []fetchModifier{{"VANISHED", func(s *session, n *narrowing) {
			n.vanished = true
		}}},
	}
}

// resync is what a client remembers of a mailbox.
type resync struct {
	uidValidity uint32
	since       mailbox.ModSeq
	known       []wire.Range // UIDs; nil is all
	// numbers and uids pair some sequence numbers with the UIDs that had them.
	numbers, uids []wire.Range
}

// readResync reads (uidvalidity modseq [known-uids] [(numbers uids)]).
func readResync(s *session, o *opening) {
	if !s.has(imap.CapQResync) {
		s.dec.Failf("ENABLE QRESYNC comes first")
	}
	o.condstore = true
	s.dec.SP()
	s.dec.Expect('(')
	r := &resync{uidValidity: s.dec.NonZero()}
	s.dec.SP()
	r.since = mailbox.ModSeq(s.dec.Number64())
	if r.since == 0 {
		s.dec.Failf("a modseq is not 0")
	}
	pairs := false
	if s.dec.Accept(' ') {
		if pairs = s.dec.Accept('('); !pairs {
			r.known = s.knownSet()
			if s.dec.Accept(' ') {
				pairs = s.dec.Expect('(')
			}
		}
	}
	if pairs && s.has(imap.CapUIDOnly) {
		s.dec.Fail(uidRequired())
	}
	if pairs {
		r.numbers = s.knownSet()
		s.dec.SP()
		r.uids = s.knownSet()
		s.dec.Expect(')')
		if count(r.numbers) != count(r.uids) {
			s.dec.Failf("not as many UIDs as sequence numbers")
		}
	}
	s.dec.Expect(')')
	o.resync = r
}

// knownSet reads a set of numbers that the client knows, so without "*".
func (s *session) knownSet() []wire.Range {
	set := s.dec.Set()
	for _, r := range set.Ranges {
		if r.First == 0 || r.Last == 0 {
			s.dec.Failf(`"*" among known numbers`)
		}
	}
	if set.Saved {
		s.dec.Failf("expected numbers")
	}
	return set.Resolve(0)
}

func count(ranges []wire.Range) (n uint64) {
	for _, r := range ranges {
		n += uint64(r.Last-r.First) + 1
	}
	return n
}

// catchUp tells what happened since the client was here. A client of another
// UIDVALIDITY knows nothing that is of use.
func (s *session) catchUp(r *resync, f *mailbox.Folder) error {
	if r.uidValidity != f.UIDValidity {
		return nil
	}
	c, err := s.srv.opts.Store.Changes(s.account.ID, f.ID, r.since)
	if err != nil {
		return err
	}
	known := r.known
	if known == nil {
		known = []wire.Range{{First: 1, Last: max(uint32(f.UIDNext)-1, 1)}}
	}
	s.writeEarlier(c, known)
	for _, e := range c.Changed {
		// What changed after the view was made is told by the next command, together
		// with what vanished since.
		if n := s.view.number(e.UID); n != 0 && e.ModSeq <= f.HighestModSeq && inRanges(known, uint32(e.UID)) {
			s.writeFlags(n, e, f, true)
		}
	}
	return nil
}

// writeEarlier writes which of the known UIDs are gone, but for those that the
// view still counts: the client will be told of them as they leave.
func (s *session) writeEarlier(c mailbox.Changes, known []wire.Range) {
	gone := slices.DeleteFunc(slices.Clone(c.Vanished), func(uid mailbox.UID) bool {
		return !inRanges(known, uint32(uid)) || s.view.number(uid) != 0
	})
	if len(gone) > 0 {
		s.enc.Raw("* VANISHED (EARLIER) ").Ranges(wire.Ranges(gone)).Raw("\r\n")
	}
}
