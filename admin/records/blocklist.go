package records

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"

	"roost/mta/dns"
)

// BlockList is a DNS block list of addresses (RFC 5782).
type BlockList struct {
	Name string
	Zone string
	IPv6 bool   // has IPv6 addresses too
	Page string // where one asks about an address
}

// BlockLists are the lists that large receivers look at, and that answer anybody.
func BlockLists() []BlockList {
	return []BlockList{
		{"Spamhaus ZEN", "zen.spamhaus.org", true, "https://check.spamhaus.org/"},
		{"SpamCop", "bl.spamcop.net", false, "https://www.spamcop.net/bl.shtml"},
		{"PSBL", "psbl.surriel.com", false, "https://psbl.org/"},
		{"DroneBL", "dnsbl.dronebl.org", true, "https://dronebl.org/lookup"},
	}
}

func (a *asker) blockLists() []BlockList {
	if a.BlockLists == nil {
		return BlockLists()
	}
	return a.BlockLists
}

// onList looks for addresses in one list.
func (a *asker) onList(ctx context.Context, s Setup, l BlockList, ips []netip.Addr) []Finding {
	var findings []Finding
	silent, asked := "", false
	for _, ip := range ips {
		ip = ip.Unmap().WithZone("")
		if !reachable(ip) || ip.IsLoopback() || ip.Is6() && !l.IPv6 {
			continue
		}
		if !asked {
			silent, asked = a.proveList(ctx, l), true
		}
		f := Finding{
			Record: Record{Kind: "block list", Name: ip.String() + " on " + l.Name, Why: "Many refuse mail from an address that a block list has."},
			// A list that does not answer keeps nobody's mail.
			Required: !s.relayed(),
		}
		have := a.listed(ctx, l, reversed(ip))
		doubt := silent
		if doubt == "" {
			doubt = refused(have)
		}
		switch {
		case doubt != "":
			f.State, f.Says, f.Required = Unknown, doubt, false
			f.Advice = "Look for the address at " + l.Page + " if mail is refused."
		case len(have.values) == 0:
			f.State, f.Says = Passed, fmt.Sprintf("%s does not list %s.", l.Name, ip)
		default:
			f.State, f.Found = Wrong, have.values
			f.Says = fmt.Sprintf("%s lists %s (%s).", l.Name, ip, listing(have.values))
			if why := a.zoneLookup(ctx, l, reversed(ip), "TXT"); len(why.values) > 0 {
				f.Says = strings.TrimSuffix(f.Says, ".") + ": " + brief(why.values[0])
			}
			f.Advice = "See " + l.Page + " for the reason and the way off the list. Addresses of homes and of new servers are often listed without anybody's fault; sending through a relay helps meanwhile."
		}
		findings = append(findings, f)
	}
	return findings
}

// zoneLookup asks the list's own servers where they can be found: they refuse resolvers that
// many share.
func (a *asker) zoneLookup(ctx context.Context, l BlockList, name, typ string) answer {
	if z := a.zone(ctx, l.Zone); z.servers != nil {
		if have := lookup(ctx, z.servers, name+"."+l.Zone, typ); have.err == nil {
			return have
		}
	}
	return lookup(ctx, a.recursive, name+"."+l.Zone, typ)
}

func (a *asker) listed(ctx context.Context, l BlockList, name string) answer {
	return a.zoneLookup(ctx, l, name, "A")
}

// TryList looks for the test entries of a block list by the resolver, as a server does that
// asks the list about mail. The error is for people.
func TryList(ctx context.Context, o Options, zone string) error {
	r, err := o.resolver()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if err = r.ProveList(ctx, zone); err == nil {
		return nil
	}
	var e *dns.Error
	if errors.As(err, &e) && e.Reason != "" {
		return errors.New(e.Reason)
	}
	return err
}

// proveList returns why the list's word is worth nothing here; empty when it is worth
// something. RFC 5782 section 5: 127.0.0.2 must be listed, and 127.0.0.1 must not.
func (a *asker) proveList(ctx context.Context, l BlockList) string {
	yes := a.listed(ctx, l, "2.0.0.127")
	if why := refused(yes); why != "" {
		return why
	}
	if len(yes.values) == 0 {
		return l.Name + " does not answer here: not even its test entry is there."
	}
	no := a.listed(ctx, l, "1.0.0.127")
	if why := refused(no); why != "" {
		return why
	}
	if len(no.values) > 0 {
		return l.Name + " says yes to everything, so it says nothing."
	}
	return ""
}

// refused returns why an answer of a block list is none; empty when it is one.
func refused(have answer) string {
	if have.err != nil {
		return strings.TrimSuffix(answer{err: have.err}.trouble().says, ".") + ", so nobody knows."
	}
	for _, v := range have.values {
		switch {
		// What Spamhaus and others answer to those who may not ask.
		case strings.HasPrefix(v, "127.255.255."):
			return "The list does not answer this resolver (" + v + "), which many share; ask with a resolver of your own: --resolver IP:port."
		case !strings.HasPrefix(v, "127."):
			return "The answer, " + v + ", is not one that a block list gives."
		}
	}
	return ""
}

// reversed is how a list names an address: its octets or nibbles, last one first (RFC 5782
// sections 2.1 and 2.4).
func reversed(ip netip.Addr) string {
	name, err := mdns.ReverseAddr(ip.String())
	if err != nil {
		return ""
	}
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	return strings.Join(slices.Clip(labels[:len(labels)-2]), ".")
}
