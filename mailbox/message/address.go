package message

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Address is one entry of an address list: a mailbox, or the begin or end of a
// group, which stand around the mailboxes of that group.
type Address struct {
	Kind AddressKind
	// Name is the display name, or the name of the group: quotes and comments
	// undone, encoded words kept. A comment after a mailbox that has no
	// display name is its name.
	Name string
	// Route is the obsolete source route, "@a,@b" (RFC 5322 4.4).
	Route string
	// Local and Domain are the two sides of the "@", the local part without
	// its quotes. Either is empty where the text has none.
	Local, Domain string
}

// AddressKind tells what an Address is.
type AddressKind uint8

// The kinds of Address.
const (
	Mailbox AddressKind = iota
	GroupBegin
	GroupEnd
)

// DisplayName is Name with encoded words decoded: UTF-8, for people.
func (a Address) DisplayName() string { return DecodeWords(a.Name) }

// Spec is the addr-spec (RFC 5322 3.4.1), its local part quoted where needed.
func (a Address) Spec() string {
	local := a.Local
	if !isDotAtom(local) {
		local = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
	}
	if a.Domain == "" {
		return local
	}
	return local + "@" + a.Domain
}

// Mailboxes is a list without its group marks.
func Mailboxes(list []Address) []Address {
	var out []Address
	for _, a := range list {
		if a.Kind == Mailbox {
			out = append(out, a)
		}
	}
	return out
}

// ParseAddressList reads the unfolded value of an address field (RFC 5322 3.4,
// its obsolete forms, and UTF-8 by RFC 6532). It always returns all it
// recognised, at most 10,000 entries. The error is the first thing in the value that
// these grammars do not allow: who decides by an address must heed it, who
// shows one need not. An empty value is an empty list and no error.
func ParseAddressList(value string) ([]Address, error) {
	p := addressParser{s: value}
	p.list()
	return p.out, p.err
}

type addressParser struct {
	s       string
	i       int
	out     []Address
	err     error
	comment string // the last one passed over
	group   bool
	open    bool // a quote was seen that never closes; no other one can be trusted
}

func (p *addressParser) fail(what string) {
	if p.err == nil {
		p.err = fmt.Errorf("address list: %s at byte %d", what, p.i)
	}
}

// list reads entries up to the end of the value.
func (p *addressParser) list() {
	for {
		p.space()
		if p.i >= len(p.s) {
			break
		}
		if len(p.out) >= maxAddresses {
			p.fail("too many addresses")
			break
		}
		switch p.s[p.i] {
		case ',': // an empty entry, RFC 5322 4.4
			p.i++
		case ';':
			if !p.group {
				p.fail("semicolon outside a group")
			}
			p.i++
			p.endGroup()
		default:
			p.entry()
		}
	}
	if p.group {
		p.fail("group without end")
		p.endGroup()
	}
}

func (p *addressParser) endGroup() {
	if p.group {
		p.out = append(p.out, Address{Kind: GroupEnd})
	}
	p.group = false
}

// entry reads a mailbox or the begin of a group.
func (p *addressParser) entry() {
	p.comment = ""
	words := p.words(",;:<@")
	var stop byte
	if p.i < len(p.s) {
		stop = p.s[p.i]
	}
	switch stop {
	case ':':
		p.i++
		if p.group {
			p.fail("group within a group")
			p.endGroup()
		}
		if len(words) == 0 {
			p.fail("group without a name")
		}
		p.out = append(p.out, Address{Kind: GroupBegin, Name: phrase(words)})
		p.group = true
	case '<':
		p.i++
		a := p.angle()
		a.Name = phrase(words)
		p.finish(a)
	case '@':
		name, local := p.localPart(words)
		p.i++
		a := Address{Name: name, Local: local, Domain: p.domain()}
		p.space()
		if p.i < len(p.s) && p.s[p.i] == '<' {
			// An address in the place of a display name: the other one counts.
			p.fail("address before another one")
			p.i++
			shown := strings.TrimSpace(name + " " + a.Spec())
			a = p.angle()
			a.Name = shown
		}
		p.finish(a)
	default:
		if len(words) == 0 {
			if p.i < len(p.s) && p.comment == "" {
				p.fail("no address")
			}
			return
		}
		p.fail("no domain")
		a := Address{Name: phrase(words)}
		if len(words) == 1 {
			a.Name, a.Local = "", words[0].text
		}
		p.finish(a)
	}
}

