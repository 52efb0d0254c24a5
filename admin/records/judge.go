package records

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// question is one record looked at through one source. Everything that judges takes one,
// so that the zone's own servers and the resolver are judged alike.
type question struct {
	context.Context
	Setup
	source
	want Record
}

// have is what is published where the record should be.
func (q question) have() answer { return q.lookup(q, q.want.Name, q.want.Type) }

// judge decides on one record.
type judge func(q question) verdict

const (
	nullMX = "0 ." // RFC 7505
	// setAddress is the way to tell Roost its addresses.
	setAddress = "roost host set NAME --address IP"
)

// judgeAddress is for an address record of the host.
func judgeAddress(q question) verdict {
	switch {
	case len(q.Addresses) == 0:
		return judgeAnyAddress(q)
	case q.want.Value == "":
		return judgeStray(q)
	}
	if ip, err := netip.ParseAddr(q.want.Value); err == nil && !reachable(ip) {
		return verdict{state: Wrong, source: "the setting", says: fmt.Sprintf("%s is an address inside a private network; nobody outside can reach it.", ip),
			advice: "Tell Roost the public address: " + setAddress + ".", found: []string{q.want.Value}}
	}
	have := q.have()
	want := q.want
	switch {
	case have.err != nil:
		return have.trouble()
	case len(have.values) == 0:
		return have.verdict(Missing, fmt.Sprintf("%s has no %s record.", want.Name, want.Type), add)
	case have.owner != want.Name:
		// RFC 5321 section 5.1, RFC 2181 section 10.3.
		return have.verdict(Wrong, fmt.Sprintf("%s is an alias (CNAME) of %s; the name that MX records give must have addresses itself.", want.Name, brief(have.owner)),
			"Replace the CNAME by this record.")
	case !slices.Contains(have.values, want.Value):
		if proxied(have.values) {
			return have.verdict(Wrong, fmt.Sprintf("%s leads to the proxy of Cloudflare, which passes no mail on.", want.Name),
				"Switch the proxy off for this name (\"DNS only\", the grey cloud), so that it leads to the server itself.")
		}
		return have.verdict(Wrong, fmt.Sprintf("%s leads to %s.", want.Name, listing(have.values)),
			"Change the record to this server's address, or tell Roost its new one: "+setAddress+".")
	}
	others := slices.DeleteFunc(slices.Clone(have.values), func(v string) bool { return q.ours(v) })
	if len(others) > 0 {
		return have.verdict(Conflicting, fmt.Sprintf("%s leads to %s too, which is not this server as far as Roost knows.", want.Name, listing(others)),
			"Remove the other address, or tell Roost that it is its own: "+setAddress+".")
	}
	return found(have, "%s leads here.", want.Name)
}

// judgeStray is for an address record of a family in which Roost knows no address of its
// own. There is nothing to say when there is none.
func judgeStray(q question) verdict {
	have := q.have()
	if have.err != nil || len(have.values) == 0 {
		return verdict{}
	}
	return have.verdict(Conflicting, fmt.Sprintf("%s leads to %s too, which is not this server as far as Roost knows.", q.want.Name, listing(have.values)),
		"Remove the record, for many would try it first; or tell Roost that the address is its own: "+setAddress+".")
}

// judgeAnyAddress is for the addresses of the host while Roost knows none of its own.
func judgeAnyAddress(q question) verdict {
	have := q.addresses(q, q.Host)
	switch {
	case have.err != nil:
		return have.trouble()
	case len(have.values) == 0:
		return have.verdict(Missing, fmt.Sprintf("%s has no address.", q.Host), "Add an A record with the public IPv4 address of this server, and an AAAA record if it has an IPv6 address; tell Roost too: "+setAddress+".")
	}
	v := found(have, "%s leads to %s; Roost has not been told its own address and cannot compare.", q.Host, listing(have.values))
	v.advice = "Tell Roost: " + setAddress + "."
	return v
}

// ours reports whether text is an address of this server, as far as Roost has been told.
func (s Setup) ours(text string) bool {
	ip, err := netip.ParseAddr(text)
	return err == nil && slices.ContainsFunc(s.Addresses, func(a netip.Addr) bool { return a.Unmap().WithZone("") == ip.Unmap() })
}

