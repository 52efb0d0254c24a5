package imapd

import (
	"cmp"
	"slices"

	"roost/mailbox"
)

// A uidList is the UIDs of a mailbox in order: the n-th belongs to message n.
// It keeps runs of consecutive ones, because sessions that idle on large
// mailboxes are many, and what they hold adds up.
type uidList struct{ runs []uidRun }

// A uidRun is the UIDs from first to last; before is how many come before it.
type uidRun struct {
	first, last mailbox.UID
	before      uint32
}

func (r uidRun) len() int { return int(r.last-r.first) + 1 }

func (l *uidList) len() int {
	if len(l.runs) == 0 {
		return 0
	}
	r := l.runs[len(l.runs)-1]
	return int(r.before) + r.len()
}

// last returns the highest UID, 0 of none.
func (l *uidList) last() mailbox.UID {
	if len(l.runs) == 0 {
		return 0
	}
	return l.runs[len(l.runs)-1].last
}

// add appends a UID, which must be above all others.
func (l *uidList) add(uid mailbox.UID) {
	if n := len(l.runs); n > 0 && l.runs[n-1].last+1 == uid {
		l.runs[n-1].last++
		return
	}
	l.runs = append(l.runs, uidRun{uid, uid, uint32(l.len())})
}

// find returns how many UIDs are below one, and whether it is there.
func (l *uidList) find(uid mailbox.UID) (below int, found bool) {
	i, found := slices.BinarySearchFunc(l.runs, uid, func(r uidRun, uid mailbox.UID) int {
		switch {
		case r.last < uid:
			return -1
		case r.first > uid:
			return 1
		}
		return 0
	})
	if found {
		return int(l.runs[i].before) + int(uid-l.runs[i].first), true
	}
	if i == len(l.runs) {
		return l.len(), false
	}
	return int(l.runs[i].before), false
}

// at returns the UID that i others come before.
func (l *uidList) at(i int) mailbox.UID {
	n, found := slices.BinarySearchFunc(l.runs, uint32(i), func(r uidRun, i uint32) int { return cmp.Compare(r.before, i) })
	if !found {
		n--
	}
	return l.runs[n].first + mailbox.UID(i) - mailbox.UID(l.runs[n].before)
}

// appendTo appends the UIDs that lo to hi others come before.
func (l *uidList) appendTo(out []mailbox.UID, lo, hi int) []mailbox.UID {
	start, found := slices.BinarySearchFunc(l.runs, uint32(lo), func(r uidRun, i uint32) int { return cmp.Compare(r.before, i) })
	if !found {
		start--
	}
	for _, r := range l.runs[max(start, 0):] {
		if int(r.before) >= hi {
			break
		}
		from, to := max(lo-int(r.before), 0), min(hi-int(r.before), r.len())
		for i := from; i < to; i++ {
			out = append(out, r.first+mailbox.UID(i))
		}
	}
	return out
}

// without returns the list without some UIDs, which are in order and in it.
func (l *uidList) without(gone []mailbox.UID) uidList {
	var out uidList
	keep := func(first, last mailbox.UID) {
		if first <= last {
			out.runs = append(out.runs, uidRun{first, last, uint32(out.len())})
		}
	}
	for _, r := range l.runs {
		for len(gone) > 0 && gone[0] <= r.last {
			keep(r.first, gone[0]-1)
			r.first, gone = gone[0]+1, gone[1:]
		}
		keep(r.first, r.last)
	}
	return out
}
