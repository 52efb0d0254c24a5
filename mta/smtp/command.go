package smtp

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Body is the BODY parameter of MAIL (RFC 6152).
type Body string

// The values of BODY. BINARYMIME is not offered: it would allow a bare LF.
const (
	Body7Bit     Body = "7BIT"
	Body8BitMIME Body = "8BITMIME"
)

// MailParams are the parameters of MAIL. The zero value is none given.
type MailParams struct {
	Size int64  // SIZE (RFC 1870), octets; 0 when not told
	Body Body   // BODY; "" when not told
	UTF8 bool   // SMTPUTF8 (RFC 6531)
	Auth string // AUTH (RFC 4954 5), decoded from xtext; "<>" or "" for nobody

	Return     Return // RET (RFC 3461)
	EnvelopeID string // ENVID, decoded from xtext: printable ASCII; "" when not told
	RequireTLS bool   // REQUIRETLS (RFC 8689)
}

// RcptParams are the parameters of RCPT. The zero value is none given.
type RcptParams struct {
	Notify Notify // NOTIFY (RFC 3461)

	// Original is ORCPT, "type;address" with the address decoded and the type
	// in lower case; "" when not told.
	Original string
}

// Forward is a recipient as a Client names it.
type Forward struct {
	Path
	RcptParams
}

// command splits a line into its verb, in upper case, and its argument.
func command(line string) (verb, arg string) {
	verb, arg, _ = strings.Cut(line, " ")
	return strings.ToUpper(verb), strings.Trim(arg, " ")
}

// parseMail reads the argument of MAIL.
func parseMail(arg string) (Path, MailParams, error) {
	var p MailParams
	from, rest, err := pathAfter("FROM:", arg, allowNull)
	if err != nil {
		return Path{}, p, err
	}
	err = eachParam(rest, func(key, value string, given bool) (bool, error) {
		switch key {
		case "SIZE":
			return true, parseSize(&p.Size, value)
		case "BODY":
			p.Body = Body(strings.ToUpper(value))
			return true, expect(p.Body == Body7Bit || p.Body == Body8BitMIME, key)
		case "SMTPUTF8":
			p.UTF8 = true
			return true, expect(!given, key)
		case "AUTH":
			var ok bool
			p.Auth, ok = decodeXtext(value)
			return true, expect(ok && value != "", key)
		case "RET":
			p.Return = Return(strings.ToUpper(value))
			return true, expect(p.Return == ReturnFull || p.Return == ReturnHeaders, key)
		case "ENVID":
			var err error
			p.EnvelopeID, err = parseEnvID(value)
			return true, err
		case "REQUIRETLS":
			p.RequireTLS = true
			return true, expect(!given, key)
		}
		return false, nil
	})
	if err != nil {
		return Path{}, MailParams{}, err
	}
	return from, p, needUTF8(from, p.UTF8)
}

// parseRcpt reads the argument of RCPT in a transaction that has SMTPUTF8 or
// has not.
func parseRcpt(arg string, utf8 bool) (Path, RcptParams, error) {
	to, rest, err := pathAfter("TO:", arg, allowBare)
	if err != nil {
		return Path{}, RcptParams{}, err
	}
	var p RcptParams
	err = eachParam(rest, func(key, value string, _ bool) (bool, error) {
		var err error
		switch key {
		case "NOTIFY":
			if p.Notify, err = ParseNotify(value); value == "" {
				err = expect(false, key)
			}
			return true, err
		case "ORCPT":
			p.Original, err = parseORcpt(value, utf8)
			return true, err
		}
		return false, nil
	})
	if err != nil {
		return Path{}, RcptParams{}, err
	}
	return to, p, needUTF8(to, utf8)
}

// RFC 6531 3.5: an address beyond ASCII needs a transaction with SMTPUTF8.
func needUTF8(p Path, utf8 bool) error {
	if utf8 || p.ASCII() {
		return nil
	}
	return Reply{553, Enhanced{5, 6, 7}, "Address beyond ASCII in a transaction without SMTPUTF8"}
}

// pathAfter reads "FROM:<path>" or "TO:<path>". Spaces after the colon are
// wrong and harmless, and many a printer sends them.
func pathAfter(word, arg string, ok allow) (Path, string, error) {
	if len(arg) < len(word) || !strings.EqualFold(arg[:len(word)], word) {
		return Path{}, "", Reply{501, Enhanced{5, 5, 4}, "Syntax: " + word + "<address>"}
	}
	p, rest, err := parsePath(strings.TrimLeft(arg[len(word):], " "), ok)
	if err == nil && rest != "" && rest[0] != ' ' {
		err = badPath("something follows it")
	}
	return p, rest, err
}

// eachParam calls f for every "KEY=value" of an esmtp-parameter list, the key
// in upper case; f says whether it knows the key.
func eachParam(s string, f func(key, value string, given bool) (bool, error)) error {
	seen := map[string]bool{}
	for field := range strings.FieldsSeq(s) {
		key, value, given := strings.Cut(field, "=")
		key = strings.ToUpper(key)
		if !validKeyword(key) || given && !validValue(value) || seen[key] {
			return expect(false, printable(key, 40))
		}
		seen[key] = true
		known, err := f(key, value, given)
		if err != nil {
			return err
		}
		if !known {
			return Reply{555, Enhanced{5, 5, 4}, "Parameter not known here: " + printable(key, 40)}
		}
	}
	return nil
}

func expect(ok bool, key string) error {
	if ok {
		return nil
	}
	return Reply{501, Enhanced{5, 5, 4}, "Bad parameter " + key}
}

func parseSize(n *int64, value string) error {
	// RFC 1870 3: up to 20 digits, which may be more than 64 bits hold.
	if value == "" || len(value) > 20 {
		return expect(false, "SIZE")
	}
	for _, c := range []byte(value) {
		if c < '0' || c > '9' {
			return expect(false, "SIZE")
		}
	}
	var err error
	if *n, err = strconv.ParseInt(value, 10, 64); err != nil {
		*n = math.MaxInt64
	}
	return nil
}

func validKeyword(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' && i > 0) {
			return false
		}
	}
	return s != ""
}

func validValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] == '=' || s[i] == 0x7f {
			return false
		}
	}
	return s != "" && utf8.ValidString(s)
}
