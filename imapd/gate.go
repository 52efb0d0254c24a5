package imapd

import (
	"net"
	"net/netip"
	"sync"

	"roost/mailbox"
	"roost/mailbox/remote"
)

// gate counts connections.
type gate struct {
	limits Limits

	mu      sync.Mutex
	all     int
	address map[netip.Prefix]int
	account map[mailbox.AccountID]int
}

// client is what limits count by. It is loopback, too, what has no address: such
// connections only exist inside a process.
func client(a net.Addr) (p netip.Prefix, loopback bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}, true
	}
	p, counted := remote.Host(tcp.AddrPort().Addr())
	return p, !counted
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
