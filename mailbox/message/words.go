package message

import (
	"strings"
	"unicode/utf8"
)

// DecodeWords decodes the encoded words of a field value (RFC 2047) and makes
// valid UTF-8 of the rest. What looks like an encoded word and is none stays as
// it is. Words of one charset that follow each other are decoded together, as
// some senders split a character between them.
func DecodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		return validText(s)
	}
	last := strings.LastIndex(s, "?=")
	var out strings.Builder
	var charset string
	var pending []byte // decoded from words of charset
	flush := func() {
		if len(pending) > 0 {
			out.WriteString(decodeCharset(charset, pending))
			pending = pending[:0]
		}
	}
	plain := 0 // where the text not yet written begins
	afterWord := false
	for i := 0; i < len(s); {
		j := strings.Index(s[i:], "=?")
		if j < 0 || i+j >= last {
			break
		}
		i += j
		w, n := encodedWord(s[i:])
		if n == 0 {
			i += 2
			continue
		}
		between := s[plain:i]
		// RFC 2047 6.2: white space between encoded words is not shown.
		if !afterWord || strings.Trim(between, " \t") != "" {
			flush()
			out.WriteString(validText(between))
		}
		if !strings.EqualFold(w.charset, charset) {
			flush()
			charset = w.charset
		}
		pending = w.decode(pending)
		i += n
		plain, afterWord = i, true
	}
	flush()
	out.WriteString(validText(s[plain:]))
	return out.String()
}

type word struct {
	charset string
	base64  bool
	text    string
}

// encodedWord reads the encoded word at the start of s, and returns its length
// there; 0 when there is none.
func encodedWord(s string) (word, int) {
	const maxCharset = 60
	if !strings.HasPrefix(s, "=?") {
		return word{}, 0
	}
	head := s[2:min(len(s), 2+maxCharset)]
	charset, _, ok := strings.Cut(head, "?")
	if !ok || charset == "" || strings.ContainsAny(charset, " \t") {
		return word{}, 0
	}
	at := 2 + len(charset) + 1
	if at+2 > len(s) || s[at+1] != '?' {
		return word{}, 0
	}
	w := word{charset: charset}
	switch s[at] {
	case 'B', 'b':
		w.base64 = true
	case 'Q', 'q':
	default:
		return word{}, 0
	}
	at += 2
	end := strings.Index(s[at:], "?=")
	if end < 0 {
		return word{}, 0
	}
	w.text = s[at : at+end]
	w.charset, _, _ = strings.Cut(charset, "*") // RFC 2231 5: a language may follow
	return w, at + end + 2
}

func (w word) decode(b []byte) []byte {
	if w.base64 {
		var d base64Decoder
		return d.flush(d.decode(b, []byte(w.text)))
	}
	for i := 0; i < len(w.text); i++ {
		switch c := w.text[i]; {
		case c == '_':
			b = append(b, ' ')
		case c == '=' && i+2 < len(w.text) && unhex(w.text[i+1]) >= 0 && unhex(w.text[i+2]) >= 0:
			b = append(b, byte(unhex(w.text[i+1])<<4|unhex(w.text[i+2])))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return b
}

// validText makes raw header text into valid UTF-8.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return decodeCharset("", []byte(s))
}