// finish passes over what stands between an address and the next one, and adds
// the address.
func (p *addressParser) finish(a Address) {
	p.space()
	if p.i < len(p.s) && p.s[p.i] != ',' && p.s[p.i] != ';' {
		p.fail("text after an address")
		for p.i < len(p.s) && p.s[p.i] != ',' && p.s[p.i] != ';' {
			p.words(",;")
		}
	}
	if a.Name == "" {
		a.Name = p.comment
	}
	p.out = append(p.out, a)
}

// angle reads an angle-addr whose "<" is gone already.
func (p *addressParser) angle() Address {
	var a Address
	p.space()
	if p.i < len(p.s) && p.s[p.i] == '@' {
		a.Route = p.route()
	}
	words := p.words("@>,;")
	if p.i < len(p.s) && p.s[p.i] == '@' {
		var before string
		before, a.Local = p.localPart(words)
		if before != "" {
			a.Local = before + " " + a.Local
		}
		p.i++
		a.Domain = p.domain()
	} else {
		a.Local = phrase(words)
		p.fail("no domain")
	}
	p.space()
	if p.i < len(p.s) && p.s[p.i] != '>' {
		p.fail("text in an address")
		for p.i < len(p.s) && strings.IndexByte(">,;", p.s[p.i]) < 0 {
			p.words(">,;")
		}
	}
	if p.i < len(p.s) && p.s[p.i] == '>' {
		p.i++
	} else {
		p.fail("address without end")
	}
	return a
}

// route reads an obsolete source route: *("@" domain ",") ":".
func (p *addressParser) route() string {
	var b strings.Builder
	for p.i < len(p.s) {
		switch c := p.s[p.i]; c {
		case '@':
			p.i++
			b.WriteByte(c)
			b.WriteString(p.domain())
		case ',':
			p.i++
			b.WriteByte(c)
		case ':':
			p.i++
			return strings.Trim(b.String(), ",")
		default:
			p.fail("source route without end")
			return strings.Trim(b.String(), ",")
		}
		p.space()
	}
	p.fail("source route without end")
	return strings.Trim(b.String(), ",")
}

// domain reads a domain or a domain literal.
func (p *addressParser) domain() string {
	p.space()
	if p.i < len(p.s) && p.s[p.i] == '[' {
		end := strings.IndexByte(p.s[p.i:], ']')
		if end < 0 {
			p.fail("domain literal without end")
			end = strings.IndexAny(p.s[p.i:], ",;> \t")
			if end < 0 {
				end = len(p.s) - p.i
			}
			end--
		}
		d := p.s[p.i : p.i+end+1]
		p.i += end + 1
		return d
	}
	d := ""
	for {
		from := p.i
		for p.i < len(p.s) && isAtomByte(p.s[p.i]) {
			p.i++
		}
		d += p.s[from:p.i]
		here := p.i
		p.space()
		// White space around dots is obsolete (RFC 5322 4.4), not an end.
		if p.i == here || p.i >= len(p.s) || !isAtomByte(p.s[p.i]) || (p.s[p.i] != '.' && !strings.HasSuffix(d, ".")) || len(d) > 1000 {
			break
		}
	}
	if d == "" || d[0] == '.' || strings.HasSuffix(d, ".") || strings.Contains(d, "..") || !utf8.ValidString(d) {
		p.fail("bad domain")
	}
	return d
}

// addressWord is one word of a phrase or local part.
type addressWord struct {
	text   string
	quoted bool
	apart  bool // white space or a comment stands before it
}

