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
	// lookAhead is how many due rows are looked at to find some whose
	// destination is not busy.
	lookAhead = 1000

	// grace is how long attempts may go on when the Runner is to end.
	grace = 3 * time.Second

	// sickPause follows a commit that failed before an attempt: without the
	// mark in its row nothing is sent.
	sickPause = 30 * time.Second
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

	Attempts       int // at one time; 0 is 20
	PerDestination int // of them at one domain, or at the smart host; 0 is 5
}

// Runner sends the outbox of a store.
type Runner struct {
	Options
	freed chan struct{} // level-triggered: an attempt has ended

	mu   sync.Mutex
	busy map[mailbox.OutboxID]bool
	at   map[string]int // attempts by destination
	sick time.Time      // no attempts before
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
		busy:    map[mailbox.OutboxID]bool{},
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
	for ctx.Err() == nil {
		// First the bell, then the look: a change in between rings it.
		bell := r.Store.OutboxBell()
		next := r.start(work, &running)
		wait := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
		case <-bell:
		case <-r.freed:
		case <-wait.C:
		}
		wait.Stop()
	}
	timer := time.AfterFunc(grace, cancel)
	defer timer.Stop()
	running.Wait()
	return nil
}

// start begins an attempt at each due row that is not busy and whose
// destination is not. It returns when to look again if nothing happens.
func (r *Runner) start(ctx context.Context, running *sync.WaitGroup) (next time.Time) {
	now := time.Now()
	never := now.Add(24 * time.Hour)
	r.mu.Lock()
	sick := r.sick
	r.mu.Unlock()
	if now.Before(sick) {
		return sick
	}
	due, next, err := r.Store.DueOutbox(now, lookAhead)
	if err != nil {
		r.Log.Error("cannot read the outbox", "err", err)
		return now.Add(sickPause)
	}
	relay := r.Relay()
	for _, o := range due {
		to := o.Domain
		if relay != nil {
			to = relay.String()
		}
		if !r.claim(o.ID, to) {
			continue
		}
		running.Go(func() {
			defer r.release(o.ID, to)
			r.attempt(ctx, o, relay)
		})
	}
	if !next.After(now) {
		// All that is due is busy or started; its end, or the bell, wakes us.
		return never
	}
	return next
}

func (r *Runner) claim(id mailbox.OutboxID, to string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[id] || len(r.busy) >= r.Attempts || r.at[to] >= r.PerDestination {
		return false
	}
	r.busy[id] = true
	r.at[to]++
	return true
}

func (r *Runner) release(id mailbox.OutboxID, to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, id)
	if r.at[to]--; r.at[to] == 0 {
		delete(r.at, to)
	}
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
