package admin

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"roost/admin/records"
)

type dnsArgs struct {
	Domain   string `json:"domain" arg:"" help:"One of the domains of this server."`
	Zone     bool   `json:"-" xor:"zone" help:"Print a zone file."`
	Check    bool   `json:"check,omitempty" xor:"zone" help:"Look which of the records are there, and say what to do about the others. Fails while one without which mail is lost or refused is not as it should be."`
	Resolver string `json:"resolver,omitempty" placeholder:"IP:PORT" help:"The resolver to check with, instead of the one of this machine."`
}

// Records are the DNS records of a domain, with what a check found where there was one.
type Records []records.Finding

// Text is a table for reading, or a zone file, or the findings of a check.
func (r Records) Text(w io.Writer, args any) error {
	if a, ok := args.(*dnsArgs); ok && a.Check {
		return records.WriteFindings(w, r)
	}
	var list []records.Record
	for _, f := range r {
		list = append(list, f.Record)
	}
	if a, ok := args.(*dnsArgs); ok && a.Zone {
		return records.WriteZone(w, list)
	}
	return records.WriteTable(w, list)
}

// Failure makes a check fail that has found something which mail cannot do without.
func (r Records) Failure() error { return failure(r) }

func failure(list []records.Finding) error {
	var bad []string
	for _, f := range list {
		if f.Bad() && (len(bad) == 0 || bad[len(bad)-1] != f.Kind) {
			bad = append(bad, f.Kind)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return errorf(Failed, "not as it should be: %s", strings.Join(bad, ", "))
}

func dns(ctx context.Context, o *Office, a *dnsArgs) (Records, error) {
	if a.Check {
		return o.CheckDomain(ctx, a.Domain, a.Resolver)
	}
	setup, err := o.Setup(a.Domain)
	if err != nil {
		return nil, err
	}
	var list Records
	for _, r := range records.Want(setup) {
		list = append(list, records.Finding{Record: r})
	}
	return list, nil
}

// Setup is what the records of one of our domains depend on, as things stand; with an empty
// domain only what concerns the host.
func (o *Office) Setup(domain string) (records.Setup, error) {
	var setup records.Setup
	s, err := o.Store.Settings()
	if err != nil {
		return setup, err
	}
	setup.Host = o.Hostname()
	for _, text := range append(append([]string{}, s.IPv4...), s.IPv6...) {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return setup, fmt.Errorf("setting: %w", err)
		}
		setup.Addresses = append(setup.Addresses, ip)
	}
	if s.Relay != "" {
		relay, err := parseRelay(s.Relay)
		if err != nil {
			return setup, fmt.Errorf("setting: %w", err)
		}
		setup.Relay, setup.SPFInclude = relay.Hostname(), s.SPFInclude
	}
	if domain == "" {
		return setup, nil
	}
	d, err := o.Store.Domain(domain)
	if err != nil {
		return setup, err
	}
	setup.Domain = d.Name
	for _, k := range d.Keys {
		record, err := k.Record()
		if err != nil {
			return setup, err
		}
		setup.DKIM = append(setup.DKIM, records.DKIMKey{Selector: k.Selector, Record: record})
	}
	return setup, nil
}

// CheckDomain looks, within half a minute, at what the DNS has of the records that a domain
// of ours needs. Resolver is the one to ask as "IP" or "IP:port"; empty: that of o.Checks.
func (o *Office) CheckDomain(ctx context.Context, domain, resolver string) (Records, error) {
	setup, err := o.Setup(domain)
	if err != nil {
		return nil, err
	}
	list, err := records.Check(ctx, setup, o.checks(resolver))
	if err != nil {
		return nil, errorf(Invalid, "%v", err)
	}
	return list, nil
}

func (o *Office) checks(resolver string) records.Options {
	checks := o.Checks
	if resolver != "" {
		checks.Resolver = resolver
	}
	return checks
}
