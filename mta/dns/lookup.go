package dns

import (
	"context"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	mdns "github.com/miekg/dns"
)

// Answer holds the records of one look-up; at least one.
type Answer[T any] struct {
	Records []T
	Name    string        // the owner after CNAME records, without the final dot
	Verdict Verdict       // of the whole chain
	TTL     time.Duration // how long the answer holds
}

// MX is one mail exchanger.
type MX struct {
	Preference uint16
	Host       string // lower case, no final dot
}

// SRV is one server of a service (RFC 2782). An empty Host says that the
// service is decidedly not available.
type SRV struct {
	Priority, Weight, Port uint16
	Host                   string
}

// TLSA is one certificate association (RFC 6698 section 2.1).
type TLSA struct {
	Usage, Selector, MatchingType uint8
	Data                          []byte
}

// TXT returns the texts of a name, each with its strings joined (RFC 7208
// section 3.3, RFC 6376 section 3.6.2.2). The bytes are as published and
// need not be UTF-8.
func (r *Resolver) TXT(ctx context.Context, name string) (Answer[string], error) {
	return lookup(ctx, r, name, mdns.TypeTXT, func(rr *mdns.TXT) (string, bool) {
		var b strings.Builder
		for _, s := range rr.Txt {
			b.WriteString(unescape(s))
		}
		return b.String(), true
	})
}

// MX returns the mail exchangers of a domain in the order of the answer.
// Exchangers whose name cannot be a host's are left out. A null MX
// (RFC 7505) is an error of the kind ErrNullMX.
func (r *Resolver) MX(ctx context.Context, domain string) (Answer[MX], error) {
	null := false
	a, err := lookup(ctx, r, domain, mdns.TypeMX, func(rr *mdns.MX) (MX, bool) {
		if rr.Mx == "." {
			null = true
		}
		host := hostName(rr.Mx)
		return MX{rr.Preference, host}, host != ""
	})
	// A "." beside real exchangers is a mistake, not a statement
	// (RFC 7505 section 3).
	var e *Error
	if null && errors.As(err, &e) && e.Kind == ErrNotFound {
		e.Kind, e.Reason = ErrNullMX, ""
	}
	return a, err
}

// A returns the IPv4 addresses of a host.
func (r *Resolver) A(ctx context.Context, host string) (Answer[netip.Addr], error) {
	return lookup(ctx, r, host, mdns.TypeA, func(rr *mdns.A) (netip.Addr, bool) {
		a, ok := netip.AddrFromSlice(rr.A)
		a = a.Unmap()
		return a, ok && a.Is4()
	})
}

// AAAA returns the IPv6 addresses of a host.
func (r *Resolver) AAAA(ctx context.Context, host string) (Answer[netip.Addr], error) {
	return lookup(ctx, r, host, mdns.TypeAAAA, func(rr *mdns.AAAA) (netip.Addr, bool) {
		a, ok := netip.AddrFromSlice(rr.AAAA)
		return a, ok && a.Is6()
	})
}

// Addrs returns the addresses of a host of both families, IPv6 first. When
// one family fails and the other is found, what is found is returned; when
// one fails and the other is not there, the failure is.
func (r *Resolver) Addrs(ctx context.Context, host string) (Answer[netip.Addr], error) {
	var four Answer[netip.Addr]
	var fourErr error
	var wait sync.WaitGroup
	wait.Go(func() { four, fourErr = r.A(ctx, host) })
	six, err := r.AAAA(ctx, host)
	wait.Wait()
	switch {
	case err == nil && fourErr == nil:
		six.Records = append(six.Records, four.Records...)
		six.Verdict = min(six.Verdict, four.Verdict)
		six.TTL = min(six.TTL, four.TTL)
		return six, nil
	case err == nil:
		return six, nil
	case fourErr == nil:
		return four, nil
	case errors.Is(fourErr, ErrNotFound):
		return six, err
	}
	return four, fourErr
}

// PTR returns the names of an address. Names that cannot be a host's are
// left out.
func (r *Resolver) PTR(ctx context.Context, a netip.Addr) (Answer[string], error) {
	name, err := mdns.ReverseAddr(a.Unmap().WithZone("").String())
	if err != nil {
		return Answer[string]{}, &Error{Name: a.String(), Type: "PTR", Kind: ErrNotFound, Reason: "not an address"}
	}
	return lookup(ctx, r, name, mdns.TypePTR, func(rr *mdns.PTR) (string, bool) {
		host := hostName(rr.Ptr)
		return host, host != ""
	})
}

