package records

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"roost/mta/dns"
)

const (
	// checkTime bounds a whole check; what has not answered by then is unknown.
	checkTime = 25 * time.Second
	// queryTime is for one question to one server.
	queryTime = 3 * time.Second
	// atOnce is how many records are looked at side by side.
	atOnce = 8
	// maxServers of a zone are asked before the resolver is believed instead.
	maxServers = 4
)

// Options say whom a check asks. The zero value asks the system's resolver, and the world.
type Options struct {
	// Resolver is the recursive resolver to ask, as "IP" or "IP:port"; empty: the system's.
	Resolver string

	// Dial opens every connection, those to name servers and those to port 25. Nil is
	// net.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// MailServers are those that port 25 is tried with, as "host:port"; one that answers
	// is enough. Empty: those of large providers.
	MailServers []string

	// BlockLists are those that the host's addresses are looked for in. Nil: BlockLists().
	BlockLists []BlockList
}

func (o Options) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if o.Dial != nil {
		return o.Dial(ctx, network, address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// resolver asks live: a check is made because something has just been changed.
func (o Options) resolver() (*dns.Resolver, error) {
	var servers []string
	if o.Resolver != "" {
		servers = []string{o.Resolver}
	}
	return dns.New(dns.Options{Servers: servers, Timeout: queryTime, CacheEntries: -1, Dial: o.dial})
}

// asker puts the questions of one check. It remembers which servers have which zone.
type asker struct {
	Options
	recursive *dns.Resolver

	mu    sync.Mutex
	zones map[string]*zone // by name looked at
}

func newAsker(o Options) (*asker, error) {
	r, err := o.resolver()
	if err != nil {
		return nil, err
	}
	return &asker{Options: o, recursive: r, zones: map[string]*zone{}}, nil
}

// zone is a cut in the tree of names, and who answers for what is below.
type zone struct {
	known   chan struct{} // closed when the rest is set
	name    string        // of the apex; empty when nobody knows
	servers *dns.Resolver // nil when they cannot be asked
}

// zone finds the zone that name is in: the nearest name above with NS records. It gives an
// empty one where there is none below the top level.
func (a *asker) zone(ctx context.Context, name string) *zone {
	if !strings.Contains(name, ".") {
		return new(zone)
	}
	a.mu.Lock()
	z, known := a.zones[name]
	if !known {
		z = &zone{known: make(chan struct{})}
		a.zones[name] = z
	}
	a.mu.Unlock()
	if known {
		<-z.known
		return z
	}
	defer close(z.known)
	ns, err := a.recursive.NS(ctx, name)
	switch {
	// NS records at the end of an alias say nothing about the alias.
	case err == nil && strings.EqualFold(ns.Name, name):
		z.name = name
		z.servers = a.authority(ctx, ns.Records)
	case err == nil, errors.Is(err, dns.ErrNotFound):
		_, parent, _ := strings.Cut(name, ".")
		above := a.zone(ctx, parent)
		z.name, z.servers = above.name, above.servers
	}
	return z
}

// authority asks the given name servers of a zone; nil when none has an address.
func (a *asker) authority(ctx context.Context, hosts []string) *dns.Resolver {
	var four, six []string
	for _, h := range hosts[:min(len(hosts), maxServers)] {
		found, err := a.recursive.Addrs(ctx, h)
		if err != nil {
			continue
		}
		for _, ip := range found.Records {
			server := netip.AddrPortFrom(ip, 53).String()
			if ip.Is4() {
				four = append(four, server)
			} else {
				six = append(six, server)
			}
		}
	}
	// IPv4 first: a machine whose IPv6 leads nowhere finds that out by waiting.
	servers := append(four, six...)
	if len(servers) == 0 {
		return nil
	}
	r, err := dns.New(dns.Options{Servers: servers[:min(len(servers), maxServers)], Timeout: queryTime, Rounds: 1, CacheEntries: -1, Dial: a.dial})
	if err != nil {
		return nil
	}
	return r
}

// answer is what one source says of a name and type. Neither values nor err: there is no
// such record.
type answer struct {
	values []string // as Record.Value has them
	owner  string   // where a chain of CNAME records ended
	ttl    time.Duration
	source string
	err    error // the question was not answered
}

// source is where answers are taken from.
type source struct {
	*asker
	authority bool // from the zone's own servers where they answer, else the resolver
}

const fromResolver = "the resolver"

func (s source) lookup(ctx context.Context, name, typ string) answer {
	if s.authority {
		z := s.zone(ctx, name)
		if z.servers != nil {
			have := lookup(ctx, z.servers, name, typ)
			if have.err == nil && !leaves(ctx, z, have, name, typ) {
				have.source = "the name servers of " + z.name
				return have
			}
		}
	}
	have := lookup(ctx, s.recursive, name, typ)
	have.source = fromResolver
	return have
}

// leaves reports whether the name is an alias for something out of the zone, of which its
// servers know nothing, whatever they answer.
func leaves(ctx context.Context, z *zone, have answer, name, typ string) bool {
	if len(have.values) > 0 || typ == "CNAME" {
		return false
	}
	alias := lookup(ctx, z.servers, name, "CNAME")
	return len(alias.values) > 0 && !within(strings.TrimSuffix(alias.values[0], "."), z.name)
}

// within reports whether name is domain or below it.
func within(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// addresses are those of a host, of both families.
func (s source) addresses(ctx context.Context, host string) answer {
	four := s.lookup(ctx, host, "A")
	six := s.lookup(ctx, host, "AAAA")
	if four.err != nil || six.err != nil && len(four.values) == 0 {
		if len(six.values) == 0 {
			four.err = errors.Join(four.err, six.err)
			return four
		}
		return six
	}
	four.values = append(four.values, six.values...)
	if len(four.values) == len(six.values) {
		four.owner, four.ttl = six.owner, six.ttl
	}
	return four
}

func lookup(ctx context.Context, r *dns.Resolver, name, typ string) answer {
	switch typ {
	case "A":
		a, err := r.A(ctx, name)
		return present(a, err, netip.Addr.String)
	case "AAAA":
		a, err := r.AAAA(ctx, name)
		return present(a, err, netip.Addr.String)
	case "TXT":
		a, err := r.TXT(ctx, name)
		return present(a, err, func(s string) string { return s })
	case "CNAME":
		a, err := r.CNAME(ctx, name)
		return present(a, err, func(s string) string { return s + "." })
	case "MX":
		a, err := r.MX(ctx, name)
		if errors.Is(err, dns.ErrNullMX) {
			return answer{values: []string{nullMX}, owner: name}
		}
		return present(a, err, func(m dns.MX) string { return fmt.Sprintf("%d %s.", m.Preference, m.Host) })
	case "SRV":
		a, err := r.SRV(ctx, name)
		return present(a, err, func(s dns.SRV) string {
			return fmt.Sprintf("%d %d %d %s.", s.Priority, s.Weight, s.Port, s.Host)
		})
	}
	return answer{err: fmt.Errorf("nobody has said how %s records are read", typ)}
}

func present[T any](a dns.Answer[T], err error, show func(T) string) answer {
	if errors.Is(err, dns.ErrNotFound) {
		return answer{}
	}
	have := answer{owner: a.Name, ttl: a.TTL, err: err}
	for _, r := range a.Records {
		have.values = append(have.values, show(r))
	}
	return have
}

// trouble is the verdict when nobody has answered.
func (have answer) trouble() verdict {
	if errors.Is(have.err, dns.ErrBogus) {
		return verdict{state: Unknown, source: have.source, says: "The DNSSEC signatures of the zone do not verify, so the answer cannot be used.",
			advice: "Whoever checks signatures cannot reach the domain at all: compare the DS record at the registrar with the keys of the zone, or remove it."}
	}
	v := verdict{state: Unknown, source: have.source, says: "The DNS did not answer in time.", advice: "Check again in a minute, or ask another resolver with --resolver IP:port."}
	var e *dns.Error
	if errors.As(have.err, &e) && e.Reason != "" && !strings.Contains(e.Reason, "no answer within") && !strings.Contains(e.Reason, "timeout") {
		v.says = "The DNS did not answer: " + brief(e.Reason) + "."
	}
	return v
}
