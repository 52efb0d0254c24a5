package mailbox

import (
	"encoding/binary"
	"slices"
)

// Threads. A message belongs to the thread of any message that it names in
// References or In-Reply-To, or that named it. So every name that is seen leads
// to its thread from then on, also the name of a message that has not come yet:
// when it comes, its thread waits for it, whatever the order. A reply that names
// nothing goes by its base subject, and an original finds the replies that came
// before it in this way too (RFC 5256, REFERENCES, has the same two steps).
//
// A message that shows two threads to be one joins them: the younger id leads to
// the older from then on, and who comes later gets the older. The messages that
// are there keep theirs, since a THREADID never changes (RFC 8474 section 5.2).

// subjectDays is how far apart, by their dates, two messages may be that are of
// one thread by their subject alone.
const subjectDays = 90

// threadRow is where a name or a subject leads.
type threadRow struct {
	thread ThreadID
	day    uint32 // of the last message, in days since 1970
	orphan bool   // only replies have come so far
}

func threadKey(id AccountID, name uint64) []byte {
	return binary.BigEndian.AppendUint64(be32(uint32(id)), name)
}

func (tx *tx) threadRow(id AccountID, name uint64) (threadRow, bool) {
	v := tx.Bucket(bThreads).Get(threadKey(id, name))
	if len(v) != 13 {
		return threadRow{}, false
	}
	be := binary.BigEndian
	return threadRow{tx.thread(id, ThreadID(be.Uint64(v))), be.Uint32(v[8:]), v[12] != 0}, true
}

func (tx *tx) putThreadRow(id AccountID, name uint64, r threadRow) error {
	v := binary.BigEndian.AppendUint32(be64(uint64(r.thread)), r.day)
	if v = append(v, 0); r.orphan {
		v[12] = 1
	}
	return tx.put(bThreads, threadKey(id, name), v)
}

// thread follows a thread's id to the one that it was joined to.
func (tx *tx) thread(id AccountID, t ThreadID) ThreadID {
	for {
		v := tx.Bucket(bJoined).Get(threadKey(id, uint64(t)))
		if len(v) != 8 {
			return t
		}
		to := ThreadID(binary.BigEndian.Uint64(v))
		if to >= t {
			return t // damage; ids only ever lead down
		}
		t = to
	}
}

// assignThread finds a new message's thread, or begins one, and notes what its
// names lead to.
func (tx *tx) assignThread(id AccountID, m *Facts, k *SortKeys) error {
	names := k.References
	if k.ID != 0 {
		names = append(slices.Clip(names), k.ID)
	}
	date := m.Sent
	if date.IsZero() {
		date = m.Date
	}
	day := uint32(max(date.Unix(), 0) / (24 * 60 * 60))
	var found []ThreadID
	for _, n := range names {
		if r, ok := tx.threadRow(id, n); ok {
			found = append(found, r.thread)
		}
	}
	var subject uint64
	var bySubject threadRow
	if k.Subject != "" && (len(k.References) == 0 || len(found) == 0) {
		subject = nameHash("s", k.Subject)
		r, ok := tx.threadRow(id, subject)
		if ok && daysApart(r.day, day) <= subjectDays && (r.orphan || k.Reply && len(k.References) == 0) {
			found, bySubject = append(found, r.thread), r
		}
	}
	opened := len(found) == 0
	m.Thread = ThreadID(m.Object)
	if !opened {
		m.Thread = slices.Min(found)
	}
	for _, t := range found {
		if t != m.Thread && tx.thread(id, t) != m.Thread {
			if err := tx.put(bJoined, threadKey(id, uint64(t)), be64(uint64(m.Thread))); err != nil {
				return err
			}
		}
	}
	for _, n := range names {
		if r, ok := tx.threadRow(id, n); !ok {
			if err := tx.putThreadRow(id, n, threadRow{thread: m.Thread, day: day}); err != nil {
				return err
			}
		} else if r.thread != m.Thread {
			return faultf(ErrCorrupt, "a thread leads nowhere")
		}
	}
	if subject == 0 {
		return nil
	}
	return tx.putThreadRow(id, subject, threadRow{m.Thread, day, k.Reply && (opened || bySubject.orphan)})
}

func daysApart(a, b uint32) uint32 { return max(a, b) - min(a, b) }
