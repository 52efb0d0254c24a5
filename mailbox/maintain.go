package mailbox

import (
	"context"
	"time"
)

// job is work that the store does by itself, again and again, beside its users.
type job struct {
	name  string
	every time.Duration // between the end of a run and the next
	run   func(context.Context) error
	woken bool // runs also when a commit has made work
}

// jobs lists them all. Each is short or heeds its context, and may be killed at
// any moment.
func (s *Store) jobs() []job {
	return []job{
		{name: "rewrite packs", every: 10 * time.Minute, run: s.rewritePacks},
		{name: "reserve", every: time.Minute, run: s.keepReserve},
		{name: "snapshot of roost.db", every: 10 * time.Minute, run: s.takeSnapshot},
		{name: "retention", every: time.Hour, run: s.expungeOld},
		{name: "forget expunged messages", every: time.Minute, run: s.forgetExpunged},
		{name: "give up old rows of expunged messages", every: time.Hour, run: s.giveUpExpunged},
		{name: "give up old lines of the journal", every: time.Hour, run: s.trimJournal},
		{name: "drop lockouts that are over", every: 10 * time.Minute, run: s.dropBlocks},
		{name: "empty deleted mailboxes", every: time.Minute, run: s.emptyDiscarded, woken: true},
	}
}

// Maintain does the store's own work, one job at a time, until ctx is done. A
// job that fails is logged, and tried again at its next turn.
func (s *Store) Maintain(ctx context.Context) {
	jobs := s.jobs()
	due := make([]time.Time, len(jobs))
	for ctx.Err() == nil {
		next := time.Now().Add(time.Hour)
		for i, j := range jobs {
			if now := time.Now(); !now.Before(due[i]) {
				if err := j.run(ctx); err != nil && ctx.Err() == nil {
					s.log.Error("the store's own work", "job", j.name, "error", err)
				}
				due[i] = time.Now().Add(j.every)
			}
			if due[i].Before(next) {
				next = due[i]
			}
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
			for i, j := range jobs {
				if j.woken {
					due[i] = time.Time{}
				}
			}
		case <-time.After(time.Until(next)):
		}
	}
}
