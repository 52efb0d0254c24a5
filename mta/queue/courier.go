package queue

import (
	"context"
	"errors"
	"slices"
	"time"

	"roost/mailbox"
	"roost/mta/outbound"
)

// courier takes rows from a line, one after the other, over one connection as
// long as that lasts.
type courier struct {
	r     *Runner
	line  *line
	relay *outbound.Relay
	first row

	work chan row // what it gets while it is idle; closed: it is to leave
}

// run ends when nothing more comes, or with ctx, after which work still lasts
// for a while.
func (c *courier) run(ctx, work context.Context) {
	defer c.leave()
	way := c.r.Sender.Courier(c.relay)
	defer way.Close(work)
	next, has := c.first, true
	for has {
		o, ok := c.begin(work, next)
		for ok {
			result := c.r.send(work, way, &o)
			if next, has = c.take(ctx); !has {
				next = row{}
			}
			done := o.ID
			o, ok = c.r.finish(work, result, next.begin())
			c.forget(done)
			if has && !ok {
				c.forget(next.id) // gone, or not due any more
			}
		}
		next, has = c.wait(ctx, way.Connected())
	}
}

// begin marks the attempt at a row.
func (c *courier) begin(ctx context.Context, d row) (mailbox.Outgoing, bool) {
	o, err := c.r.Store.BeginAttempt(ctx, d.begin())
	if err == nil {
		return o, true
	}
	if !errors.Is(err, mailbox.ErrNotFound) { // dropped meanwhile
		c.r.ail()
		c.r.Log.Error("cannot mark an attempt: nothing is sent", "outbox", d.id.String(), "err", err)
	}
	c.forget(d.id)
	return o, false
}

// take gives the next row of the line, unless the courier is to leave.
func (c *courier) take(ctx context.Context) (row, bool) {
	stay := c.mayStay(ctx)
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	if !stay() || len(c.line.due) == 0 || time.Now().Before(c.r.sick) {
		return row{}, false
	}
	return c.line.next(), true
}

// mayStay gives what tells, under the lock, whether the courier need not leave.
func (c *courier) mayStay(ctx context.Context) func() bool {
	relay := c.r.Relay()
	return func() bool { return ctx.Err() == nil && same(c.relay, relay) && !c.r.starving(c.line) }
}

// wait is take, and where the line is empty it stands by for a while, if there is
// a connection to be kept.
func (c *courier) wait(ctx context.Context, connected bool) (row, bool) {
	if d, ok := c.take(ctx); ok || !connected {
		return d, ok
	}
	r := c.r
	stay := c.mayStay(ctx)
	r.mu.Lock()
	if !stay() || len(c.line.due) > 0 {
		r.mu.Unlock()
		return row{}, false
	}
	c.line.idle = append(c.line.idle, c)
	if r.waiting() {
		r.free()
	}
	r.mu.Unlock()
	timer := time.NewTimer(idleTime)
	defer timer.Stop()
	select {
	case d, ok := <-c.work:
		return d, ok
	case <-timer.C:
	case <-ctx.Done():
	}
	r.mu.Lock()
	at := slices.Index(c.line.idle, c)
	if at >= 0 {
		c.line.idle = slices.Delete(c.line.idle, at, at+1)
	}
	r.mu.Unlock()
	if at >= 0 {
		return row{}, false
	}
	d, ok := <-c.work // it was called at that moment
	return d, ok
}

// forget lets a row be read again when it is due.
func (c *courier) forget(id mailbox.OutboxID) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	delete(c.r.known, id)
	if c.r.more && c.r.room() {
		c.r.free()
	}
}

// leave makes place for another.
func (c *courier) leave() {
	r := c.r
	r.mu.Lock()
	r.couriers--
	c.line.couriers--
	if r.at[c.line.to]--; r.at[c.line.to] == 0 {
		delete(r.at, c.line.to)
	}
	// Lines that were served come behind those that were not.
	if at := slices.Index(r.lines, c.line); at >= 0 {
		r.lines = append(slices.Delete(r.lines, at, at+1), c.line)
	}
	r.mu.Unlock()
	r.free()
}
