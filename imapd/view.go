package imapd

import (
	"cmp"
	"slices"

	"roost/imapd/wire"
	"roost/mailbox"
)

// A view is the selected mailbox as the client has been told of it. Messages
// that the store no longer has keep their place, and their sequence number,
// until the client may be told.
type view struct {
	folder   mailbox.FolderID
	readOnly bool

	uids    uidList
	gone    []mailbox.UID // in order, expunged in the store, the client not told
	next    mailbox.UID   // UIDs from here on are unknown to the client
	modSeq  mailbox.ModSeq
	own     []mailbox.ModSeq // changes after modSeq that this session made and told itself
	changed []mailbox.Entry  // flag changes the client was not told of, in UID order
	names   []string         // keywords of changed
	missed  mailbox.ModSeq   // all that is gone was noted after it
	recent  []wire.Range     // UIDs that are \Recent in this session
	saved   []wire.Range     // UIDs of the last saved search result (RFC 5182)
	arrived []mailbox.UID    // new messages that NOTIFY has yet to tell of
	brought []mailbox.UID    // those that the session itself put here

	keywords int             // how many of the mailbox's keywords the client knows
	bell     <-chan struct{} // closed when something may have changed
}

// newView makes a view of what the store said at one moment.
func newView(snap mailbox.Snapshot, bell <-chan struct{}) *view {
	v := &view{
		folder: snap.Folder.ID,
		next:   snap.Folder.UIDNext,
		modSeq: snap.Folder.HighestModSeq,

		keywords: len(snap.Folder.Keywords),
		bell:     bell,
	}
	for _, e := range snap.Entries {
		v.uids.add(e.UID)
	}
	v.uids.runs = slices.Clip(v.uids.runs)
	return v
}

// number returns the sequence number of a message, 0 if the client does not
// know it.
func (v *view) number(uid mailbox.UID) uint32 {
	i, found := v.uids.find(uid)
	if !found {
		return 0
	}
	return uint32(i + 1)
}

// pick returns the UIDs of the messages in a set, in order. Sequence numbers
// that do not exist are an error when nothing of their range does (RFC 9051
// section 9: seq-number), UIDs that do not exist never are.
func (v *view) pick(set wire.Set, uid bool) ([]mailbox.UID, error) {
	n := uint32(v.uids.len())
	if n == 0 && !uid && !set.Saved {
		for _, r := range set.Ranges {
			if r.First != 0 && r.Last != 0 {
				return nil, bad("there is no message %d", r.First)
			}
		}
		return nil, nil // clients send 1:* to an empty mailbox
	}
	if !uid && !set.Saved {
		for _, r := range set.Ranges {
			if r.First > n && (r.Last > n || r.First == r.Last) {
				return nil, bad("there is no message %d", r.First)
			}
		}
	}
	var out []mailbox.UID
	v.each(set, uid, func(lo, hi int) { out = v.uids.appendTo(slices.Grow(out, hi-lo), lo, hi) })
	return out, nil
}

// each calls f with the index ranges of v.uids that a set names, in order.
func (v *view) each(set wire.Set, uid bool, f func(lo, hi int)) {
	ranges := v.saved
	switch {
	case set.Saved:
		uid = true
	case uid:
		ranges = set.Resolve(uint32(v.uids.last()))
	default:
		ranges = set.Resolve(uint32(v.uids.len()))
	}
	for _, r := range ranges {
		lo, hi := int(r.First)-1, min(int(r.Last), v.uids.len())
		if uid {
			lo, _ = v.uids.find(mailbox.UID(r.First))
			n, found := v.uids.find(mailbox.UID(r.Last))
			if hi = n; found {
				hi++
			}
		}
		if lo < hi {
			f(lo, hi)
		}
	}
}

// seeRecent makes the messages from first up to next \Recent.
func (v *view) seeRecent(first, next mailbox.UID) {
	if first < next {
		v.recent = wire.Merge(append(v.recent, wire.Range{First: uint32(first), Last: uint32(next - 1)}))
	}
}

// isRecent reports whether a message has \Recent in this session.
func (v *view) isRecent(uid mailbox.UID) bool { return inRanges(v.recent, uint32(uid)) }

func inRanges(ranges []wire.Range, n uint32) bool {
	_, found := slices.BinarySearchFunc(ranges, n, func(r wire.Range, n uint32) int {
		switch {
		case r.Last < n:
			return -1
		case r.First > n:
			return 1
		}
		return 0
	})
	return found
}

// countRecent returns how many messages have \Recent.
func (v *view) countRecent() int {
	n := 0
	v.eachRange(v.recent, func(lo, hi int) { n += hi - lo })
	return n
}

func (v *view) eachRange(ranges []wire.Range, f func(lo, hi int)) {
	v.each(wire.Set{Ranges: ranges}, true, f)
}

// note takes in what changed in the store. It returns how many messages are
// new; their UIDs are at the end of v.uids.
func (v *view) note(c mailbox.Changes) (added int) {
	for _, e := range c.Changed {
		switch {
		case e.UID >= v.next:
			v.uids.add(e.UID)
			added++
		case slices.Contains(v.own, e.ModSeq):
		default:
			v.change(e)
		}
	}
	v.miss(c.Vanished)
	if len(v.changed) > 0 {
		v.names = c.Folder.Keywords
	}
	v.next, v.modSeq, v.own = c.Folder.UIDNext, c.Folder.HighestModSeq, nil
	return added
}

// miss takes in which messages are gone from the store.
func (v *view) miss(vanished []mailbox.UID) {
	gone := len(v.gone)
	for _, uid := range vanished {
		if v.number(uid) != 0 {
			v.gone = append(v.gone, uid)
		}
	}
	slices.Sort(v.gone)
	v.gone = slices.Compact(v.gone)
	switch {
	case gone == 0:
		v.missed = v.modSeq
	case len(v.gone) > gone:
		v.missed = min(v.missed, v.modSeq)
	}
}

// change notes flags that the client has to be told of.
func (v *view) change(e mailbox.Entry) {
	i, found := slices.BinarySearchFunc(v.changed, e.UID, func(e mailbox.Entry, uid mailbox.UID) int { return cmp.Compare(e.UID, uid) })
	if found {
		v.changed[i] = e
		return
	}
	v.changed = slices.Insert(v.changed, i, e)
}

// expunge takes messages out of the view, which has them, and returns the
// sequence numbers they had, highest first: told in that order, none of them
// changes another.
func (v *view) expunge(gone []mailbox.UID) []uint32 {
	numbers := make([]uint32, len(gone))
	for i, uid := range gone {
		numbers[i] = v.number(uid)
	}
	v.uids = v.uids.without(gone)
	slices.Reverse(numbers)
	return numbers
}
