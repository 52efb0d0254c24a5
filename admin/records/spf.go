package records

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"blitiri.com.ar/go/spf"

	"roost/mta/dns"
)

const (
	spfVersion = "v=spf1"
	// maxIncludes is how many records are followed to find one (RFC 7208 section 4.6.4).
	maxIncludes = 10
)

// isSPF reports whether a TXT record is an SPF record (RFC 7208 section 4.5).
func isSPF(text string) bool {
	version, _, _ := strings.Cut(text, " ")
	return strings.EqualFold(version, spfVersion)
}

// term is a mechanism or a modifier of an SPF record (RFC 7208 section 4.6.1), such as
// "-all", "include:example.org" or "redirect=example.org".
type term struct {
	qualifier string // "+", "-", "~", "?" or nothing
	name      string // lower case
	rest      string // with its ":", "/" or "="
}

// known reports whether the term is one of RFC 7208, or a modifier of any name, which is
// ignored (section 6).
func (t term) known() bool {
	if strings.HasPrefix(t.rest, "=") {
		return true
	}
	return slices.Contains([]string{"all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"}, t.name)
}

func (t term) String() string { return t.qualifier + t.name + t.rest }

// domain is the argument of include and redirect; empty for others.
func (t term) domain() string {
	if t.name == "include" && strings.HasPrefix(t.rest, ":") || t.name == "redirect" && strings.HasPrefix(t.rest, "=") {
		return strings.ToLower(strings.TrimSuffix(t.rest[1:], "."))
	}
	return ""
}

// terms reads an SPF record; what makes no sense is a term too. Those beyond what a record
// of any use can hold are left out.
func terms(text string) []term {
	const most = 200
	_, rest, _ := strings.Cut(text, " ")
	var list []term
	for word := range strings.FieldsSeq(rest) {
		if len(list) == most {
			break
		}
		var t term
		if strings.IndexByte("+-~?", word[0]) >= 0 {
			t.qualifier, word = word[:1], word[1:]
		}
		end := strings.IndexAny(word, ":/=")
		if end < 0 {
			end = len(word)
		}
		t.name, t.rest = strings.ToLower(word[:end]), word[end:]
		list = append(list, t)
	}
	return list
}

// permits reports whether the record lets everybody send.
func permits(list []term) bool {
	return slices.ContainsFunc(list, func(t term) bool { return t.name == "all" && (t.qualifier == "" || t.qualifier == "+") })
}

// merge makes one SPF record that allows what the given ones allow, and the terms in need;
// what makes no sense is left out.
// Others are softly failed, unless a single record said something else of them.
func merge(texts []string, need []string) string {
	words := append([]string{spfVersion}, need...)
	end := "~all"
	for _, text := range texts {
		for _, t := range terms(text) {
			word := t.String()
			switch {
			case t.name == "all":
				if len(texts) == 1 && !permits([]term{t}) {
					end = word
				}
				continue
			case t.name == "redirect" && t.domain() != "":
				// A redirect is not looked at beside "all" (RFC 7208 section 6.1).
				word = "include:" + t.domain()
			case t.name == "exp", !t.known():
				continue
			}
			if !slices.ContainsFunc(words, func(w string) bool {
				return strings.EqualFold(strings.TrimPrefix(w, "+"), strings.TrimPrefix(word, "+"))
			}) {
				words = append(words, word)
			}
		}
	}
	return strings.Join(append(words, end), " ")
}

// senders are the terms that a domain's SPF record needs.
func (s Setup) senders() []string {
	switch {
	case !s.relayed():
		return []string{"mx"}
	case s.include() != "":
		return []string{"mx", "include:" + s.include()}
	}
	if ip, err := netip.ParseAddr(s.Relay); err == nil {
		if ip = ip.Unmap(); ip.Is4() {
			return []string{"mx", "ip4:" + ip.String()}
		}
		return []string{"mx", "ip6:" + ip.String()}
	}
	return []string{"mx", "a:" + s.Relay}
}

func spfOfDomain(s Setup) string { return merge(nil, s.senders()) }

// judgeSPF takes any record that lets those through who send for the domain; for the host's
// own record that is always this server.
func judgeSPF(q question) verdict {
	have := q.have()
	if have.err != nil {
		return have.trouble()
	}
	need := []string{"a"}
	if q.want.Name == q.Domain {
		need = q.senders()
	}
	list := slices.DeleteFunc(slices.Clone(have.values), func(t string) bool { return !isSPF(t) })
	switch len(list) {
	case 0:
		return absent(q, have, "n SPF record; it would begin with "+spfVersion)
	case 1:
	default:
		// RFC 7208 section 4.5: permerror.
		v := have.verdict(Conflicting, fmt.Sprintf("There are %d SPF records, and so others use none.", len(list)), "Replace them by this one.")
		v.change = merge(list, need)
		return v
	}
	have.values = list
	if strings.EqualFold(strings.Join(strings.Fields(list[0]), " "), q.want.Value) {
		v := found(have, "%s", q.spfOfUs())
		if q.trySPF(have, list[0], need).state == Wrong {
			v.says, v.advice = "The record is there.", "It takes effect when the other records lead here."
		}
		return v
	}
	if permits(terms(list[0])) {
		v := have.verdict(Wrong, "The SPF record lets everybody send for the domain (+all).", "Replace it by this one.")
		v.change = merge(list, need)
		return v
	}
	return q.trySPF(have, list[0], need)
}

