package queue

import (
	"slices"
	"time"

	"roost/mailbox"
	"roost/mta/outbound"
)

// line is what waits to go over connections that are alike: the due rows of one
// destination, the longest waiting first.
type line struct {
	to         string // a domain, or the smart host
	requireTLS bool   // RFC 8689: such mail has connections of its own
	due        []row
	couriers   int
	idle       []*courier // of them, with a connection and nothing to send
}

// row is what is kept of one that is due.
type row struct {
	id       mailbox.OutboxID
	created  time.Time
	attempts int
}

// begin is the mark of an attempt now. Should we die, the row is due again as
// after a failure.
func (d row) begin() mailbox.Attempt {
	return mailbox.Attempt{ID: d.id, Retry: nextDue(time.Now(), d.created, d.attempts+1)}
}

// join puts a row at the end of its line.
func (r *Runner) join(o *mailbox.Outgoing) {
	if r.known[o.ID] {
		return
	}
	to := o.Domain
	if r.relay != nil {
		to = r.relay.String()
	}
	at := slices.IndexFunc(r.lines, func(l *line) bool { return l.to == to && l.requireTLS == o.RequireTLS })
	if at < 0 {
		at = len(r.lines)
		r.lines = append(r.lines, &line{to: to, requireTLS: o.RequireTLS})
	}
	r.known[o.ID] = true
	l := r.lines[at]
	l.due = append(l.due, row{o.ID, o.Created, o.Attempts})
}

// turn gives up the lines when mail goes another way than they were made for.
// Couriers that are under way leave when they have done what they are at.
func (r *Runner) turn(relay *outbound.Relay) {
	if same(r.relay, relay) {
		return
	}
	r.relay = relay
	for _, l := range r.lines {
		for _, d := range l.due {
			delete(r.known, d.id)
		}
		l.due = nil
		for len(l.idle) > 0 {
			l.dismiss()
		}
	}
	r.lines = nil
}

func same(a, b *outbound.Relay) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// next takes the first row of a line.
func (l *line) next() (d row) {
	d, l.due = l.due[0], l.due[1:]
	return d
}

// dismiss sends an idle courier away.
func (l *line) dismiss() {
	last := len(l.idle) - 1
	close(l.idle[last].work)
	l.idle = l.idle[:last]
}

// dispatch gives what waits to idle couriers, and returns those to start, each
// with its first row. Lines without a courier go first, so that no destination
// waits for another to be done.
func (r *Runner) dispatch() (start []*courier) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = slices.DeleteFunc(r.lines, func(l *line) bool { return len(l.due) == 0 && l.couriers == 0 })
	if time.Now().Before(r.sick) {
		return nil
	}
	for _, l := range r.lines {
		for len(l.due) > 0 && len(l.idle) > 0 {
			last := len(l.idle) - 1
			l.idle[last].work <- l.next() // it holds one
			l.idle = l.idle[:last]
		}
	}
	for _, l := range r.lines {
		if len(l.due) > 0 && l.couriers == 0 {
			start = r.hire(l, start)
		}
	}
	for _, l := range r.lines {
		for len(l.due) > 0 {
			n := len(start)
			if start = r.hire(l, start); len(start) == n {
				break
			}
		}
	}
	return start
}

// hire adds a courier for the first row of a line, as far as the limits go.
// Where they do not, an idle one makes place.
func (r *Runner) hire(l *line, start []*courier) []*courier {
	switch {
	case r.at[l.to] >= r.PerDestination:
		r.dismiss(func(other *line) bool { return other.to == l.to })
		return start
	case r.couriers >= r.Attempts:
		r.dismiss(func(*line) bool { return true })
		return start
	}
	r.couriers++
	r.at[l.to]++
	l.couriers++
	return append(start, &courier{r: r, line: l, relay: r.relay, first: l.next(), work: make(chan row, 1)})
}

func (r *Runner) dismiss(from func(*line) bool) {
	for _, l := range r.lines {
		if len(l.idle) > 0 && from(l) {
			l.dismiss()
			return
		}
	}
}

// waiting tells whether a row waits for a courier.
func (r *Runner) waiting() bool {
	return r.more || slices.ContainsFunc(r.lines, func(l *line) bool { return len(l.due) > 0 })
}

// starving tells whether another line has no courier, and gets none before one
// of this line leaves.
func (r *Runner) starving(l *line) bool {
	return slices.ContainsFunc(r.lines, func(other *line) bool {
		return len(other.due) > 0 && other.couriers == 0 &&
			(r.couriers >= r.Attempts || other.to == l.to && r.at[l.to] >= r.PerDestination)
	})
}
