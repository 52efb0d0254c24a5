package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	mdns "github.com/miekg/dns"
)

const (
	resolvConf        = "/etc/resolv.conf"
	resolvConfMaxAge  = 30 * time.Second
	resolvConfMaxSize = 64 << 10

	maxServers     = 3 // as resolver(5) has it
	defaultTimeout = 4 * time.Second
	defaultRounds  = 2
	defaultCache   = 4096
)

// Options for a Resolver. The zero value asks the system's resolvers.
type Options struct {
	// Servers are the recursive resolvers to ask, in order, as "IP" or
	// "IP:port". Empty: those of /etc/resolv.conf, read again when it is
	// older than half a minute, so that a new lease is noticed; and
	// 127.0.0.1 when that file names none.
	Servers []string

	// Timeout is for one query to one server, over one protocol. Zero: 4 s.
	Timeout time.Duration

	// Rounds is how often the list of servers is gone through. Zero: 2.
	Rounds int

	// CacheEntries bounds the cache. Zero: 4096. Negative: no cache, which
	// is what a check that a record has just been published wants.
	CacheEntries int

	// Dial replaces the network; nil is net.Dialer's. A connection that is
	// not a net.PacketConn is spoken to as a TCP one.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Resolver asks recursive resolvers. It is safe for concurrent use.
type Resolver struct {
	timeout time.Duration
	rounds  int
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	cache   *cache // nil: none

	mu      sync.Mutex
	fixed   bool
	servers []netip.AddrPort
	readAt  time.Time // when servers were read from resolv.conf
}

// New returns a Resolver. It fails only when a given server is not an
// address.
func New(o Options) (*Resolver, error) {
	r := &Resolver{timeout: o.Timeout, rounds: o.Rounds, dial: o.Dial}
	if r.timeout <= 0 {
		r.timeout = defaultTimeout
	}
	if r.rounds <= 0 {
		r.rounds = defaultRounds
	}
	if r.dial == nil {
		r.dial = new(net.Dialer).DialContext
	}
	switch {
	case o.CacheEntries == 0:
		r.cache = newCache(defaultCache)
	case o.CacheEntries > 0:
		r.cache = newCache(o.CacheEntries)
	}
	for _, s := range o.Servers {
		ap, err := parseServer(s)
		if err != nil {
			return nil, err
		}
		r.servers = append(r.servers, ap)
	}
	r.fixed = len(r.servers) > 0
	return r, nil
}

// parseServer reads "IP" or "IP:port"; the port is 53 by default.
func parseServer(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 53), nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("resolver %q: want an IP address or IP:port", s)
	}
	return ap, nil
}

// list returns the servers to ask now.
func (r *Resolver) list() []netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.fixed || (len(r.servers) > 0 && now.Sub(r.readAt) < resolvConfMaxAge) {
		return r.servers
	}
	// A file that cannot be read for a moment leaves the last good list.
	if found := readResolvConf(resolvConf); len(found) > 0 {
		r.servers = found
	} else if len(r.servers) == 0 {
		r.servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 53)}
	}
	r.readAt = now
	return r.servers
}

// readResolvConf returns the name servers of a resolv.conf(5) file; none when
// it cannot be read.
func readResolvConf(path string) []netip.AddrPort {
	if fi, err := os.Stat(path); err != nil || fi.Size() > resolvConfMaxSize {
		return nil
	}
	conf, err := mdns.ClientConfigFromFile(path)
	if err != nil {
		return nil
	}
	var found []netip.AddrPort
	for _, s := range conf.Servers {
		if a, err := netip.ParseAddr(s); err == nil && len(found) < maxServers {
			found = append(found, netip.AddrPortFrom(a, 53))
		}
	}
	return found
}
