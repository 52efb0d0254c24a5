package acme

import (
	"context"
	"sync"
)

// gate lets work in until it is closed. Certmagic starts its work in goroutines that
// nobody can wait for; all that talks to the network goes through here.
type gate struct {
	mu     sync.Mutex
	closed bool
	count  int
	ends   map[int]context.CancelFunc
	inside sync.WaitGroup
}

func (g *gate) enter(ctx context.Context) (context.Context, func(), error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, nil, context.Canceled
	}
	ctx, end := context.WithCancel(ctx)
	if g.ends == nil {
		g.ends = make(map[int]context.CancelFunc)
	}
	g.count++
	id := g.count
	g.ends[id] = end
	g.inside.Add(1)
	return ctx, func() {
		end()
		g.mu.Lock()
		delete(g.ends, id)
		g.mu.Unlock()
		g.inside.Done()
	}, nil
}

// close ends what is inside and waits for it.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	for _, end := range g.ends {
		end()
	}
	g.mu.Unlock()
	g.inside.Wait()
}