// words reads words up to a byte of stops, which it leaves, or the end.
func (p *addressParser) words(stops string) []addressWord {
	var words []addressWord
	for {
		before := p.i
		p.space()
		apart := p.i > before
		if p.i >= len(p.s) || strings.IndexByte(stops, p.s[p.i]) >= 0 {
			return words
		}
		w := addressWord{apart: apart}
		switch c := p.s[p.i]; {
		case c == '"' && !p.open:
			w.text, w.quoted = p.quoted()
			if !w.quoted {
				continue
			}
		case strings.HasPrefix(p.s[p.i:], "=?"):
			if _, n := encodedWord(p.s[p.i:min(len(p.s), p.i+1000)]); n > 0 {
				w.text = p.s[p.i : p.i+n]
				// Some senders forget to encode these; RFC 2047 5 (3).
				if strings.ContainsAny(w.text, "\"(),:;<>@\\ \t") {
					p.fail("special in an encoded word")
				}
				p.i += n
				break
			}
			w.text = p.atom()
		case isAtomByte(c):
			w.text = p.atom()
		default:
			p.fail("unexpected character")
			p.i++
			if c <= ' ' || c == 127 || c == '>' || c == ')' || c == '\\' || c == '"' {
				continue
			}
			w.text = string(rune(c))
		}
		words = append(words, w)
	}
}

func (p *addressParser) atom() string {
	start := p.i
	for p.i < len(p.s) && isAtomByte(p.s[p.i]) {
		p.i++
	}
	a := p.s[start:p.i]
	if !utf8.ValidString(a) {
		p.fail("bytes that are not UTF-8")
	}
	return a
}

// quoted reads a quoted string. One that never closes is only its quote.
func (p *addressParser) quoted() (string, bool) {
	var b strings.Builder
	for i := p.i + 1; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == '"':
			p.i = i + 1
			if !utf8.ValidString(b.String()) {
				p.fail("bytes that are not UTF-8")
			}
			return b.String(), true
		case c == '\\' && i+1 < len(p.s):
			i++
			b.WriteByte(p.s[i])
		default:
			b.WriteByte(c)
		}
	}
	p.fail("quoted string without end")
	p.open = true
	p.i++
	return "", false
}

// space passes over white space and comments, and keeps the last comment.
func (p *addressParser) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t':
			p.i++
		case '(':
			text, rest := comment(p.s[p.i+1:])
			if len(text) == len(p.s)-p.i-1 {
				p.fail("comment without end")
			}
			p.i = len(p.s) - len(rest)
			p.comment = strings.TrimSpace(unescape(text))
		default:
			return
		}
	}
}

// localPart splits words before an "@" into a name, which has no place there,
// and the local part. Dots bind words: RFC 5322 4.4 allows "john . doe".
func (p *addressParser) localPart(words []addressWord) (name, local string) {
	i := len(words) - 1
	for i > 0 && (!words[i].apart || strings.HasPrefix(words[i].text, ".") && !words[i].quoted ||
		strings.HasSuffix(words[i-1].text, ".") && !words[i-1].quoted) {
		i--
	}
	if i < 0 {
		p.fail("no local part")
		return "", ""
	}
	if i > 0 {
		p.fail("words before an address")
	}
	var b strings.Builder
	dot := true // a word must stand here, not a dot
	for n, w := range words[i:] {
		switch {
		case w.quoted:
			if !dot {
				p.fail("bad local part")
			}
			dot = false
		default:
			if n > 0 && !dot && w.text[0] != '.' || dot && w.text[0] == '.' || strings.Contains(w.text, "..") {
				p.fail("bad local part")
			}
			dot = strings.HasSuffix(w.text, ".")
		}
		b.WriteString(w.text)
	}
	if dot {
		p.fail("bad local part")
	}
	return phrase(words[:i]), b.String()
}

// phrase joins words to a display name.
func phrase(words []addressWord) string {
	if len(words) == 1 {
		return words[0].text
	}
	var b strings.Builder
	for i, w := range words {
		if i > 0 && (w.apart || w.quoted || words[i-1].quoted) {
			b.WriteByte(' ')
		}
		b.WriteString(w.text)
	}
	return b.String()
}

func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// isAtomByte tells whether c may stand in an atom, where we count the dot and
// all of UTF-8 in.
func isAtomByte(c byte) bool {
	return c > 32 && c != 127 && strings.IndexByte(`()<>@,;:\"[]`, c) < 0
}

func isDotAtom(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !isAtomByte(s[i]) {
			return false
		}
	}
	return true
}