func (q question) spfOfUs() string {
	if q.want.Name == q.Domain && q.relayed() {
		return "The relay may send for the domain."
	}
	return "This server may send for the domain."
}

// trySPF asks what others would conclude about each sender.
func (q question) trySPF(have answer, text string, need []string) verdict {
	mended := func(says string) verdict {
		v := have.verdict(Wrong, says, "Replace it by this record, in which the rest is as it was.")
		v.change = merge([]string{text}, need)
		return v
	}
	senders, who := q.here(), "this server"
	if q.want.Name == q.Domain && q.relayed() {
		who = "the relay " + q.Relay
		if q.include() != "" && q.includes(text, q.include(), new(int)) {
			return found(have, "The relay may send for the domain.")
		}
		senders = q.relayAddresses()
	}
	for _, ip := range senders {
		result, err := spf.CheckHostWithSender(net.IP(ip.AsSlice()), q.Host, "postmaster@"+q.want.Name,
			spf.WithContext(q.Context), spf.WithResolver(spfResolver{q.source}))
		switch result {
		case spf.Pass:
		case spf.TempError:
			return answer{err: err, source: have.source}.trouble()
		case spf.PermError:
			v := mended("Others cannot use the SPF record: " + spfError(text, err) + ".")
			v.advice = "Replace it by this record, and take out of it what is not needed any more."
			return v
		default:
			return mended(fmt.Sprintf("The SPF record does not allow %s (%s): the result is %s.", who, ip, result))
		}
	}
	if len(senders) == 0 {
		if who != "this server" {
			return mended("The SPF record does not name the relay " + q.Relay + ".")
		}
		return have.verdict(Unknown, "There is an SPF record, but this server has no known address to try it with.", "Tell Roost its address: "+setAddress+".")
	}
	return found(have, "%s", q.spfOfUs())
}

// spfError says why a record is of no use.
func spfError(text string, err error) string {
	list := terms(text)
	odd := slices.IndexFunc(list, func(t term) bool { return !t.known() })
	switch {
	case errors.Is(err, spf.ErrUnknownField) && odd >= 0:
		return fmt.Sprintf("%q is nothing that SPF has", brief(list[odd].String()))
	case errors.Is(err, spf.ErrLookupLimitReached):
		return "it takes more than 10 look-ups" // RFC 7208 section 4.6.4
	case errors.Is(err, spf.ErrVoidLookupLimitReached):
		return "too many of its names do not exist"
	case errors.Is(err, spf.ErrNoResult):
		return "a domain that it includes has no SPF record"
	case err == nil:
		return "it has a mistake"
	}
	return brief(err.Error())
}

// includes reports whether a record, or one that it includes, includes domain.
func (q question) includes(text, domain string, seen *int) bool {
	for _, t := range terms(text) {
		next := t.domain()
		if next == "" || *seen >= maxIncludes {
			continue
		}
		if next == domain {
			return true
		}
		*seen++
		for _, record := range q.lookup(q, next, "TXT").values {
			if isSPF(record) && q.includes(record, domain, seen) {
				return true
			}
		}
	}
	return false
}

func (q question) relayAddresses() []netip.Addr {
	if ip, err := netip.ParseAddr(q.Relay); err == nil {
		return []netip.Addr{ip.Unmap()}
	}
	var list []netip.Addr
	for _, text := range q.addresses(q, q.Relay).values {
		if ip, err := netip.ParseAddr(text); err == nil {
			list = append(list, ip)
		}
	}
	return list
}

// spfResolver is a source as the SPF library asks it: it tells a name that is not there from
// trouble by the error's type alone.
type spfResolver struct{ source }

func (r spfResolver) get(ctx context.Context, name, typ string) ([]string, error) {
	name = strings.TrimSuffix(name, ".")
	have := r.lookup(ctx, name, typ)
	if have.err != nil {
		return nil, &net.DNSError{Err: have.err.Error(), Name: name, IsTemporary: true}
	}
	if len(have.values) == 0 {
		return nil, &net.DNSError{Err: "not found", Name: name, IsNotFound: true}
	}
	return have.values, nil
}

func (r spfResolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return r.get(ctx, name, "TXT")
}

func (r spfResolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	values, err := r.get(ctx, name, "MX")
	var list []*net.MX
	for _, v := range values {
		if _, host, _ := strings.Cut(v, " "); host != "." {
			list = append(list, &net.MX{Host: host})
		}
	}
	return list, err
}

func (r spfResolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	have := r.addresses(ctx, strings.TrimSuffix(host, "."))
	if have.err != nil {
		return nil, &net.DNSError{Err: have.err.Error(), Name: host, IsTemporary: true}
	}
	if len(have.values) == 0 {
		return nil, &net.DNSError{Err: "not found", Name: host, IsNotFound: true}
	}
	var list []net.IPAddr
	for _, v := range have.values {
		list = append(list, net.IPAddr{IP: net.ParseIP(v)})
	}
	return list, nil
}

func (r spfResolver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, err
	}
	found, err := r.recursive.PTR(ctx, ip)
	if err != nil {
		return nil, &net.DNSError{Err: err.Error(), Name: addr, IsNotFound: errors.Is(err, dns.ErrNotFound), IsTemporary: !errors.Is(err, dns.ErrNotFound)}
	}
	return found.Records, nil
}
