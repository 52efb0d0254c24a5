package records

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

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
	var servers *dns.Resolver
	silent := ""
	for _, ip := range ips {
		ip = ip.Unmap().WithZone("")
		if !reachable(ip) || ip.IsLoopback() || ip.Is6() && !l.IPv6 {
			continue
		}
		if servers == nil {
			servers, silent = a.proveList(ctx, l)
		}
		f := Finding{
			Record: Record{Kind: "block list", Name: ip.String() + " on " + l.Name, Why: "Many refuse mail from an address that a block list has."},
			// A list that does not answer keeps nobody's mail.
			Required: !s.relayed(),
		}
		on, doubt := (*dns.Listing)(nil), silent
		if doubt == "" {
			var err error
			on, err = servers.Listed(ctx, l.Zone, ip)
			doubt = unlisted(err)
		}
		switch {
		case doubt != "":
			f.State, f.Says, f.Required = Unknown, doubt, false
			f.Advice = "Look for the address at " + l.Page + " if mail is refused."
		case on == nil:
			f.State, f.Says = Passed, fmt.Sprintf("%s does not list %s.", l.Name, ip)
		default:
			f.State = Wrong
			for _, code := range on.Codes {
				f.Found = append(f.Found, code.String())
			}
			f.Says = fmt.Sprintf("%s lists %s (%s).", l.Name, ip, listing(f.Found))
			if on.Reason != "" {
				f.Says = strings.TrimSuffix(f.Says, ".") + ": " + brief(on.Reason)
			}
			f.Advice = "See " + l.Page + " for the reason and the way off the list. Addresses of homes and of new servers are often listed without anybody's fault; sending through a relay helps meanwhile."
		}
		findings = append(findings, f)
	}
	return findings
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
	err = r.ProveList(ctx, zone)
	var e *dns.Error
	if errors.As(err, &e) && e.Reason != "" {
		return errors.New(e.Reason)
	}
	return err
}

// proveList finds whom to ask about addresses: the list's own servers where they answer, as
// they refuse resolvers that many share. It gives why the list's word is worth nothing here;
// empty when it is worth something.
func (a *asker) proveList(ctx context.Context, l BlockList) (servers *dns.Resolver, silent string) {
	if z := a.zone(ctx, l.Zone); z.servers != nil && z.servers.ProveList(ctx, l.Zone) == nil {
		return z.servers, ""
	}
	return a.recursive, unlisted(a.recursive.ProveList(ctx, l.Zone))
}

// unlisted tells what keeps a list from saying anything; empty for nil.
func unlisted(err error) string {
	if err == nil {
		return ""
	}
	why := err.Error()
	var e *dns.Error
	if errors.As(err, &e) && e.Reason != "" {
		why = e.Reason
	}
	return "The list's word counts for nothing: " + why + "."
}
