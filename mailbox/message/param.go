package message

import (
	"sort"
	"strconv"
	"strings"
)

// Param is one parameter of Content-Type or Content-Disposition, as it stands
// on the wire but for quoting. The pieces of a continued value (RFC 2231 3)
// are one Param already; its name ends in "*" when the value is still in the
// extended form, charset'language'percent-encoded (RFC 2231 4).
type Param struct {
	Name  string // lower case
	Value string
}

// Params are parameters in the order of the message.
type Params []Param

// Get is the value of a parameter decoded to UTF-8, or empty when there is
// none. The extended form wins; encoded words are decoded although RFC 2047
// forbids them here, for they are common.
func (ps Params) Get(name string) string {
	for _, p := range ps {
		if len(p.Name) == len(name)+1 && strings.HasSuffix(p.Name, "*") && p.Name[:len(name)] == name {
			return decodeExtended(p.Value)
		}
	}
	return DecodeWords(ps.raw(name))
}

func (ps Params) raw(name string) string {
	for _, p := range ps {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// describe fills the fields of a part that come from its header section.
func (p *Part) describe(digest bool) {
	p.Type, p.Subtype, p.Encoding = "text", "plain", "7bit"
	if digest { // RFC 2046 5.1.5
		p.Type, p.Subtype = "message", "rfc822"
	}
	var seen [8]bool
	first := func(i int) bool {
		was := seen[i]
		seen[i] = true
		return !was
	}
	for i := range p.Header.fields {
		f := p.Header.field(i)
		name := f.name()
		if len(name) < len("Content-ID") || !equalFold(name[:len("Content-")], "Content-") {
			continue
		}
		switch name = name[len("Content-"):]; {
		case equalFold(name, "Type") && first(0):
			t, sub, params := parseMediaType(f.Value())
			if t != "" {
				p.Type, p.Subtype = t, sub
			}
			p.Params = params
		case equalFold(name, "Transfer-Encoding") && first(1):
			switch e := strings.ToLower(firstToken(f.Value())); e {
			case "":
			case "7", "8": // "8 bit", a common slip
				p.Encoding = e + "bit"
			default:
				p.Encoding = e
			}
		case equalFold(name, "ID") && first(2):
			p.ID = f.Value()
		case equalFold(name, "Description") && first(3):
			p.Description = f.Value()
		case equalFold(name, "Disposition") && first(4):
			v := f.Value()
			p.Disposition = strings.ToLower(firstToken(v))
			if i := strings.IndexByte(v, ';'); i >= 0 {
				p.DispositionParams = parseParams(v[i:])
			}
			if p.Disposition == "" && p.DispositionParams != nil {
				p.Disposition = "attachment" // RFC 2183 2.8: unknown ones are attachments
			}
		case equalFold(name, "MD5") && first(5):
			p.MD5 = f.Value()
		case equalFold(name, "Location") && first(6):
			p.Location = f.Value()
		case equalFold(name, "Language") && first(7):
			for _, l := range strings.SplitN(f.Value(), ",", 50) {
				if l = firstToken(l); l != "" {
					p.Language = append(p.Language, l)
				}
			}
		}
	}
}

// parseMediaType reads a Content-Type. An unreadable one has an empty type:
// RFC 2045 5.2 has the default stand in for it.
func parseMediaType(v string) (typ, subtype string, params Params) {
	v = skipSpace(v)
	typ, v = token(v)
	v = skipSpace(v)
	if strings.HasPrefix(v, "/") {
		subtype, v = token(skipSpace(v[1:]))
	}
	typ, subtype = strings.ToLower(typ), strings.ToLower(subtype)
	switch {
	case typ != "" && subtype != "":
	case typ == "text":
		subtype = "plain"
	case typ == "multipart":
		subtype = "mixed"
	case typ == "application" || typ == "image" || typ == "audio" || typ == "video":
		typ, subtype = "application", "octet-stream"
	default:
		typ, subtype = "", ""
	}
	return typ, subtype, parseParams(v)
}

// parseParams reads *(";" attribute "=" value), and what resembles it: missing
// semicolons, unquoted values with spaces, quotes that never close.
func parseParams(v string) Params {
	var ps Params
	continued := false
	for len(ps) < maxParams {
		for {
			v = skipSpace(v)
			if v == "" || (v[0] != ';' && v[0] != ',') {
				break
			}
			v = v[1:]
		}
		if v == "" {
			break
		}
		var name, value string
		name, v = token(v)
		if name == "" {
			v = v[1:]
			continue
		}
		v = skipSpace(v)
		if !strings.HasPrefix(v, "=") {
			continue
		}
		value, v = paramValue(skipSpace(v[1:]))
		name = strings.ToLower(name)
		continued = continued || strings.IndexByte(name, '*') >= 0
		ps = append(ps, Param{name, value})
	}
	if continued {
		ps = joinContinued(ps)
	}
	return ps
}

func paramValue(v string) (value, rest string) {
	if strings.HasPrefix(v, `"`) {
		return quoted(v[1:])
	}
	end := 0 // after the last byte of the value
	for i := 0; i < len(v); i++ {
		switch v[i] {
		case ';':
			return v[:end], v[i:]
		case ' ', '\t':
			// The next parameter, its semicolon forgotten?
			name, after := token(strings.TrimLeft(v[i:], " \t"))
			after = strings.TrimLeft(after, " \t")
			if strings.HasPrefix(after, "=") && name != "" || strings.HasPrefix(after, "(") && name == "" {
				return v[:end], v[i:]
			}
			i = len(v) - len(after) - 1
			if name != "" {
				end = len(strings.TrimRight(v[:i+1], " \t"))
			}
		default:
			end = i + 1
		}
	}
	return v[:end], ""
}

// quoted reads a quoted string whose opening quote is gone already.
func quoted(v string) (value, rest string) {
	end := strings.IndexByte(v, '"')
	if end >= 0 && strings.IndexByte(v[:end], '\\') < 0 {
		return v[:end], v[end+1:]
	}
	b := make([]byte, 0, min(len(v), 128))
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case c == '"':
			return string(b), v[i+1:]
		case c == '\\' && i+1 < len(v) && (v[i+1] == '"' || v[i+1] == '\\'):
			i++
			b = append(b, v[i])
		default: // a lone backslash is more often a path than an escape
			b = append(b, c)
		}
	}
	return string(b), ""
}

