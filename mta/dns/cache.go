package dns

import (
	"sync"
	"time"
)

const (
	// maxPositive and maxNegative bound what a TTL may ask for: a mistake in
	// a zone is over within the hour, and a record that was missing is
	// noticed within minutes.
	maxPositive = time.Hour
	maxNegative = 5 * time.Minute

	// failureTTL is how long a failure is kept (RFC 9520 section 3.2: at least
	// 1 s, at most 5 minutes): so that a resolver in trouble is not asked by
	// each message anew, and one that recovers is noticed by the next try.
	failureTTL = 5 * time.Second
)

// cache keeps answers until their TTL is over. Denials are answers too, and
// failures of the resolvers are kept for a moment.
type cache struct {
	mu      sync.Mutex
	max     int
	entries map[cacheKey]cached
}

type cacheKey struct {
	name  string
	qtype uint16
}

type cached struct {
	answer  answer
	failure *Error // instead of an answer
	expires time.Time
}

func newCache(entries int) *cache {
	return &cache{max: entries, entries: make(map[cacheKey]cached)}
}

// get returns what is known, an answer or a failure.
func (c *cache) get(k cacheKey) (a answer, failure *Error, ok bool) {
	if c == nil {
		return answer{}, nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[k]
	if !ok {
		return answer{}, nil, false
	}
	left := time.Until(e.expires)
	if left <= 0 {
		delete(c.entries, k)
		return answer{}, nil, false
	}
	e.answer.ttl = left
	return e.answer, e.failure, true
}

func (c *cache) put(k cacheKey, a answer) { c.add(k, cached{answer: a}, a.ttl) }

func (c *cache) putFailure(k cacheKey, e *Error) { c.add(k, cached{failure: e}, failureTTL) }

func (c *cache) add(k cacheKey, e cached, ttl time.Duration) {
	if c == nil || ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[k]; !ok && len(c.entries) >= c.max {
		c.evict()
	}
	e.expires = time.Now().Add(ttl)
	c.entries[k] = e
}

// evict makes room: what has expired among some entries, else whichever of
// them the map's order gives. A full sweep on every insertion would make a
// flood of names dear.
func (c *cache) evict() {
	const look = 16
	now := time.Now()
	seen, dropped := 0, 0
	var victim cacheKey
	for k, e := range c.entries {
		if !now.Before(e.expires) {
			delete(c.entries, k)
			dropped++
		}
		victim = k
		if seen++; seen == look {
			break
		}
	}
	if dropped == 0 {
		delete(c.entries, victim)
	}
}
