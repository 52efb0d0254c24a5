package msgauth

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// isSPFRecord says whether a TXT record is one of SPF (RFC 7208 section 4.5).
func isSPFRecord(text string) bool {
	version, _, _ := strings.Cut(text, " ")
	return strings.EqualFold(version, "v=spf1")
}

// checkSPFRecord holds a record to the grammar of RFC 7208 section 12. Any error
// anywhere in it spoils all of it (section 4.6), also behind the term that
// matches, where the evaluation never comes.
func checkSPFRecord(record string) error {
	redirect, exp := false, false
	for i, term := range strings.Split(record, " ") {
		if i == 0 || term == "" {
			continue
		}
		if strings.ContainsFunc(term, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return errors.New("something is not printable ASCII")
		}
		name, value, modifier := strings.Cut(term, "=")
		if !modifier || !isModifierName(name) {
			if err := checkMechanism(term); err != nil {
				return fmt.Errorf("%w: %s", err, printable(term, maxShownTerm))
			}
			continue
		}
		var err error
		switch strings.ToLower(name) {
		case "redirect":
			if err = checkDomainSpec(value); err == nil && redirect {
				err = errors.New("a second redirect")
			}
			redirect = true
		case "exp":
			if err = checkDomainSpec(value); err == nil && exp {
				err = errors.New("a second exp")
			}
			exp = true
		default:
			_, err = checkMacros(value)
		}
		if err != nil {
			return fmt.Errorf("%w: %s", err, printable(term, maxShownTerm))
		}
	}
	return nil
}

// maxShownTerm bounds what is told of a term that is wrong, in octets.
const maxShownTerm = 60

// isModifierName: name = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." )
func isModifierName(s string) bool {
	for i, c := range []byte(s) {
		if !isLetter(c) && (i == 0 || !isDigit(c) && c != '-' && c != '_' && c != '.') {
			return false
		}
	}
	return s != ""
}

// checkMechanism checks a directive: a mechanism with its qualifier.
func checkMechanism(term string) error {
	term = strings.TrimLeft(term[:1], "+-?~") + term[1:]
	end := strings.IndexAny(term, ":/")
	if end < 0 {
		end = len(term)
	}
	name, rest := strings.ToLower(term[:end]), term[end:]
	value, given := strings.CutPrefix(rest, ":")
	switch name {
	case "all":
		if rest != "" {
			return errors.New("all with a value")
		}
	case "include", "exists":
		return checkDomainSpec(value)
	case "ptr":
		if given || rest != "" {
			return checkDomainSpec(strings.TrimPrefix(rest, ":"))
		}
	case "a", "mx":
		rest, err := cutPrefixLengths(rest)
		if err != nil {
			return err
		}
		if value, given := strings.CutPrefix(rest, ":"); given {
			return checkDomainSpec(value)
		} else if rest != "" {
			return errors.New("no prefix length")
		}
	case "ip4", "ip6":
		return checkNetwork(value, name == "ip4")
	default:
		return errors.New("an unknown mechanism")
	}
	return nil
}

// cutPrefixLengths takes what may stand behind the domain of a and mx off:
// "/24", "//64", or "/24//64".
func cutPrefixLengths(s string) (string, error) {
	if i := strings.LastIndex(s, "//"); i >= 0 && isNumber(s[i+2:]) {
		if !isPrefixLength(s[i+2:], 128) {
			return s, errors.New("no prefix length of IPv6")
		}
		s = s[:i]
	}
	if i := strings.LastIndexByte(s, '/'); i >= 0 && isNumber(s[i+1:]) {
		if !isPrefixLength(s[i+1:], 32) {
			return s, errors.New("no prefix length of IPv4")
		}
		s = s[:i]
	}
	return s, nil
}

func isNumber(s string) bool {
	for _, c := range []byte(s) {
		if !isDigit(c) {
			return false
		}
	}
	return s != ""
}

func isPrefixLength(s string, most int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && isNumber(s) && n <= most && (s == "0" || s[0] != '0')
}

func checkNetwork(s string, four bool) error {
	addr, length, cut := strings.Cut(s, "/")
	most := 128
	if four {
		most = 32
	}
	if cut && !isPrefixLength(length, most) {
		return errors.New("no prefix length")
	}
	if a, err := netip.ParseAddr(addr); err != nil || a.Is4() != four || a.Zone() != "" {
		return errors.New("no address")
	}
	return nil
}

// checkDomainSpec: macro-string, then "." toplabel [ "." ] or a macro.
func checkDomainSpec(s string) error {
	macro, err := checkMacros(s)
	if err != nil {
		return err
	}
	if macro {
		return nil
	}
	s = strings.TrimSuffix(s, ".")
	dot := strings.LastIndexByte(s, '.')
	if dot < 0 || !isTopLabel(s[dot+1:]) {
		return errors.New("no domain")
	}
	return nil
}

// isTopLabel: letters, digits and hyphens, not at the ends and not digits alone.
func isTopLabel(s string) bool {
	digits := true
	for i, c := range []byte(s) {
		switch {
		case isDigit(c):
		case isLetter(c), c == '-' && i > 0 && i < len(s)-1:
			digits = false
		default:
			return false
		}
	}
	return !digits
}

// checkMacros checks a macro-string, and says whether it ends in a macro that
// is replaced by something (RFC 7208 section 7.1).
func checkMacros(s string) (last bool, err error) {
	for s != "" {
		if last = s[0] == '%'; !last {
			s = s[1:]
			continue
		}
		switch {
		case len(s) < 2:
			return false, errors.New("a lone %")
		case strings.IndexByte("%_-", s[1]) >= 0:
			s = s[2:]
			continue
		case s[1] != '{':
			return false, errors.New("a lone %")
		}
		body, rest, closed := strings.Cut(s[2:], "}")
		if !closed || !isMacro(body) {
			return false, errors.New("no macro")
		}
		s = rest
	}
	return last, nil
}

// isMacro: macro-letter *DIGIT [ "r" ] *delimiter. The letters c, r and t are
// for explanations, which are not in a record.
func isMacro(s string) bool {
	if s == "" || strings.IndexByte("slodiphv", s[0]|0x20) < 0 || !isLetter(s[0]) {
		return false
	}
	rest := strings.TrimLeft(s[1:], "0123456789")
	if digits := s[1 : len(s)-len(rest)]; digits != "" {
		if n, err := strconv.Atoi(digits); err != nil || n == 0 || n > 127 {
			return false
		}
	}
	if rest != "" && rest[0]|0x20 == 'r' {
		rest = rest[1:]
	}
	return strings.Trim(rest, ".-+,/_=") == ""
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
