package queue

import (
	"math/rand/v2"
	"time"
)

// maxAge is how old a message becomes in the queue, and with it how long a
// server may be away (RFC 5321 section 4.5.4.1: at least four to five days).
const maxAge = 5 * 24 * time.Hour

// backoff is the pause after the n-th attempt, n from 1: short at first, for
// greylisting and restarts, then at most four hours.
func backoff(n int) time.Duration {
	pauses := [...]time.Duration{
		5 * time.Minute, 10 * time.Minute, 20 * time.Minute,
		time.Hour, 2 * time.Hour, 4 * time.Hour,
	}
	return pauses[min(max(n, 1), len(pauses))-1]
}

// jitter moves a pause by up to a tenth either way, so that what failed
// together does not come back together.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5)
}

// nextDue is when to try again after the n-th attempt at a message from
// created on: not later than the one attempt that its age allows to be the
// last.
func nextDue(now, created time.Time, n int) time.Time {
	due := now.Add(jitter(backoff(n)))
	if last := created.Add(maxAge); due.After(last) && now.Before(last) {
		return last
	}
	return due
}

// tooOld tells whether an attempt that began at now was the last.
func tooOld(now, created time.Time) bool { return !now.Before(created.Add(maxAge)) }
