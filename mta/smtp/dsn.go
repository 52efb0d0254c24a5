package smtp

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Return is the RET parameter of MAIL (RFC 3461 4.3): what a report of failure
// gives back of the message. "" leaves it to the reporter.
type Return string

// The values of RET.
const (
	ReturnFull    Return = "FULL"
	ReturnHeaders Return = "HDRS"
)

// Notify is the NOTIFY parameter of RCPT (RFC 3461 4.1): of what the sender
// wants to be told. The zero value is none given, which is a wish to be told
// of failure.
type Notify uint8

// What a sender may want to be told of. NotifyNever stands alone.
const (
	NotifySuccess Notify = 1 << iota
	NotifyFailure
	NotifyDelay
	NotifyNever
)

var notifyNames = []struct {
	n    Notify
	name string
}{{NotifyNever, "NEVER"}, {NotifySuccess, "SUCCESS"}, {NotifyFailure, "FAILURE"}, {NotifyDelay, "DELAY"}}

// String gives the parameter's value as it goes over the wire; "" for none.
func (n Notify) String() string {
	var names []string
	for _, k := range notifyNames {
		if n&k.n != 0 {
			names = append(names, k.name)
		}
	}
	return strings.Join(names, ",")
}

// ParseNotify reads the value of NOTIFY; "" is none given. The error is a
// Reply.
func ParseNotify(s string) (Notify, error) {
	var n Notify
	if s == "" {
		return 0, nil
	}
words:
	for word := range strings.SplitSeq(s, ",") {
		for _, k := range notifyNames {
			if strings.EqualFold(word, k.name) && n&k.n == 0 {
				n |= k.n
				continue words
			}
		}
		return 0, expect(false, "NOTIFY")
	}
	return n, expect(n == NotifyNever || n&NotifyNever == 0, "NOTIFY")
}

// Wants says whether a sender is to be told of one of the things in of.
func (n Notify) Wants(of Notify) bool {
	if n == 0 {
		n = NotifyFailure
	}
	return n&of != 0
}

// Limits of the values, in octets as they stand on the wire (RFC 3461 4.2, 4.4).
const (
	maxEnvID = 100
	maxORcpt = 500
)

// parseEnvID reads the value of ENVID: xtext of printable ASCII.
func parseEnvID(value string) (string, error) {
	id, ok := decodeXtext(value)
	return id, expect(ok && id != "" && len(value) <= maxEnvID && isPrintable(id), "ENVID")
}

// parseORcpt reads the value of ORCPT, "type;address", and gives it with the
// address decoded: xtext, or for the type utf-8 the forms of RFC 6533 3.
func parseORcpt(value string, utf8 bool) (string, error) {
	kind, text, ok := strings.Cut(value, ";")
	kind = strings.ToLower(kind)
	if !ok || len(value) > maxORcpt || !validKeyword(strings.ToUpper(kind)) {
		return "", expect(false, "ORCPT")
	}
	if kind == "utf-8" {
		text, ok = decodeUnitext(text)
		ok = ok && (utf8 || isASCII(value))
	} else {
		text, ok = decodeXtext(text)
		ok = ok && isPrintable(text)
	}
	return kind + ";" + text, expect(ok && text != "", "ORCPT")
}

// encodeORcpt is the inverse of parseORcpt, in ASCII.
func encodeORcpt(s string) string {
	kind, text, _ := strings.Cut(s, ";")
	if kind == "utf-8" {
		return kind + ";" + encodeUnitext(text)
	}
	return kind + ";" + encodeXtext(text)
}

func isPrintable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// decodeXtext undoes the xtext of RFC 3461 4.
func decodeXtext(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '+' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil || strings.ToUpper(s[i+1:i+3]) != s[i+1:i+3] {
			return "", false
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), true
}

func encodeXtext(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c > '~' || c == '+' || c == '=' {
			b.Write([]byte{'+', hex[c>>4], hex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// decodeUnitext undoes utf-8-addr-xtext, and takes utf-8-addr-unitext as it is.
func decodeUnitext(s string) (string, bool) {
	var b strings.Builder
	for s != "" {
		rest, escaped := strings.CutPrefix(s, `\x{`)
		if !escaped {
			r, n := utf8.DecodeRuneInString(s)
			if r == utf8.RuneError && n < 2 || r == '\\' || r == '+' || r == '=' || !unicode.IsPrint(r) {
				return "", false
			}
			b.WriteString(s[:n])
			s = s[n:]
			continue
		}
		digits, after, ok := strings.Cut(rest, "}")
		n, err := strconv.ParseUint(digits, 16, 32)
		if !ok || err != nil || len(digits) > 6 || strings.ToUpper(digits) != digits || !utf8.ValidRune(rune(n)) || !unicode.IsPrint(rune(n)) {
			return "", false
		}
		b.WriteRune(rune(n))
		s = after
	}
	return b.String(), true
}

func encodeUnitext(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r <= ' ' || r > '~' || r == '+' || r == '=' || r == '\\' {
			b.WriteString(`\x{` + strings.ToUpper(strconv.FormatInt(int64(r), 16)) + "}")
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