// here are the addresses of this server: those that Roost has been told, else those that
// the host has in the DNS.
func (q question) here() []netip.Addr {
	if len(q.Addresses) > 0 {
		return q.Addresses
	}
	var list []netip.Addr
	for _, text := range q.addresses(q, q.Host).values {
		if ip, err := netip.ParseAddr(text); err == nil {
			list = append(list, ip)
		}
	}
	return list
}

// leadsHere reports whether every address of a host is one of this server.
func (q question) leadsHere(host string) (bool, answer) {
	have := q.addresses(q, host)
	s := Setup{Addresses: q.here()}
	for _, v := range have.values {
		if !s.ours(v) {
			return false, have
		}
	}
	return len(have.values) > 0, have
}

func judgeMX(q question) verdict {
	have := q.have()
	if have.err != nil {
		return have.trouble()
	}
	var us, others, same []string
	for _, v := range have.values {
		_, host, _ := strings.Cut(strings.TrimSuffix(v, "."), " ")
		if host == q.Host {
			us = append(us, host)
		} else if here, _ := q.leadsHere(host); host != "" && here {
			same = append(same, host)
		} else {
			others = append(others, host)
		}
	}
	switch {
	case len(have.values) == 0:
		return have.verdict(Missing, fmt.Sprintf("%s has no MX record, so mail for it is sent to the address of %[1]s itself, if it has one.", q.Domain), add)
	case slices.Equal(have.values, []string{nullMX}):
		return have.verdict(Wrong, "The MX record says that the domain takes no mail at all.", "Replace it by this record.")
	case len(others) > 0 && len(us)+len(same) > 0:
		return have.verdict(Conflicting, fmt.Sprintf("Mail goes here, but also to %s.", listing(others)),
			"Remove the other MX records: what arrives there is not in your mailbox, and a spare exchanger that does not know the people here lets spam in.")
	case len(others) > 0:
		return have.verdict(Wrong, fmt.Sprintf("Mail for %s goes to %s.", q.Domain, listing(others)),
			"Replace the MX records by this one when mail shall come here; what is there now goes on until then.")
	case len(us) == 0:
		v := found(have, "Mail goes to %s, which is this server by another name.", listing(same))
		v.advice = fmt.Sprintf("Better write %s: that name is in the certificate and in the TLS policy.", q.Host)
		return v
	}
	if !q.own() {
		if at := q.addresses(q, q.Host); at.err == nil && len(at.values) == 0 {
			return have.verdict(Wrong, fmt.Sprintf("Mail goes to %s, which has no address.", q.Host), "Give that name the address of this server, in its own zone.")
		}
	}
	return found(have, "Mail goes to %s.", q.Host)
}

// judgeAlias is for a name that shall lead here. A CNAME is one way; addresses of this
// server, or an alias of something that has them, do as well.
func judgeAlias(q question) verdict {
	have := q.have()
	if have.err != nil {
		return have.trouble()
	}
	if slices.Contains(have.values, q.want.Value) {
		return found(have, "%s is an alias of this server.", q.want.Name)
	}
	here, at := q.leadsHere(q.want.Name)
	alias := have.values
	have.values = append(have.values, at.values...)
	switch {
	case here:
		have.source = at.source
		return found(have, "%s leads to this server.", q.want.Name)
	case at.err != nil:
		at.values = alias
		return at.trouble()
	case len(have.values) == 0:
		have.source = at.source
		return have.verdict(Missing, fmt.Sprintf("There is no %s.", q.want.Name), add)
	case len(alias) > 0:
		return have.verdict(Wrong, fmt.Sprintf("%s is an alias of %s.", q.want.Name, brief(strings.TrimSuffix(alias[0], "."))), "Change the alias to this server.")
	case proxied(at.values):
		return have.verdict(Wrong, fmt.Sprintf("%s leads to the proxy of Cloudflare.", q.want.Name), "Switch the proxy off for this name (\"DNS only\", the grey cloud).")
	case len(q.here()) == 0:
		return have.verdict(Unknown, fmt.Sprintf("%s leads to %s; whether that is this server nobody has said.", q.want.Name, listing(at.values)), "Tell Roost its address: "+setAddress+".")
	}
	return have.verdict(Wrong, fmt.Sprintf("%s leads to %s.", q.want.Name, listing(at.values)), "Replace what is there by this record.")
}

