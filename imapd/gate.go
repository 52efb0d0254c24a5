package imapd

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"roost/mailbox"
)

// gate counts connections and failed logins.
type gate struct {
	limits Limits

	mu       sync.Mutex
	all      int
	address  map[netip.Prefix]int
	account  map[mailbox.AccountID]int
	failures map[netip.Prefix]failures
}

// failures are the logins of one address that failed.
type failures struct {
	count int
	last  time.Time
}

const (
	// forget is how long after the last failed login an address starts afresh.
	forget = 15 * time.Minute
	// maxDelay bounds how long a failed login waits for its answer.
	maxDelay = 15 * time.Second
	// maxAddresses bounds the memory of failures.
	maxAddresses = 10000
)

// origin is what limits count by: an IPv4 address, an IPv6 /64. It is invalid
// for connections that have no address, which only exist inside a process.
func origin(a net.Addr) (p netip.Prefix, loopback bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}, true
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	return p, err == nil && ip.IsLoopback()
}

// enter counts a connection in and reports whether it may stay. One that may
// not is not counted.
func (g *gate) enter(from netip.Prefix, loopback bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all >= g.limits.Connections || !loopback && g.address[from] >= g.limits.PerAddress {
		return false
	}
	if g.address == nil {
		g.address = make(map[netip.Prefix]int)
	}
	g.all++
	g.address[from]++
	return true
}

func (g *gate) leave(from netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all--
	if g.address[from]--; g.address[from] <= 0 {
		delete(g.address, from)
	}
}

// login counts a connection to its account and reports whether it may stay.
func (g *gate) login(id mailbox.AccountID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.account[id] >= g.limits.PerAccount {
		return false
	}
	if g.account == nil {
		g.account = make(map[mailbox.AccountID]int)
	}
	g.account[id]++
	return true
}

func (g *gate) logout(id mailbox.AccountID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.account[id]--; g.account[id] <= 0 {
		delete(g.account, id)
	}
}

// failed notes a failed login and returns how long its answer has to wait: a
// second, doubled with each failure.
func (g *gate) failed(from netip.Prefix) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failures == nil || len(g.failures) >= maxAddresses {
		g.failures = make(map[netip.Prefix]failures)
	}
	f := g.failures[from]
	if time.Since(f.last) > forget {
		f.count = 0
	}
	f.count, f.last = f.count+1, time.Now()
	g.failures[from] = f
	if f.count > 4 {
		return maxDelay
	}
	return time.Second << (f.count - 1)
}
