package mailbox

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Address is an e-mail address in the one form that the store looks up:
// local part in lower case and without quotes, domain in lower case A-labels
// (RFC 5890), joined by "@". The last "@" separates the two.
type Address string

// ParseAddress brings a typed or received addr-spec into canonical form. The
// local part may be quoted (RFC 5321 4.1.2) and is at most 64 octets; the
// domain is as for ParseDomain. Errors are ErrInvalid.
func ParseAddress(s string) (Address, error) {
	s = strings.TrimSpace(s)
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at == len(s)-1 {
		return "", faultf(ErrInvalid, "%q is not an e-mail address: write it as name@domain", s)
	}
	domain, err := ParseDomain(s[at+1:])
	if err != nil {
		return "", err
	}
	local := unquote(s[:at])
	if local == "" || len(local) > 64 || !utf8.ValidString(local) || strings.ContainsFunc(local, isControl) {
		return "", faultf(ErrInvalid, "%q is not an e-mail address: the part before the @ must be 1 to 64 octets without control characters", s)
	}
	return Address(strings.ToLower(local) + "@" + domain), nil
}

// ParseDomain brings a domain name into lower-case A-labels without a trailing
// dot. Errors are ErrInvalid.
func ParseDomain(s string) (string, error) {
	s = strings.TrimSuffix(strings.TrimSpace(s), ".")
	d, err := idna.Lookup.ToASCII(s)
	if err != nil || d == "" || len(d) > 253 || strings.ContainsAny(d, " /\\:@[]\"<>") {
		return "", faultf(ErrInvalid, "%q is not a domain name", s)
	}
	for label := range strings.SplitSeq(d, ".") {
		if label == "" || len(label) > 63 {
			return "", faultf(ErrInvalid, "%q is not a domain name: each part between the dots must have 1 to 63 characters", s)
		}
	}
	return strings.ToLower(d), nil
}

// Local is the part before the "@", unquoted and in lower case.
func (a Address) Local() string {
	return string(a[:max(0, strings.LastIndexByte(string(a), '@'))])
}

// Domain is the part after the "@", in lower-case A-labels.
func (a Address) Domain() string {
	return string(a[strings.LastIndexByte(string(a), '@')+1:])
}

// Base is the address without its subaddress (RFC 5233): name+detail@domain
// becomes name@domain.
func (a Address) Base() Address {
	local := a.Local()
	if i := strings.IndexByte(local, '+'); i > 0 {
		return Address(local[:i] + "@" + a.Domain())
	}
	return a
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// unquote undoes RFC 5321's Quoted-string, where there is one.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	var b strings.Builder
	for s = s[1 : len(s)-1]; s != ""; s = s[1:] {
		if s[0] == '\\' && len(s) > 1 {
			s = s[1:]
		}
		b.WriteByte(s[0])
	}
	return b.String()
}
