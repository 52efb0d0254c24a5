package queue

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"roost/mailbox"
	"roost/mta/outbound"
)

const (
	// lookAhead is how many due rows are read at a time, and maxDue how many
	// are known at the most: those that come first.
	lookAhead = 1000
	maxDue    = 10_000

	// grace is how long attempts may go on when the Runner is to end.
	grace = 3 * time.Second

	// sickPause follows a commit that failed before an attempt: without the
	// mark in its row nothing is sent.
	sickPause = 30 * time.Second

	// idleTime is how long a connection is kept when nothing waits for it.
	idleTime = 2 * time.Second
)

// Options for a Runner. Store and Sender are needed.
type Options struct {
	Store  *mailbox.Store
	Sender *outbound.Sender

	// Relay gives the smart host for all mail, asked for at every attempt;
	// nil, or a nil result, is delivery to each domain's exchangers.
	Relay func() *outbound.Relay

	// Hostname is our name in notifications. Nil: localhost.
	Hostname func() string

	Log *slog.Logger // nil discards

	Attempts       int // at one time, each with its connection; 0 is 20
	PerDestination int // of them at one domain, or at the smart host; 0 is 5
}

// Runner sends the outbox of a store.
type Runner struct {
	Options
	freed chan struct{} // level-triggered: a courier is free, or has left

	mu    sync.Mutex
	relay *outbound.Relay // for which the lines are made
	known map[mailbox.OutboxID]bool
	lines []*line // by when they began
	sick  time.Time
	more  bool // there are due rows that are not known

	couriers int            // with idle ones
	at       map[string]int // of them, by destination
}

// New returns a Runner, which does nothing before Run.
func New(o Options) *Runner {
	if o.Relay == nil {
		o.Relay = func() *outbound.Relay { return nil }
	}
	if o.Hostname == nil {
		o.Hostname = func() string { return "localhost" }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Attempts == 0 {
		o.Attempts = 20
	}
	if o.PerDestination == 0 {
		o.PerDestination = 5
	}
	return &Runner{
		Options: o,
		freed:   make(chan struct{}, 1),
		known:   map[mailbox.OutboxID]bool{},
		at:      map[string]int{},
	}
}

// Run sends until ctx is done. Then it starts nothing more, gives running
// attempts three seconds, breaks off the others, whose mail waits in the
// outbox, waits for every goroutine and returns nil. It is called once.
func (r *Runner) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var running sync.WaitGroup
	var bell <-chan struct{}
	var next time.Time
	for look := true; ctx.Err() == nil; {
		if look {
			// First the bell, then the look: a change in between rings it.
			bell = r.Store.OutboxBell()
			next = r.look()
		}
		for _, c := range r.dispatch() {
			running.Go(func() { c.run(ctx, work) })
		}
		wait := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
		case <-bell:
			look = true
		case <-r.freed:
			look = r.again()
		case <-wait.C:
			look = true
		}
		wait.Stop()
	}
	timer := time.AfterFunc(grace, cancel)
	defer timer.Stop()
	running.Wait()
	return nil
}

// look puts what is due into its line. It returns when to look again if nothing
// happens.
func (r *Runner) look() (next time.Time) {
	now := time.Now()
	never := now.Add(24 * time.Hour)
	relay := r.Relay()
	r.mu.Lock()
	r.turn(relay)
	sick, full := r.sick, !r.room()
	r.more = r.more || full
	r.mu.Unlock()
	if now.Before(sick) {
		return sick
	}
	if full {
		return never // until something is done with what is known
	}
	due, next, err := r.Store.DueOutbox(now, lookAhead, func(id mailbox.OutboxID) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.known[id]
	})
	if err != nil {
		r.Log.Error("cannot read the outbox", "err", err)
		return now.Add(sickPause)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range due {
		r.join(&due[i])
	}
	if r.more = next.Equal(now); next.IsZero() {
		return never
	}
	return next
}

// room tells whether more rows may be read.
func (r *Runner) room() bool { return len(r.known) <= maxDue-lookAhead }

// again tells whether there is reason to look though no bell rang.
func (r *Runner) again() bool {
	relay := r.Relay()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.more && r.room() || time.Now().Before(r.sick) || !same(r.relay, relay)
}

// free wakes Run.
func (r *Runner) free() {
	select {
	case r.freed <- struct{}{}:
	default:
	}
}

// ail stops all attempts for a while.
func (r *Runner) ail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sick = time.Now().Add(sickPause)
}
