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
)

// cache keeps answers until their TTL is over. Denials are answers too.
// Failures are never kept.
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
	expires time.Time
}

func newCache(entries int) *cache {
	return &cache{max: entries, entries: make(map[cacheKey]cached)}
}

func (c *cache) get(k cacheKey) (answer, bool) {
	if c == nil {
		return answer{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[k]
	if !ok {
		return answer{}, false
	}
	left := time.Until(e.expires)
	if left <= 0 {
		delete(c.entries, k)
		return answer{}, false
	}
	e.answer.ttl = left
	return e.answer, true
}

func (c *cache) put(k cacheKey, a answer) {
	if c == nil || a.ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[k]; !ok && len(c.entries) >= c.max {
		c.evict()
	}
	c.entries[k] = cached{a, time.Now().Add(a.ttl)}
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
