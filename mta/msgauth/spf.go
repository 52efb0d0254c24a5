package msgauth

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"roost/mta/dns"

	"blitiri.com.ar/go/spf"
)

// SPF is what a domain says about who may send in its name (RFC 7208).
type SPF struct {
	Result Result // None, Pass, Fail, SoftFail, Neutral, TempError or PermError
	Domain string // whose word it is; empty when there is none to ask
	Reason string // of an error
}

// IPRev is whether an address has a name that leads back to it (RFC 8601
// section 3).
type IPRev struct {
	Result Result // None, Pass, Fail, TempError, or PermError when it has no name
	Name   string // the name that leads back, or the first that does not
	Reason string // of a TempError
}

const (
	// maxNames are the names of an address that are asked for theirs.
	maxNames = 5

	// maxSPFQueries bounds one evaluation. RFC 7208 section 4.6.4 allows ten
	// terms and ten exchangers or names behind each.
	maxSPFQueries = 121
)

// iprev looks an address up, and the names it has.
func iprev(ctx context.Context, r *dns.Resolver, client netip.Addr) IPRev {
	ptr, err := r.PTR(ctx, client)
	switch {
	case errors.Is(err, dns.ErrNotFound):
		return IPRev{Result: PermError}
	case err != nil:
		return IPRev{Result: TempError, Reason: trouble(err)}
	}
	var unsure error
	for _, name := range ptr.Records[:min(len(ptr.Records), maxNames)] {
		back, err := addrs(ctx, r, name, client)
		for _, a := range back {
			if a == client {
				return IPRev{Result: Pass, Name: name}
			}
		}
		if err != nil && !errors.Is(err, dns.ErrNotFound) {
			unsure = err
		}
	}
	if unsure != nil {
		return IPRev{Result: TempError, Name: ptr.Records[0], Reason: trouble(unsure)}
	}
	return IPRev{Result: Fail, Name: ptr.Records[0]}
}

// addrs looks up the addresses of a host that are of the client's family.
func addrs(ctx context.Context, r *dns.Resolver, host string, client netip.Addr) ([]netip.Addr, error) {
	if client.Is4() {
		a, err := r.A(ctx, host)
		return a.Records, err
	}
	a, err := r.AAAA(ctx, host)
	return a.Records, err
}

// checkSPF evaluates both identities; where the reverse-path is null they are
// one (RFC 7208 section 2.4).
func checkSPF(ctx context.Context, r *dns.Resolver, v *Verdict, m Mail) {
	var wait sync.WaitGroup
	hello := v.Hello.Domain
	wait.Go(func() { v.Hello = evaluateSPF(ctx, r, v.Client, hello, "", hello) })
	if !v.Null {
		local := m.From[:max(strings.LastIndexByte(m.From, '@'), 0)]
		v.MailFrom = evaluateSPF(ctx, r, v.Client, hello, local, v.MailFrom.Domain)
	}
	wait.Wait()
	if v.Null {
		v.MailFrom = v.Hello
	}
}

// evaluateSPF is check_host() of RFC 7208 section 4.
func evaluateSPF(ctx context.Context, r *dns.Resolver, client netip.Addr, hello, local, domain string) SPF {
	if domain == "" {
		return SPF{Result: None}
	}
	if hello == "" {
		hello = "unknown"
	}
	resolver := &spfResolver{r: r, client: client, left: maxSPFQueries}
	result, err := spf.CheckHostWithSender(client.AsSlice(), hello, spfLocal(local)+"@"+domain,
		spf.WithContext(ctx), spf.WithResolver(resolver))
	s := SPF{Result: Result(result), Domain: domain}
	if s.Result == TempError || s.Result == PermError {
		s.Reason = spfReason(err)
	}
	if s.Result == PermError && resolver.fault != nil {
		s.Reason = resolver.fault.Error()
	}
	return s
}

// spfLocal makes a local part fit for the macros of a record, which make a
// name to look up of it. The library takes the first "@" for the last.
func spfLocal(s string) string {
	if s == "" {
		return "postmaster" // RFC 7208 section 4.3
	}
	return strings.Map(func(c rune) rune {
		if c <= ' ' || c > '~' || strings.ContainsRune(`"(),:;<>@[\]`, c) {
			return '-'
		}
		return c
	}, s)
}

func spfReason(err error) string {
	var d *net.DNSError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &d):
		return d.Err
	case errors.Is(err, spf.ErrLookupLimitReached):
		return "it takes more than 10 look-ups"
	case errors.Is(err, spf.ErrVoidLookupLimitReached):
		return "more than 2 of its look-ups find nothing"
	case errors.Is(err, spf.ErrMultipleRecords):
		return "there is more than one record"
	case errors.Is(err, spf.ErrNoResult):
		return "a domain that it refers to has no record"
	}
	return err.Error()
}

// spfResolver answers the library's questions, which tells failures apart by
// the fields of a *net.DNSError.
type spfResolver struct {
	r      *dns.Resolver
	client netip.Addr
	left   int   // queries
	fault  error // what is wrong with a record
}

func (s *spfResolver) spend(name string) error {
	if s.left--; s.left < 0 {
		return &net.DNSError{Err: "it takes too many queries", Name: name, IsTemporary: true}
	}
	return nil
}

func spfError(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, dns.ErrNotFound), errors.Is(err, dns.ErrNullMX):
		return &net.DNSError{Err: err.Error(), Name: name, IsNotFound: true}
	}
	return &net.DNSError{Err: trouble(err), Name: name, IsTemporary: true}
}

func (s *spfResolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if err := s.spend(name); err != nil {
		return nil, err
	}
	a, err := s.r.TXT(ctx, name)
	for i, text := range a.Records {
		if !isSPFRecord(text) {
			continue
		}
		if fault := checkSPFRecord(text); fault != nil {
			// The library reads no further than to the term that matches.
			s.fault = fault
			a.Records = slices.Clone(a.Records)
			a.Records[i] = brokenSPF
		}
	}
	return a.Records, spfError(name, err)
}

// brokenSPF is a record that the library takes for a broken one at once.
const brokenSPF = "v=spf1 broken"

func (s *spfResolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	if err := s.spend(name); err != nil {
		return nil, err
	}
	a, err := s.r.MX(ctx, name)
	var list []*net.MX
	for _, mx := range a.Records {
		list = append(list, &net.MX{Host: mx.Host, Pref: mx.Preference})
	}
	return list, spfError(name, err)
}

// LookupIPAddr leaves IPv6 out where the client is IPv4: nothing asks for it.
// An IPv6 client's exists asks for IPv4 (RFC 7208 section 5.7).
func (s *spfResolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	if err := s.spend(host); err != nil {
		return nil, err
	}
	look := s.r.Addrs
	if s.client.Is4() {
		look = s.r.A
	}
	a, err := look(ctx, host)
	var list []net.IPAddr
	for _, ip := range a.Records {
		list = append(list, net.IPAddr{IP: ip.AsSlice()})
	}
	return list, spfError(host, err)
}

func (s *spfResolver) LookupAddr(ctx context.Context, _ string) ([]string, error) {
	if err := s.spend(s.client.String()); err != nil {
		return nil, err
	}
	a, err := s.r.PTR(ctx, s.client)
	return a.Records, spfError(s.client.String(), err)
}
