package inbound

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"roost/mailbox/remote"
	"roost/mta/smtp"
)

// Limits on asking for addresses that are not here, by network.
const (
	probeWindow = time.Hour
	freeProbes  = 3  // are answered at once
	maxProbes   = 25 // in a window, before the network is sent away
	maxNetworks = 10000

	tarpitStep = 500 * time.Millisecond // more for each wrong recipient
	tarpitMax  = 5 * time.Second
)

var errProbing = smtp.Reply{Code: 421, Enhanced: smtp.Enhanced{4, 7, 0}, Text: "Too many recipients that are not here; come back in an hour"}

// probes counts who asks for addresses that nobody has, which is how lists of
// addresses are made. A network that has few wrong ones among many right ones
// forwards mail for somebody, and is left alone. Loopback is not counted.
type probes struct {
	mu sync.Mutex
	by map[netip.Prefix]probe // of a client
}

type probe struct {
	start        time.Time
	wrong, right int
	blocked      bool // until the window ends
}

func (p *probes) get(peer netip.Addr) (netip.Prefix, probe) {
	key, _ := remote.Host(peer)
	w, ok := p.by[key]
	if !ok || time.Since(w.start) >= probeWindow {
		w = probe{start: time.Now()}
	}
	return key, w
}

// blocked says whether a network is sent away.
func (p *probes) blocked(peer netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, w := p.get(peer)
	return w.blocked
}

// right counts a recipient that is here, for networks that are counted already.
func (p *probes) right(peer netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if key, w := p.get(peer); w.wrong > 0 {
		w.right++
		p.by[key] = w
	}
}

// wrong counts a recipient that is not here. It gives how long the answer is to
// take, and whether this was the one too many.
func (p *probes) wrong(peer netip.Addr) (pause time.Duration, blocked bool) {
	if _, counted := remote.Host(peer); !counted {
		return 0, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by == nil {
		p.by = map[netip.Prefix]probe{}
	}
	key, w := p.get(peer)
	if _, known := p.by[key]; !known && len(p.by) >= maxNetworks {
		p.forget()
	}
	w.wrong++
	w.blocked = w.wrong >= maxProbes && w.wrong > w.right
	if w.blocked {
		w.start = time.Now()
	}
	p.by[key] = w
	return min(max(time.Duration(w.wrong-freeProbes), 0)*tarpitStep, tarpitMax), w.blocked
}

// forget drops the windows that are over, and all if none is: a table full of
// attackers is worth less than the memory.
func (p *probes) forget() {
	for a, w := range p.by {
		if time.Since(w.start) >= probeWindow {
			delete(p.by, a)
		}
	}
	if len(p.by) >= maxNetworks {
		clear(p.by)
	}
}

// rest waits, unless ctx is done before.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
