// Package records knows the DNS that a mail domain needs: which records, what is in
// them, and one sentence on why. Every kind of record is one value in kinds; the
// command line, the panel, the published zone and the watch follow from that list.
//
// It also looks at what is there (Check), and at what else the world must grant a mail
// server (CheckHost): a name for its address, port 25, and a place on no block list.
//
// It refuses to read the store: what it needs to know arrives in a Setup, so that it
// can be asked "what if". It refuses to change anybody's DNS.
package records

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Setup is what the records of one domain depend on. Names are in lower-case A-labels
// without a trailing dot.
type Setup struct {
	Domain    string       // the part of an address after the "@"
	Host      string       // the name that this server goes by
	Addresses []netip.Addr // where Host is reached; empty when nobody has said
	DKIM      []DKIMKey

	// Relay is the smart host that all mail goes out through, as a name or an address; empty:
	// this server sends itself. SPFInclude is the domain whose SPF record lists the machines
	// of that relay; empty: that of a provider that is known, else the relay's own addresses.
	Relay      string
	SPFInclude string
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
//
// Judge says whether what is published does what the record is for. Required records are
// those without which mail is lost or refused. Stray, where there is one, lists what is looked
// at beside those wanted, though nobody wants it: records without a value.
type kind struct {
	name     string
	why      string
	want     func(Setup) []Record
	judge    judge
	required bool
	stray    func(s Setup, wanted []Record) []Record
}

func kinds() []kind {
	return []kind{
		{name: "address", required: true, judge: judgeAddress, want: address, stray: strayAddress,
			why: "The address of this server; mail, clients and certificates all start from it."},
		{name: "MX", required: true, judge: judgeMX,
			why:  "Mail for the domain is delivered to this server.",
			want: one("", "MX", func(s Setup) string { return fmt.Sprintf("10 %s.", s.Host) })},
		// RFC 7208. The soft fail leaves the verdict on forwarded mail to DKIM and DMARC.
		{name: "SPF", required: true, judge: judgeSPF,
			why:  "Says which machines send mail for the domain, and that nobody else does.",
			want: one("", "TXT", spfOfDomain)},
		// RFC 7208 section 2.3: with an empty reverse-path the HELO name is what is checked.
		{name: "SPF of the host", judge: judgeSPF, want: helo,
			why: "Lets bounces pass SPF: they have no sender, so the name of the server is checked."},
		{name: "DKIM", required: true, judge: judgeDKIM, want: dkim,
			why: "The key with which others check that mail of the domain comes from here unchanged."},
		// RFC 9989.
		{name: "DMARC", judge: judgeDMARC,
			why:  "Asks others to compare the visible sender with SPF and DKIM and to send reports; make it p=quarantine or p=reject once the reports are clean.",
			want: one("_dmarc", "TXT", func(s Setup) string { return "v=DMARC1; p=none; rua=mailto:postmaster@" + s.Domain })},
		// RFC 8461.
		{name: "MTA-STS", judge: judgeMTASTS,
			why:  "Tells senders that a TLS policy can be fetched; the id changes when the policy does.",
			want: one("_mta-sts", "TXT", func(s Setup) string { return "v=STSv1; id=" + NewPolicy(s.Host).ID() })},
		{name: "MTA-STS policy host", judge: judgeAlias, want: alias("mta-sts"),
			why: "The TLS policy is fetched from this name over https."},
		// RFC 8460.
		{name: "TLSRPT", judge: judgeTLSRPT,
			why:  "Asks senders to report when they could not deliver over TLS.",
			want: one("_smtp._tls", "TXT", func(s Setup) string { return "v=TLSRPTv1; rua=mailto:postmaster@" + s.Domain })},
		// RFC 6186 and RFC 8314 section 5.1: implicit TLS is preferred. Nothing is zero, for
		// there are providers that drop a zero priority or weight.
		{name: "SRV imaps", judge: judgeService, want: service("_imaps._tcp", 10, 993),
			why: "Mail programs find where to read mail."},
		{name: "SRV imap", judge: judgeService, want: service("_imap._tcp", 20, 143),
			why: "Mail programs that only know STARTTLS find where to read mail."},
		{name: "SRV submissions", judge: judgeService, want: service("_submissions._tcp", 10, 465),
			why: "Mail programs find where to send mail."},
		{name: "SRV submission", judge: judgeService, want: service("_submission._tcp", 20, 587),
			why: "Mail programs that only know STARTTLS find where to send mail."},
		{name: "autoconfig", judge: judgeAlias, want: alias("autoconfig"),
			why: "Thunderbird and others fetch their settings from this name."},
		{name: "autodiscover", judge: judgeAlias, want: alias("autodiscover"),
			why: "Outlook fetches its settings from this name."},
		{name: "SRV autodiscover", judge: judgeService, want: service("_autodiscover._tcp", 10, 443),
			why: "Outlook finds its settings where the name above does not help."},
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

// strayAddress asks for records of the families in which no address is wanted; for any, when
// Roost knows none of its own.
func strayAddress(s Setup, wanted []Record) []Record {
	if !s.own() {
		return nil
	}
	if len(wanted) == 0 {
		return []Record{{Name: s.Host, Type: "A"}}
	}
	list := []Record{{Name: s.Host, Type: "A"}, {Name: s.Host, Type: "AAAA"}}
	return slices.DeleteFunc(list, func(r Record) bool {
		return slices.ContainsFunc(wanted, func(w Record) bool { return w.Type == r.Type })
	})
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
