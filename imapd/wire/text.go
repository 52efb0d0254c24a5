package wire

import (
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
)

// isAtomChar is ATOM-CHAR of RFC 9051 section 9, with resp-specials.
func isAtomChar(c byte) bool {
	return c > ' ' && c < 0x7f && strings.IndexByte(`(){%*"\]`, c) < 0
}

// isAStringChar is ASTRING-CHAR. Octets above 127 are let through: clients
// send UTF-8 there, and what takes the string checks it.
func isAStringChar(c byte) bool { return isAtomChar(c) || c == ']' || c >= 0x80 }

func (d *Decoder) run(ok func(byte) bool) string {
	var b []byte
	for {
		c := d.peek()
		if d.err != nil || !ok(c) {
			return string(b)
		}
		b = append(b, d.next())
	}
}

func (d *Decoder) word(what string, ok func(byte) bool) string {
	s := d.run(ok)
	if s == "" {
		d.Failf("expected %s", what)
	}
	if d.err != nil {
		return ""
	}
	return s
}

// Tag reads a command's tag.
func (d *Decoder) Tag() string {
	return d.word("a tag", func(c byte) bool { return isAtomChar(c) && c != '+' || c == ']' })
}

// Atom reads an atom as the client wrote it.
func (d *Decoder) Atom() string { return d.word("an atom", isAtomChar) }

// Keyword reads an atom that names something, in upper case. It stops before
// "[", so that it reads the name of a FETCH item too.
func (d *Decoder) Keyword() string {
	return strings.ToUpper(d.word("a keyword", func(c byte) bool { return isAtomChar(c) && c != '[' }))
}

// AString reads an atom, a quoted string or a literal.
func (d *Decoder) AString() string {
	if d.peek() == '"' || d.peek() == '{' {
		return d.String()
	}
	return d.word("a string", isAStringChar)
}

// String reads a quoted string or a literal.
func (d *Decoder) String() string {
	switch d.peek() {
	case '"':
		return d.quoted()
	case '{':
		b := d.heldLiteral()
		if strings.IndexByte(string(b), 0) >= 0 {
			d.Failf("NUL in a literal") // RFC 9051 section 4.3: CHAR8 has no NUL
		}
		return string(b)
	}
	d.Failf("expected a string")
	return ""
}

// NString reads a string, a literal8 or NIL; ok is false for NIL.
func (d *Decoder) NString() (s string, ok bool) {
	switch d.peek() {
	case '"', '{':
		return d.String(), d.err == nil
	case '~':
		return string(d.heldLiteral()), d.err == nil
	}
	if w := d.word("a string or NIL", isAtomChar); !strings.EqualFold(w, "NIL") {
		d.Failf("expected a string or NIL")
	}
	return "", false
}

// quoted reads a quoted string. Octets above 127 pass: RFC 9051 section 4.3
// has UTF-8 there.
func (d *Decoder) quoted() string {
	var b []byte
	d.Expect('"')
	for d.err == nil {
		switch c := d.next(); c {
		case '"':
			return string(b)
		case '\\':
			if c = d.next(); c != '"' && c != '\\' {
				d.Failf("only a quote and a backslash may follow a backslash")
			}
			b = append(b, c)
		case 0, '\r', '\n':
			if c == '\n' {
				d.ended = true
			}
			d.Failf("a quoted string that does not end")
		default:
			b = append(b, c)
		}
	}
	return ""
}

// Flag reads a system flag or a keyword.
func (d *Decoder) Flag() imap.Flag {
	prefix := ""
	if d.Accept('\\') {
		prefix = `\`
	}
	return imap.Flag(prefix + d.word("a flag", isAtomChar))
}

// Flags reads a parenthesised list of flags.
func (d *Decoder) Flags() []imap.Flag {
	flags := []imap.Flag{}
	d.List(func() { flags = append(flags, d.Flag()) })
	return flags
}

// quotable reports whether s may stand in a quoted string.
func quotable(s string, utf8OK bool) bool {
	if len(s) > maxQuoted {
		return false
	}
	wide := false
	for i := range len(s) {
		switch c := s[i]; {
		case c == 0 || c == '\r' || c == '\n':
			return false
		case c >= 0x80:
			wide = true
		}
	}
	return !wide || utf8OK && utf8.ValidString(s)
}