// TLSA returns the certificate associations of a name such as
// _25._tcp.mx.example.org. Those without data are left out.
func (r *Resolver) TLSA(ctx context.Context, name string) (Answer[TLSA], error) {
	return lookup(ctx, r, name, mdns.TypeTLSA, func(rr *mdns.TLSA) (TLSA, bool) {
		data, err := hex.DecodeString(rr.Certificate)
		return TLSA{rr.Usage, rr.Selector, rr.MatchingType, data}, err == nil && len(data) > 0
	})
}

// CNAME returns the alias that a name is; it does not follow it.
func (r *Resolver) CNAME(ctx context.Context, name string) (Answer[string], error) {
	return lookup(ctx, r, name, mdns.TypeCNAME, func(rr *mdns.CNAME) (string, bool) {
		host := hostName(rr.Target)
		return host, host != ""
	})
}

// NS returns the name servers of a zone; a name inside a zone is not found.
func (r *Resolver) NS(ctx context.Context, zone string) (Answer[string], error) {
	return lookup(ctx, r, zone, mdns.TypeNS, func(rr *mdns.NS) (string, bool) {
		host := hostName(rr.Ns)
		return host, host != ""
	})
}

// SRV returns the servers of a service name such as _imaps._tcp.example.org.
func (r *Resolver) SRV(ctx context.Context, name string) (Answer[SRV], error) {
	return lookup(ctx, r, name, mdns.TypeSRV, func(rr *mdns.SRV) (SRV, bool) {
		host := hostName(rr.Target)
		return SRV{rr.Priority, rr.Weight, rr.Port, host}, host != "" || rr.Target == "."
	})
}

// lookup asks, follows a chain of aliases that the server left to us, and
// reads the records with read, which refuses those that are of no use.
func lookup[R mdns.RR, T any](ctx context.Context, r *Resolver, name string, qtype uint16, read func(R) (T, bool)) (Answer[T], error) {
	fail := func(e *Error) (Answer[T], error) {
		return Answer[T]{}, &Error{
			Name: strings.TrimSuffix(name, "."), Type: mdns.TypeToString[qtype],
			Kind: e.Kind, Reason: e.Reason, Verdict: e.Verdict,
		}
	}
	owner, err := wireName(name)
	if err != nil {
		return fail(&Error{Kind: ErrNotFound, Reason: err.Error()})
	}
	a, err := r.chase(ctx, owner, qtype)
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			return fail(e)
		}
		return Answer[T]{}, err
	}
	found := Answer[T]{Name: strings.TrimSuffix(a.name, "."), Verdict: a.verdict, TTL: a.ttl}
	for _, rr := range a.records {
		typed, ok := rr.(R)
		if !ok {
			continue
		}
		if v, ok := read(typed); ok {
			found.Records = append(found.Records, v)
		}
	}
	if len(found.Records) == 0 {
		reason := ""
		switch {
		case !a.exists:
			reason = "no such name"
		case len(a.records) > 0:
			reason = "no usable record of this type"
		default:
			reason = "no record of this type"
		}
		return fail(&Error{Kind: ErrNotFound, Reason: reason, Verdict: a.verdict})
	}
	return found, nil
}

// chase asks for a name, and on for the end of its aliases when the server
// gave the alias alone, as one that is not recursive does.
func (r *Resolver) chase(ctx context.Context, name string, qtype uint16) (answer, error) {
	key := cacheKey{name, qtype}
	if a, failure, ok := r.cache.get(key); ok {
		if failure != nil {
			return answer{}, failure
		}
		return a, nil
	}
	whole := answer{verdict: Secure, ttl: maxPositive}
	for range maxChain {
		a, err := r.ask(ctx, name, qtype)
		if err != nil {
			var failure *Error
			if errors.As(err, &failure) {
				r.cache.putFailure(key, failure)
			}
			return answer{}, err
		}
		a.verdict = min(a.verdict, whole.verdict)
		a.ttl = min(a.ttl, whole.ttl)
		whole = a
		if len(a.records) > 0 || !a.exists || a.name == name {
			r.cache.put(key, whole)
			return whole, nil
		}
		name = a.name
		if _, err := wireName(name); err != nil {
			return answer{}, &Error{Kind: ErrNotFound, Reason: "alias to " + printable(name), Verdict: a.verdict}
		}
	}
	return answer{}, &Error{Kind: ErrTemporary, Reason: "chain of CNAME records too long"}
}