// token splits off a leading token (RFC 2045 5.1).
func token(v string) (t, rest string) {
	i := 0
	for i < len(v) && isTokenByte(v[i]) {
		i++
	}
	return v[:i], v[i:]
}

func isTokenByte(c byte) bool {
	return c > 32 && c < 127 && strings.IndexByte(`()<>@,;:\"/[]?=`, c) < 0
}

func firstToken(v string) string {
	t, _ := token(skipSpace(v))
	return t
}

// skipSpace drops leading white space and comments.
func skipSpace(v string) string {
	for {
		v = strings.TrimLeft(v, " \t")
		if !strings.HasPrefix(v, "(") {
			return v
		}
		_, v = comment(v[1:])
	}
}

// comment reads a comment whose opening parenthesis is gone already. One that
// never closes runs to the end.
func comment(v string) (text, rest string) {
	depth := 1
	for i := 0; i < len(v); i++ {
		switch v[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return v[:i], v[i+1:]
			}
		}
	}
	return v, ""
}

// joinContinued makes one Param of the pieces name*0, name*1 … (RFC 2231 3),
// at the place of the first one seen. A gap ends the value.
func joinContinued(ps Params) Params {
	type piece struct {
		n        int
		extended bool
		value    string
	}
	pieces := make(map[string][]piece)
	out := make(Params, 0, len(ps))
	for _, p := range ps {
		base, tail, ok := strings.Cut(p.Name, "*")
		extended := strings.HasSuffix(tail, "*")
		n, err := strconv.Atoi(strings.TrimSuffix(tail, "*"))
		if !ok || err != nil || n < 0 || base == "" {
			out = append(out, p)
			continue
		}
		if pieces[base] == nil {
			out = append(out, Param{Name: base + "*0"})
		}
		pieces[base] = append(pieces[base], piece{n, extended, p.Value})
	}
	for i, p := range out {
		base, tail, _ := strings.Cut(p.Name, "*")
		if tail != "0" {
			continue
		}
		list := pieces[base]
		sort.SliceStable(list, func(a, b int) bool { return list[a].n < list[b].n })
		extended := false
		for _, c := range list {
			extended = extended || c.extended
		}
		var v strings.Builder
		for want, c := range list {
			if c.n != want {
				break
			}
			switch {
			case extended && c.n == 0 && !c.extended:
				v.WriteString("''") // the charset is said in the first piece or nowhere
				fallthrough
			case extended && !c.extended:
				v.WriteString(percentEncode(c.value))
			default:
				v.WriteString(c.value)
			}
		}
		if extended {
			base += "*"
		}
		out[i] = Param{base, v.String()}
	}
	return out
}

func percentEncode(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; isTokenByte(c) && c != '%' && c != '*' && c != '\'' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// decodeExtended undoes charset'language'percent-encoded (RFC 2231 4).
func decodeExtended(v string) string {
	charset, rest, ok := strings.Cut(v, "'")
	if ok {
		_, after, ok := strings.Cut(rest, "'")
		if ok {
			rest = after
		}
	} else {
		charset, rest = "", v
	}
	b := make([]byte, 0, len(rest))
	for i := 0; i < len(rest); i++ {
		if rest[i] == '%' && i+2 < len(rest) {
			if hi, lo := unhex(rest[i+1]), unhex(rest[i+2]); hi >= 0 && lo >= 0 {
				b = append(b, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		b = append(b, rest[i])
	}
	return decodeCharset(charset, b)
}

// unhex is the value of a hexadecimal digit, or -1.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
