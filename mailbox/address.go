package mailbox

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Address is an e-mail address in the one form that the store looks up: local
// part in lower case, in Unicode's form NFC (RFC 6532 3.1) and without quotes,
// domain in lower case A-labels (RFC 5890), joined by "@". The last "@" separates
// the two.
type Address string

// ParseAddress brings a typed or received addr-spec into canonical form. The
// local part may be quoted (RFC 5321 4.1.2) and is at most 64 octets; the
// domain is as for ParseDomain. Errors are ErrInvalid.
func ParseAddress(s string) (Address, error) {
	a, err := ParseTarget(s)
	return a.fold(), err
}

// ParseTarget is ParseAddress for one that may be elsewhere: only the host that
// it belongs to knows whether the case of the local part matters (RFC 5321 2.4),
// so it stays.
func ParseTarget(s string) (Address, error) {
	s = strings.TrimSpace(s)
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at == len(s)-1 {
		return "", faultf(ErrInvalid, "%q is not an e-mail address: write it as name@domain", s)
	}
	domain, err := ParseDomain(s[at+1:])
	if err != nil {
		return "", err
	}
	local := norm.NFC.String(unquote(s[:at]))
	if local == "" || len(local) > 64 || !utf8.ValidString(local) || strings.ContainsFunc(local, isControl) {
		return "", faultf(ErrInvalid, "%q is not an e-mail address: the part before the @ must be 1 to 64 octets without control characters", s)
	}
	if isQuoted(local) || strings.TrimSpace(local) != local {
		return "", faultf(ErrInvalid, "%q is not an address that can be used here: the part before the @ begins or ends with spaces or quotes", s)
	}
	return Address(local + "@" + domain), nil
}

// fold brings the local part into the form by which ours are looked up.
func (a Address) fold() Address {
	local := a.Local()
	for i := range len(local) {
		if c := local[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return Address(norm.NFC.String(strings.ToLower(local)) + string(a[len(local):]))
		}
	}
	return a
}

// ParseDomain brings a domain name into lower-case A-labels without a trailing
// dot. Errors are ErrInvalid.
func ParseDomain(s string) (string, error) {
	s = strings.TrimSuffix(strings.TrimSpace(s), ".")
	d, err := idna.Lookup.ToASCII(s)
	if err != nil || !utf8.ValidString(s) || d == "" || len(d) > 253 || strings.ContainsAny(d, " /\\:@[]\"<>") {
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

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func isQuoted(s string) bool { return len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' }

// unquote undoes RFC 5321's Quoted-string, where there is one.
func unquote(s string) string {
	if !isQuoted(s) {
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
