package mailbox

import (
	"cmp"
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"sync"
)

// checkedBody is a body that Check has to read.
type checkedBody struct {
	id  BodyID
	row bodyRow
}

// maxCheckers is how many read bodies at once: a server that is being checked has
// other work, too.
const maxCheckers = 4

// checkBodies reads every body in the order in which they lie on the disk, each
// byte against its checksum. It returns those that were known to be damaged, and
// are whole.
func (s *Store) checkBodies(ctx context.Context, r *Report, bodies []checkedBody, known map[BodyID]Damage, progress func(done, total int64)) (whole []BodyID, err error) {
	slices.SortFunc(bodies, func(a, b checkedBody) int {
		return cmp.Or(cmp.Compare(a.row.pack, b.row.pack), cmp.Compare(a.row.offset, b.row.offset))
	})
	var done, total int64
	for _, b := range bodies {
		total += b.row.head + b.row.stored
	}
	progress(0, total)
	var mu sync.Mutex
	next := 0
	check := func() {
		for {
			mu.Lock()
			if next == len(bodies) || ctx.Err() != nil {
				mu.Unlock()
				return
			}
			b := bodies[next]
			next++
			mu.Unlock()
			m := &Message{s: s, Facts: Facts{Body: b.id, Size: b.row.raw}, row: b.row}
			n, err := io.Copy(io.Discard, m.Reader())
			mu.Lock()
			r.Bytes += n
			switch {
			case errors.Is(err, ErrNotFound): // expunged since the snapshot, with its pack
			case err != nil:
				r.problem("body %s: %v", b.id, err)
				d, ok := known[b.id]
				if !ok {
					d = damageOf(b.id, b.row, err)
				}
				r.Quarantine = append(r.Quarantine, d)
			case known[b.id].Body != 0:
				whole = append(whole, b.id)
			}
			done += b.row.head + b.row.stored
			progress(done, total)
			mu.Unlock()
		}
	}
	var all sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), maxCheckers) {
		all.Go(check)
	}
	all.Wait()
	slices.Sort(r.Problems) // whichever came first
	slices.SortFunc(r.Quarantine, func(a, b Damage) int { return cmp.Compare(a.Body, b.Body) })
	return whole, ctx.Err()
}
