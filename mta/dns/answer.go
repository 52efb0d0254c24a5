package dns

import (
	"errors"
	"fmt"
	"strings"
	"time"

	mdns "github.com/miekg/dns"
)

const (
	// maxRecords bounds what one answer may hold of the type asked for. A
	// domain needs a handful; some have a hundred TXT records.
	maxRecords = 200

	// maxChain bounds a chain of CNAME records.
	maxChain = 10
)

// answer is what one server said to one question.
type answer struct {
	name    string    // where the CNAME chain in this answer ended, with its final dot
	records []mdns.RR // of the type asked for, owned by name
	exists  bool      // false: NXDOMAIN
	verdict Verdict
	ttl     time.Duration // how long this may be kept; 0 when it may not
}

// readAnswer picks out of m what was asked for, following CNAMEs.
func readAnswer(m *mdns.Msg, name string, qtype uint16) (answer, error) {
	a := answer{name: strings.ToLower(name), exists: m.Rcode != mdns.RcodeNameError}
	ttl := uint32(1<<32 - 1)
	for links := 0; ; links++ {
		if links > maxChain {
			return answer{}, fmt.Errorf("more than %d CNAME records in a chain", maxChain)
		}
		next := ""
		for _, rr := range m.Answer {
			h := rr.Header()
			if h.Class != mdns.ClassINET || !strings.EqualFold(h.Name, a.name) {
				continue
			}
			if h.Rrtype == qtype {
				if len(a.records) == maxRecords {
					return answer{}, fmt.Errorf("more than %d records in one answer", maxRecords)
				}
				a.records = append(a.records, rr)
				ttl = min(ttl, h.Ttl)
			} else if c, ok := rr.(*mdns.CNAME); ok {
				next = strings.ToLower(c.Target)
				ttl = min(ttl, h.Ttl)
			}
		}
		if len(a.records) > 0 || next == "" {
			break
		}
		a.name = next
	}
	switch {
	case len(a.records) > 0:
		a.ttl = min(time.Duration(ttl)*time.Second, maxPositive)
	default:
		a.ttl = min(negativeTTL(m), time.Duration(ttl)*time.Second, maxNegative)
	}
	return a, nil
}

// negativeTTL is how long a denial may be kept: the smaller of the SOA
// record's TTL and its last field (RFC 2308 section 5); without a SOA record
// not at all.
func negativeTTL(m *mdns.Msg) time.Duration {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*mdns.SOA); ok {
			return time.Duration(min(soa.Minttl, soa.Hdr.Ttl)) * time.Second
		}
	}
	return 0
}

// unescape turns the library's presentation form of a character string,
// where a byte may be written \DDD or \c, into the bytes themselves.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		if i+3 < len(s) && digit(s[i+1]) && digit(s[i+2]) && digit(s[i+3]) {
			b = append(b, byte(int(s[i+1]-'0')*100+int(s[i+2]-'0')*10+int(s[i+3]-'0')))
			i += 3
			continue
		}
		b = append(b, s[i+1])
		i++
	}
	return string(b)
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

var errName = errors.New("not a domain name")

// wireName checks a name to look up and gives it its final dot. Names are in
// A-label form; an underscore is allowed anywhere.
func wireName(name string) (string, error) {
	name = strings.TrimSuffix(name, ".")
	if !usable(name) {
		return "", errName
	}
	return strings.ToLower(name) + ".", nil
}

// hostName turns a name from a record's data into what we hand out: lower
// case, no final dot; "" when it cannot be the name of a host.
func hostName(s string) string {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if !usable(s) {
		return ""
	}
	return s
}

// usable reports whether s, without a final dot, fits RFC 1035 section 2.3.4
// in size and holds only letters, digits, hyphens and underscores.
func usable(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if !digit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}
