package outbound

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"roost/mta/dns"
	"roost/mta/smtp"
)

const (
	// maxHosts bounds how many exchangers of a domain are looked at in one
	// attempt, maxPerHost how many addresses of each, and maxDials how many
	// connections are tried in all. RFC 5321 section 5.1 asks for at least
	// two addresses.
	maxHosts   = 8
	maxPerHost = 4
	maxDials   = 10
)

// target is one address to connect to.
type target struct {
	host string // for the certificate and for people
	addr netip.AddrPort
}

// resolveMX finds the hosts to try, best first.
func (a *attempt) resolveMX(ctx context.Context) error {
	if a.relay != nil {
		a.hosts, a.port = []string{a.relay.Host}, a.relay.Port
		return nil
	}
	a.port = 25
	domain := a.message.Domain
	if literal, ok := strings.CutPrefix(domain, "["); ok {
		if a.message.RequireTLS {
			return a.unfit("an address has no name that a certificate could prove")
		}
		addr, err := netip.ParseAddr(strings.TrimPrefix(strings.TrimSuffix(literal, "]"), "IPv6:"))
		if err != nil {
			return permanent("address literal", smtp.Enhanced{5, 1, 2}, "%s is not an address", domain)
		}
		a.hosts = []string{addr.String()}
		return nil
	}
	found, err := a.Resolver.MX(ctx, domain)
	switch {
	case errors.Is(err, dns.ErrNullMX):
		// RFC 7505 section 4.2.
		return &failure{during: "look up MX", outcome: Permanent,
			reply: smtp.Reply{Code: 556, Enhanced: smtp.Enhanced{5, 1, 10}, Text: domain + " does not accept mail (null MX)"}}
	case errors.Is(err, dns.ErrNotFound):
		// RFC 5321 section 5.1: without MX records the domain is its own
		// exchanger. That it has no address either shows in dial.
		a.hosts, a.implicit = []string{domain}, true
		return nil // the name is the domain's own, and TLS proves it
	case err != nil:
		return temporary("look up MX", smtp.Enhanced{4, 4, 3}, "%v", err)
	}
	if a.message.RequireTLS && found.Verdict != dns.Secure {
		return a.unfit("who takes the mail of %s is not proved by DNSSEC", domain)
	}
	a.hosts, err = walk(found.Records, a.Hostname(), rand.Shuffle)
	return err
}

// walk puts exchangers in the order to try them: by preference, at random
// among equals (RFC 5321 section 5.1), without ourselves and those behind us.
func walk(list []dns.MX, self string, shuffle func(n int, swap func(i, j int))) ([]string, error) {
	list = slices.Clone(list)
	shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	slices.SortStableFunc(list, func(x, y dns.MX) int { return cmp.Compare(x.Preference, y.Preference) })
	if i := slices.IndexFunc(list, func(m dns.MX) bool { return strings.EqualFold(m.Host, self) }); i >= 0 {
		mine := list[i].Preference
		list = slices.DeleteFunc(list, func(m dns.MX) bool { return m.Preference >= mine })
		if len(list) == 0 {
			return nil, permanent("look up MX", smtp.Enhanced{5, 4, 6}, "the domain's mail comes to %s, which does not know it", self)
		}
	}
	var hosts []string
	for _, m := range list {
		if !slices.Contains(hosts, m.Host) && len(hosts) < maxHosts {
			hosts = append(hosts, m.Host)
		}
	}
	return hosts, nil
}

// addresses finds where a host can be reached.
func (a *attempt) addresses(ctx context.Context, host string) ([]target, error) {
	addrs := []netip.Addr{}
	if addr, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, addr)
	} else {
		found, err := a.Resolver.Addrs(ctx, host)
		switch {
		case errors.Is(err, dns.ErrNotFound) && a.implicit:
			return nil, permanent("look up the domain", smtp.Enhanced{5, 1, 2}, "no mail exchanger and no address for %s", host)
		case errors.Is(err, dns.ErrNotFound) && a.relay == nil:
			return nil, permanent("look up the address", smtp.Enhanced{5, 4, 4}, "%v", err)
		case err != nil:
			return nil, temporary("look up the address", smtp.Enhanced{4, 4, 3}, "%v", err)
		}
		addrs = found.Records
	}
	var list []target
	for _, addr := range addrs {
		addr = addr.Unmap()
		if addr.IsUnspecified() || addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || addr.Is6() && a.NoIPv6 {
			continue
		}
		if len(list) < maxPerHost {
			list = append(list, target{host, netip.AddrPortFrom(addr, a.port)})
		}
	}
	if len(list) == 0 && a.relay != nil {
		return nil, temporary("look up the address", smtp.Enhanced{4, 4, 4}, "no address of %s can be used", host)
	}
	if len(list) == 0 {
		return nil, permanent("look up the address", smtp.Enhanced{5, 4, 4}, "no address of %s can be used", host)
	}
	return list, nil
}

// failure is an attempt that ended before the recipients were answered.
type failure struct {
	during  string
	outcome Outcome
	reply   smtp.Reply
	target  target // the host that reply is from; zero when it is ours
	cause   error
}

func (f *failure) Error() string { return f.during + ": " + f.reply.Error() }

func (f *failure) Unwrap() error { return f.cause }

func temporary(during string, e smtp.Enhanced, format string, args ...any) *failure {
	return &failure{during: during, outcome: Temporary,
		reply: smtp.Reply{Code: 451, Enhanced: e, Text: fmt.Sprintf(format, args...)}}
}

func permanent(during string, e smtp.Enhanced, format string, args ...any) *failure {
	return &failure{during: during, outcome: Permanent,
		reply: smtp.Reply{Code: 550, Enhanced: e, Text: fmt.Sprintf(format, args...)}}
}
