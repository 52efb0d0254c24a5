package smtp

import (
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Path is a reverse-path or forward-path of RFC 5321 4.1.2 without its source
// route. The zero value is the null reverse-path "<>"; a Local without a
// Domain is the bare "<postmaster>".
type Path struct {
	Local  string // unquoted; may hold any character that a quoted string may
	Domain string // as the peer spelt it: a domain, or an address literal in brackets
}

// IsNull says whether the path is "<>", which bounces come from.
func (p Path) IsNull() bool { return p == Path{} }

// ASCII says whether the path can be sent without SMTPUTF8.
func (p Path) ASCII() bool { return isASCII(p.Local) && isASCII(p.Domain) }

// String gives the path without angle brackets, its local part quoted where it
// has to be. The null path is "".
func (p Path) String() string {
	if p.Domain == "" && p.Local == "" {
		return ""
	}
	local := p.Local
	if !isDotString(local) {
		var b strings.Builder
		b.WriteByte('"')
		for i := 0; i < len(local); i++ {
			if local[i] == '"' || local[i] == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(local[i])
		}
		b.WriteByte('"')
		local = b.String()
	}
	if p.Domain == "" {
		return local
	}
	return local + "@" + p.Domain
}

// RFC 5321 4.5.3.1.2 and 4.5.3.1.3, in octets. The limit of a path is taken
// with its brackets and without its source route. A local part may be longer than
// the 64 octets that everybody must take: those in which a list or a forwarder has
// put a whole address are (VERP, SRS), and to refuse them would lose their mail.
const (
	maxDomain = 255
	maxPath   = 256
)

// ParsePath reads a mailbox as it stands inside the angle brackets, with UTF-8
// allowed (RFC 6531 3.3). "" is the null path. The error is a Reply.
func ParsePath(s string) (Path, error) {
	p, rest, err := parsePath("<"+s+">", allowNull|allowBare)
	if err != nil {
		return Path{}, err
	}
	if rest != "" {
		return Path{}, badPath("something follows it")
	}
	return p, nil
}

func badPath(why string) Reply {
	return Reply{501, Enhanced{5, 1, 3}, "Bad address syntax: " + why}
}

// allow says which paths without a domain may stand where one is read.
type allow int

const (
	allowNull allow = 1 << iota // "<>"
	allowBare                   // "<postmaster>"
)

// parsePath reads a path in angle brackets from the front of s and gives what
// follows it.
func parsePath(s string, ok allow) (Path, string, error) {
	if !strings.HasPrefix(s, "<") {
		return Path{}, "", badPath("no angle brackets")
	}
	s = s[1:]
	if ok&allowNull != 0 && strings.HasPrefix(s, ">") {
		return Path{}, s[1:], nil
	}
	s, err := skipRoute(s)
	if err != nil {
		return Path{}, "", err
	}
	var p Path
	start := len(s)
	if p.Local, s, err = parseLocal(s); err != nil {
		return Path{}, "", err
	}
	// RFC 5321 4.1.1.3: postmaster is the one address without a domain.
	if ok&allowBare != 0 && strings.HasPrefix(s, ">") && strings.EqualFold(p.Local, "postmaster") {
		return p, s[1:], nil
	}
	if !strings.HasPrefix(s, "@") {
		return Path{}, "", badPath("no domain")
	}
	s = s[1:]
	n := strings.IndexByte(s, '>')
	if n < 0 {
		return Path{}, "", badPath("no closing angle bracket")
	}
	if start-len(s)+n > maxPath-2 {
		return Path{}, "", badPath("longer than 256 octets")
	}
	p.Domain = s[:n]
	if !ValidDomain(p.Domain) && !validLiteral(p.Domain) {
		return Path{}, "", Reply{501, Enhanced{5, 1, 2}, "Bad address syntax: not a domain"}
	}
	return p, s[n+1:], nil
}

// skipRoute drops a source route, "@a.example,@b.example:" (RFC 5321 4.1.2 and
// appendix C: must be accepted, should be ignored).
func skipRoute(s string) (string, error) {
	if !strings.HasPrefix(s, "@") {
		return s, nil
	}
	route, rest, ok := strings.Cut(s, ":")
	if !ok || len(route) > maxPath {
		return "", badPath("a source route without an end")
	}
	for hop := range strings.SplitSeq(route, ",") {
		domain, ok := strings.CutPrefix(hop, "@")
		if !ok || !ValidDomain(domain) {
			return "", badPath("a source route that is none")
		}
	}
	return rest, nil
}

func parseLocal(s string) (local, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		local, rest, err = parseQuoted(s[1:])
	} else {
		n := strings.IndexAny(s, "@>")
		if n < 0 {
			n = len(s)
		}
		local, rest = s[:n], s[n:]
		if !isDotString(local) {
			err = badPath("not a local part")
		}
	}
	if err == nil && !utf8.ValidString(local) {
		err = badPath("not UTF-8")
	}
	return local, rest, err
}

func parseQuoted(s string) (local, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], nil
		case c == '\\':
			i++
			if i == len(s) || s[i] < ' ' || s[i] > '~' {
				return "", "", badPath("a bad quoted pair")
			}
			b.WriteByte(s[i])
		case c < ' ' || c == 0x7f:
			return "", "", badPath("a control character")
		default:
			b.WriteByte(c)
		}
	}
	return "", "", badPath("a quoted local part without an end")
}

// isDotString tells the Dot-string of RFC 5321 4.1.2, with UTF-8 as in RFC
// 6531 3.3.
func isDotString(s string) bool {
	dot := true
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '.' {
			if dot {
				return false
			}
			dot = true
			continue
		}
		dot = false
		if !isAtext(c) {
			return false
		}
	}
	return !dot
}

func isAtext(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c >= 0x80:
		return true
	}
	return strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// ValidDomain tells the Domain of RFC 5321 4.1.2, of A-labels or U-labels, at
// most 255 octets, 63 a label. Underscores are let through, as names of real
// hosts have them. IDNA is the caller's matter.
func ValidDomain(s string) bool {
	if s == "" || len(s) > maxDomain || !utf8.ValidString(s) {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			c := label[i]
			switch {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
			case c == '-', c == '_', c >= 0x80:
			default:
				return false
			}
		}
	}
	return true
}

// validLiteral tells an address literal of RFC 5321 4.1.3. A General-address-
// literal is none: no tag but IPv6 was ever registered.
func validLiteral(s string) bool {
	s, ok := strings.CutPrefix(s, "[")
	if !ok {
		return false
	}
	if s, ok = strings.CutSuffix(s, "]"); !ok {
		return false
	}
	if len(s) > 5 && strings.EqualFold(s[:5], "IPv6:") {
		ip, err := netip.ParseAddr(s[5:])
		return err == nil && ip.Is6() && ip.Zone() == ""
	}
	ip, err := netip.ParseAddr(s)
	return err == nil && ip.Is4()
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
