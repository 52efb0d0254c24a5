// Package records knows the DNS that a mail domain needs: which records, what is in
// them, and one sentence on why. Every kind of record is one value in kinds; the
// command line, the panel, the published zone and the watch follow from that list.
//
// It refuses to read the store: what it needs to know arrives in a Setup, so that it
// can be asked "what if".
package records

import (
	"fmt"
	"net/netip"
	"strings"
)

// Setup is what the records of one domain depend on. Names are in lower-case A-labels
// without a trailing dot.
type Setup struct {
	Domain    string       // the part of an address after the "@"
	Host      string       // the name that this server goes by
	Addresses []netip.Addr // where Host is reached; empty when nobody has said
	DKIM      []DKIMKey
}

// DKIMKey is a key that mail of the domain is signed with.
type DKIMKey struct {
	Selector string
	Record   string // the text that publishes it (RFC 6376 section 3.6.1)
}

// Record is one record that a domain should have.
type Record struct {
	Kind  string `json:"kind"` // the rule that wants it: "MX", "DKIM", "MTA-STS policy host" …
	Name  string `json:"name"` // without a trailing dot
	Type  string `json:"type"` // "MX", "TXT" …
	Value string `json:"value"`
	Why   string `json:"why"`
}

// A kind of record: what it is for, and what it wants of a domain. Value is in the
// presentation format of RFC 1035, host names in it end in a dot; a TXT value is the
// bare text, however long.
type kind struct {
	name string
	why  string
	want func(Setup) []Record
}

func kinds() []kind {
	return []kind{
		{"address", "The address of this server; mail, clients and certificates all start from it.", address},
		{"MX", "Mail for the domain is delivered to this server.", one("", "MX", func(s Setup) string {
			return fmt.Sprintf("10 %s.", s.Host)
		})},
		// RFC 7208. The soft fail leaves the verdict on forwarded mail to DKIM and DMARC.
		{"SPF", "Says which machines send mail for the domain: its MX, and nobody else.", one("", "TXT", func(Setup) string {
			return "v=spf1 mx ~all"
		})},
		// RFC 7208 section 2.3: with an empty reverse-path the HELO name is what is checked.
		{"SPF of the host", "Lets bounces pass SPF: they have no sender, so the name of the server is checked.", helo},
		{"DKIM", "The key with which others check that mail of the domain comes from here unchanged.", dkim},
		// RFC 9989.
		{"DMARC", "Asks others to compare the visible sender with SPF and DKIM and to send reports; make it p=quarantine or p=reject once the reports are clean.",
			one("_dmarc", "TXT", func(s Setup) string { return "v=DMARC1; p=none; rua=mailto:postmaster@" + s.Domain })},
		// RFC 8461.
		{"MTA-STS", "Tells senders that a TLS policy can be fetched; the id changes when the policy does.", one("_mta-sts", "TXT", func(s Setup) string {
			return "v=STSv1; id=" + NewPolicy(s.Host).ID()
		})},
		{"MTA-STS policy host", "The TLS policy is fetched from this name over https.", alias("mta-sts")},
		// RFC 8460.
		{"TLSRPT", "Asks senders to report when they could not deliver over TLS.", one("_smtp._tls", "TXT", func(s Setup) string {
			return "v=TLSRPTv1; rua=mailto:postmaster@" + s.Domain
		})},
		// RFC 6186 and RFC 8314 section 5.1: implicit TLS is preferred. Nothing is zero, for
		// there are providers that drop a zero priority or weight.
		{"SRV imaps", "Mail programs find where to read mail.", service("_imaps._tcp", 10, 993)},
		{"SRV imap", "Mail programs that only know STARTTLS find where to read mail.", service("_imap._tcp", 20, 143)},
		{"SRV submissions", "Mail programs find where to send mail.", service("_submissions._tcp", 10, 465)},
		{"SRV submission", "Mail programs that only know STARTTLS find where to send mail.", service("_submission._tcp", 20, 587)},
		{"autoconfig", "Thunderbird and others fetch their settings from this name.", alias("autoconfig")},
		{"autodiscover", "Outlook fetches its settings from this name.", alias("autodiscover")},
	}
}

// Want lists the records that s needs, in the order in which a person would enter them.
func Want(s Setup) []Record {
	var all []Record
	for _, k := range kinds() {
		for _, r := range k.want(s) {
			r.Kind, r.Why = k.name, k.why
			all = append(all, r)
		}
	}
	return all
}

// own tells whether the host's own records belong into the domain's zone.
func (s Setup) own() bool {
	return s.Host == s.Domain || strings.HasSuffix(s.Host, "."+s.Domain)
}

func (s Setup) name(label string) string {
	if label == "" {
		return s.Domain
	}
	return label + "." + s.Domain
}

func one(label, typ string, value func(Setup) string) func(Setup) []Record {
	return func(s Setup) []Record {
		return []Record{{Name: s.name(label), Type: typ, Value: value(s)}}
	}
}

// alias wants nothing where the host has that very name: it needs its addresses there.
func alias(label string) func(Setup) []Record {
	return func(s Setup) []Record {
		if s.Host == s.name(label) {
			return nil
		}
		return []Record{{Name: s.name(label), Type: "CNAME", Value: s.Host + "."}}
	}
}

func service(label string, priority, port int) func(Setup) []Record {
	return one(label, "SRV", func(s Setup) string { return fmt.Sprintf("%d 1 %d %s.", priority, port, s.Host) })
}

func address(s Setup) []Record {
	if !s.own() {
		return nil
	}
	var list []Record
	for _, a := range s.Addresses {
		typ := "A"
		if a = a.Unmap(); a.Is6() {
			typ = "AAAA"
		}
		list = append(list, Record{Name: s.Host, Type: typ, Value: a.WithZone("").String()})
	}
	return list
}

func helo(s Setup) []Record {
	if !s.own() || s.Host == s.Domain {
		return nil
	}
	return []Record{{Name: s.Host, Type: "TXT", Value: "v=spf1 a -all"}}
}

func dkim(s Setup) []Record {
	var list []Record
	for _, k := range s.DKIM {
		list = append(list, Record{Name: s.name(k.Selector + "._domainkey"), Type: "TXT", Value: k.Record})
	}
	return list
}
