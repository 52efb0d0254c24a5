package records

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	mdns "github.com/miekg/dns"

	"roost/mta/dns"
)

// CheckHost looks at what the world must grant this server, whatever its domains: that its
// name leads to its addresses and back, that connections to port 25 of others get through,
// and that no block list has it. It needs the Host, the Addresses and the Relay of s: with
// a relay nothing of what only senders need is required. It takes half a minute at most, and
// fails as Check does.
func CheckHost(ctx context.Context, s Setup, o Options) ([]Finding, error) {
	if !strings.Contains(s.Host, ".") {
		return nil, ErrNoHost
	}
	a, err := newAsker(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	// The name must lead here in whoever's zone it is.
	s.Domain = s.Host
	q := question{Context: ctx, Setup: s, source: source{a, true}}
	jobs := []func() []Finding{func() []Finding { return a.addressFindings(ctx, s) }}
	ips := q.here()
	for _, ip := range ips {
		if ip = ip.Unmap().WithZone(""); reachable(ip) {
			jobs = append(jobs, func() []Finding { return []Finding{q.reverse(ip)} })
		}
	}
	jobs = append(jobs, func() []Finding { return []Finding{a.port25(ctx, s)} })
	for _, l := range a.blockLists() {
		jobs = append(jobs, func() []Finding { return a.onList(ctx, s, l, ips) })
	}
	results := make([][]Finding, len(jobs))
	var running sync.WaitGroup
	for i, job := range jobs {
		running.Go(func() { results[i] = job() })
	}
	running.Wait()
	return slices.Concat(results...), nil
}

func (a *asker) addressFindings(ctx context.Context, s Setup) []Finding {
	k := kinds()[0]
	want := k.want(s)
	var list []checked
	for _, r := range append(want, k.stray(s, want)...) {
		list = append(list, checked{kind: k, want: r})
	}
	a.all(ctx, s, list)
	var findings []Finding
	for _, c := range list {
		if c.finding.State != "" {
			findings = append(findings, c.finding)
		}
	}
	return findings
}

// reverse looks from an address to its name and back (RFC 1912 section 2.1).
func (q question) reverse(ip netip.Addr) Finding {
	f := Finding{
		Record: Record{
			Kind: "reverse name", Type: "PTR", Value: q.Host + ".",
			Why: "Others look up the name of an address that sends them mail, and refuse those without one or with one that leads elsewhere.",
		},
		Required: !q.relayed(),
		Source:   fromResolver,
	}
	const who = "It is set where the address is rented: look for \"reverse DNS\" or \"PTR\" with the provider of the server."
	if name, err := mdns.ReverseAddr(ip.String()); err == nil {
		f.Name = strings.TrimSuffix(name, ".")
	}
	names, err := q.recursive.PTR(q, ip)
	switch {
	case errors.Is(err, dns.ErrNotFound):
		f.State, f.Says = Missing, fmt.Sprintf("%s has no name (PTR record).", ip)
		f.Advice = who
		return f
	case err != nil:
		v := answer{err: err}.trouble()
		f.State, f.Says, f.Advice = v.state, v.says, v.advice
		return f
	}
	for _, name := range names.Records {
		f.Found = append(f.Found, name+".")
	}
	back := func(host string) bool {
		return slices.ContainsFunc(q.addresses(q, host).values, func(v string) bool {
			a, err := netip.ParseAddr(v)
			return err == nil && a.Unmap() == ip
		})
	}
	switch {
	case slices.Contains(names.Records, q.Host) && back(q.Host):
		f.State, f.Says = Found, fmt.Sprintf("%s is called %s, and that name leads back.", ip, q.Host)
	case slices.Contains(names.Records, q.Host):
		f.State, f.Says = Wrong, fmt.Sprintf("%s is called %s, but that name does not lead back to it.", ip, q.Host)
		f.Advice = fmt.Sprintf("Give %s an address record with %s.", q.Host, ip)
	case slices.ContainsFunc(names.Records, back):
		f.State, f.Says = Wrong, fmt.Sprintf("%s is called %s, not %s; many take such a name for that of a machine that should not send mail.", ip, listing(names.Records), q.Host)
		f.Advice = who + " Change it to " + q.Host + "."
	default:
		f.State, f.Says = Wrong, fmt.Sprintf("%s is called %s, and that does not lead back to it.", ip, listing(names.Records))
		f.Advice = who + " Change it to " + q.Host + "."
	}
	return f
}

// reachable reports whether an address can be one in the open network. Loopback addresses
// count: there is a small world in which they are.
func reachable(ip netip.Addr) bool {
	return ip.IsValid() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast() && !ip.IsUnspecified() && !ip.IsMulticast()
}