func judgeService(q question) verdict {
	have := q.have()
	if have.err != nil {
		return have.trouble()
	}
	want := strings.Fields(q.want.Value)
	var us, others []string
	off := false
	for _, v := range have.values {
		f := strings.Fields(v)
		switch {
		case f[3] == ".":
			off = true
		case f[2] == want[2] && f[3] == want[3]:
			us = append(us, v)
		default:
			others = append(others, strings.TrimSuffix(f[3], ".")+" port "+f[2])
		}
	}
	switch {
	case len(have.values) == 0:
		return have.verdict(Missing, fmt.Sprintf("There is no %s.", q.want.Name), add)
	case len(us) > 0 && (off || len(others) > 0):
		if off {
			others = append(others, "nowhere")
		}
		return have.verdict(Conflicting, fmt.Sprintf("Mail programs are sent here, but also to %s.", listing(others)), "Remove the other records of this name.")
	case len(us) > 0:
		return found(have, "Mail programs are sent here.")
	case off && len(others) == 0:
		return have.verdict(Wrong, "The record says that there is no such service.", "Replace it by this one.")
	}
	return have.verdict(Wrong, fmt.Sprintf("Mail programs are sent to %s.", listing(others)), "Replace what is there by this record.")
}

// proxied reports whether all of these are addresses of Cloudflare's proxy, which are the
// ones that people meet: a switch beside each record turns it on.
func proxied(addresses []string) bool {
	return len(addresses) > 0 && !slices.ContainsFunc(addresses, func(text string) bool {
		ip, err := netip.ParseAddr(text)
		return err != nil || !slices.ContainsFunc(cloudflare(), func(p netip.Prefix) bool { return p.Contains(ip) })
	})
}

// cloudflare lists the networks of the proxy, as its operator publishes them.
func cloudflare() []netip.Prefix {
	var list []netip.Prefix
	for text := range strings.FieldsSeq(`
		173.245.48.0/20 103.21.244.0/22 103.22.200.0/22 103.31.4.0/22 141.101.64.0/18
		108.162.192.0/18 190.93.240.0/20 188.114.96.0/20 197.234.240.0/22 198.41.128.0/17
		162.158.0.0/15 104.16.0.0/13 104.24.0.0/14 172.64.0.0/13 131.0.72.0/22
		2400:cb00::/32 2606:4700::/32 2803:f800::/32 2405:b500::/32 2405:8100::/32
		2a06:98c0::/29 2c0f:f248::/32`) {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// tags reads a list such as "v=DMARC1; p=none" (RFC 6376 section 3.2, RFC 9989 section
// 4.7), names in lower case. Of a name that comes twice the first counts.
func tags(text string) map[string]string {
	m := map[string]string{}
	for part := range strings.SplitSeq(text, ";") {
		name, value, found := strings.Cut(part, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := m[name]; found && !twice {
			m[name] = strings.TrimSpace(value)
		}
	}
	return m
}

// versioned picks the texts that begin with v=VERSION, which have to come first
// (RFC 8461 section 3.1, RFC 8460 section 3, RFC 9989 section 4.7).
func versioned(texts []string, version string) []string {
	var list []string
	for _, text := range texts {
		first, _, _ := strings.Cut(text, ";")
		name, value, _ := strings.Cut(first, "=")
		if strings.EqualFold(strings.TrimSpace(name), "v") && strings.TrimSpace(value) == version {
			list = append(list, text)
		}
	}
	return list
}

// quoted notices the quotes of a zone file in the text itself.
func quoted(texts []string) bool {
	return slices.ContainsFunc(texts, func(t string) bool { return strings.HasPrefix(t, `"`) || strings.HasPrefix(t, `\"`) })
}

// absent is the verdict when none of the texts is of the kind wanted.
func absent(q question, have answer, what string) verdict {
	switch {
	case quoted(have.values):
		return have.verdict(Wrong, "The text has quotes in it: "+brief(have.values[0])+".", "Enter it without quotes; the form adds those that are needed.")
	case len(have.values) == 0:
		return have.verdict(Missing, fmt.Sprintf("There is no TXT record at %s.", q.want.Name), add)
	}
	says := fmt.Sprintf("None of the %d TXT records at %s is a%s.", len(have.values), q.want.Name, what)
	if len(have.values) == 1 {
		says = fmt.Sprintf("The TXT record at %s is not a%s.", q.want.Name, what)
	}
	return have.verdict(Missing, says, "Add it beside what is there.")
}
