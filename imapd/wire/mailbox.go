package wire

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Mailbox reads a mailbox name and returns it in UTF-8, with INBOX in upper
// case. Before ENABLE IMAP4rev2 or UTF8=ACCEPT names come in modified UTF-7
// (RFC 3501 section 5.1.3); octets above 127 show that a client sends UTF-8
// all the same.
func (d *Decoder) Mailbox(utf8Names bool) string {
	s := d.AString()
	if d.err != nil {
		return ""
	}
	name, err := DecodeMailbox(s, utf8Names)
	if err != nil {
		d.Failf("%v", err)
		return ""
	}
	return name
}

// Pattern reads a LIST pattern, in which "*" and "%" may stand unquoted.
func (d *Decoder) Pattern(utf8Names bool) string {
	var s string
	if d.peek() == '"' || d.peek() == '{' {
		s = d.String()
	} else {
		s = d.word("a mailbox pattern", func(c byte) bool { return isAStringChar(c) || c == '%' || c == '*' })
	}
	if d.err != nil {
		return ""
	}
	name, err := DecodeMailbox(s, utf8Names)
	if err != nil {
		d.Failf("%v", err)
		return ""
	}
	return name
}

var errMailboxName = errors.New("the mailbox name is neither UTF-8 nor modified UTF-7")

// DecodeMailbox returns a mailbox name as UTF-8. It refuses what no encoder
// makes, so that two spellings never name one mailbox, and control characters.
func DecodeMailbox(s string, utf8Names bool) (string, error) {
	if !utf8Names && isASCII(s) && strings.IndexByte(s, '&') >= 0 {
		name, ok := decodeUTF7(s)
		if !ok || EncodeUTF7(name) != s {
			return "", errMailboxName
		}
		s = name
	}
	if !utf8.ValidString(s) {
		return "", errMailboxName
	}
	for _, r := range s {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return "", errors.New("a control character in a mailbox name")
		}
	}
	// RFC 9051 section 5.1: INBOX in any case, also as the first level of a name.
	const inbox = "INBOX"
	if len(s) >= len(inbox) && strings.EqualFold(s[:len(inbox)], inbox) && (len(s) == len(inbox) || s[len(inbox)] == '/') {
		s = inbox + s[len(inbox):]
	}
	return s, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// utf7 is base64 with "," for "/" and without padding (RFC 3501 section 5.1.3).
var utf7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").
	WithPadding(base64.NoPadding)

// EncodeUTF7 returns a mailbox name in modified UTF-7.
func EncodeUTF7(name string) string {
	if isASCII(name) && strings.IndexByte(name, '&') < 0 {
		return name
	}
	var out strings.Builder
	var wide []rune
	flush := func() {
		if len(wide) == 0 {
			return
		}
		var units []byte
		for _, u := range utf16.Encode(wide) {
			units = append(units, byte(u>>8), byte(u))
		}
		out.WriteByte('&')
		out.WriteString(utf7.EncodeToString(units))
		out.WriteByte('-')
		wide = wide[:0]
	}
	for _, r := range name {
		switch {
		case r < ' ' || r > '~':
			wide = append(wide, r)
		case r == '&':
			flush()
			out.WriteString("&-")
		default:
			flush()
			out.WriteByte(byte(r))
		}
	}
	flush()
	return out.String()
}

func decodeUTF7(s string) (string, bool) {
	var out strings.Builder
	for s != "" {
		plain, rest, shifted := strings.Cut(s, "&")
		out.WriteString(plain)
		if !shifted {
			break
		}
		wide, after, closed := strings.Cut(rest, "-")
		if !closed {
			return "", false
		}
		s = after
		if wide == "" {
			out.WriteByte('&')
			continue
		}
		units, err := utf7.DecodeString(wide)
		if err != nil || len(units)%2 != 0 {
			return "", false
		}
		u16 := make([]uint16, len(units)/2)
		for i := range u16 {
			u16[i] = uint16(units[2*i])<<8 | uint16(units[2*i+1])
		}
		for _, r := range utf16.Decode(u16) {
			out.WriteRune(r)
		}
	}
	return out.String(), true
}
