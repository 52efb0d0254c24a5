package mailbox

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Searches. A message is decided by the first of these that can: its flags, its
// row, its body's digest with the prefix, its body's signature, which only ever
// rules out, and at last its text. The first four are read in place, some hundred messages in a
// transaction; those that are left are opened one by one. Both is done by as many
// workers as there are processors, for all searches together.

// maxSearchText is how much of one message's decoded text a search reads.
const maxSearchText = 8 << 20

// searchPart is how many messages a worker takes at a time.
const searchPart = 512

// Search returns the UIDs of the messages that a query holds for, in order.
// Text is matched as a substring, without regard to case or accents. ctx ends it
// early. ErrNotFound when the mailbox is gone. A damaged message is found by
// what is known without its bytes.
func (s *Store) Search(ctx context.Context, id AccountID, folder FolderID, q Query) ([]UID, error) {
	found, err := s.Find(ctx, id, folder, q)
	if err != nil {
		return nil, err
	}
	uids := make([]UID, len(found))
	for i, e := range found {
		uids[i] = e.UID
	}
	return uids, nil
}

// Find is Search that returns the entries, as they were when it began.
func (s *Store) Find(ctx context.Context, id AccountID, folder FolderID, q Query) ([]Entry, error) {
	snap, err := s.Snapshot(id, folder)
	if err != nil {
		return nil, err
	}
	r := searchRun{s: s, id: id, folder: &snap.Folder, q: q.prepare(), now: time.Now()}
	var found []Entry
	unsure := snap.Entries[:0]
	for _, e := range snap.Entries {
		switch r.q.judge(func(q *Query) truth { return q.byEntry(r.folder, e) }) {
		case yes:
			found = append(found, e)
		case unknown:
			unsure = append(unsure, e)
		}
	}
	more, err := r.each(ctx, unsure, searchPart, r.known)
	if err != nil {
		return nil, err
	}
	var look []Entry
	for _, v := range more {
		if v.truth == yes {
			found = append(found, v.Entry)
		} else {
			look = append(look, v.Entry)
		}
	}
	if more, err = r.each(ctx, look, searchPart/16, r.read); err != nil {
		return nil, err
	}
	for _, v := range more {
		found = append(found, v.Entry)
	}
	slices.SortFunc(found, func(a, b Entry) int { return cmp.Compare(a.UID, b.UID) })
	return found, nil
}

// searchRun is one search in one mailbox.
type searchRun struct {
	s      *Store
	id     AccountID
	folder *Folder
	q      Query
	now    time.Time
}

// verdict is a message that a step did not rule out.
type verdict struct {
	Entry
	truth truth
}

// searchers lets as many parts of searches run at once as there are processors.
type searchers chan struct{}

func newSearchers() searchers { return make(searchers, runtime.GOMAXPROCS(0)) }

// each runs step over parts of a list in several goroutines, and gathers what
// they return in no order.
func (r *searchRun) each(ctx context.Context, all []Entry, size int, step func(context.Context, []Entry) ([]verdict, error)) ([]verdict, error) {
	if len(all) == 0 {
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var out []verdict
	take := func() []Entry {
		mu.Lock()
		defer mu.Unlock()
		part := all[:min(size, len(all))]
		all = all[len(part):]
		return part
	}
	var wg sync.WaitGroup
	for range min(cap(r.s.searchers), (len(all)+size-1)/size) {
		wg.Go(func() {
			for {
				select {
				case r.s.searchers <- struct{}{}:
				case <-ctx.Done():
					return
				}
				part := take()
				got, err := step(ctx, part)
				<-r.s.searchers
				if err != nil {
					cancel(err)
				}
				if len(part) == 0 || err != nil {
					return
				}
				mu.Lock()
				out = append(out, got...)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return out, context.Cause(ctx)
}

// known decides what can be decided without opening messages.
func (r *searchRun) known(_ context.Context, part []Entry) (out []verdict, err error) {
	err = r.s.view(func(tx *tx) error {
		if len(part) > 0 && r.s.reads.wanted() {
			r.ahead(tx, part[0].UID, part[len(part)-1].UID)
		}
		c := newClues(tx, r)
		out = out[:0]
		for _, e := range part {
			c.next(e)
			t := r.q.judge(c.leaf)
			if c.err != nil {
				return c.err
			}
			if t != no && !c.gone {
				out = append(out, verdict{e, t})
			}
		}
		return nil
	})
	return out, err
}

// ahead asks for what clues will read of messages.
func (r *searchRun) ahead(tx *tx, first, last UID) {
	reads := &r.s.reads
	reads.rows(tx, bFacts, r.id, r.folder.ID, first, last)
	if r.q.asks(costDigest) {
		reads.bodies(tx, bDigests, r.id, r.folder.ID, first, last)
	}
	if r.q.asks(costSignature) {
		reads.bodies(tx, bSignatures, r.id, r.folder.ID, first, last)
		reads.rows(tx, bViews, r.id, r.folder.ID, first, last) // for the prefix
	}
}

// read opens messages and decides what is left.
func (r *searchRun) read(ctx context.Context, part []Entry) (out []verdict, err error) {
	messages, errs, err := r.s.openMessages(r.id, r.folder.ID, part)
	if err != nil {
		return nil, err
	}
	var c candidate
	for i, e := range part {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ok, err := false, errs[i]
		if err == nil {
			c.next(r, e, &messages[i])
			ok, err = c.holds(&r.q)
		}
		switch {
		case errors.Is(err, ErrNotFound): // expunged while the search went on
		case errors.Is(err, ErrCorrupt):
			r.s.log.Warn("a search passed a damaged message over", "mailbox", r.folder.Name, "uid", e.UID, "error", err)
		case err != nil:
			return nil, err
		case ok:
			out = append(out, verdict{e, yes})
		}
	}
	return out, nil
}
