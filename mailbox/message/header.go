package message

import (
	"bytes"
	"io"
	"iter"
	"strings"
	"unicode/utf8"
)

// Header is one header section: its fields in order, with their exact bytes.
// The zero value has no fields.
type Header struct {
	raw    []byte
	fields []span
	cut    bool
}

// span is where one field lies in the raw bytes of its header section.
type span struct{ start, colon, end int32 }

// Field is one field of a header section.
type Field struct {
	// Raw is the field as it stands in the message: name, colon, value,
	// folding and line end. It must not be changed.
	Raw   []byte
	colon int
}

// Name is the field name as written, without the white space some put before
// the colon.
func (f Field) Name() string { return string(f.name()) }

func (f Field) name() []byte { return bytes.TrimRight(f.Raw[:f.colon], " \t") }

// Value is the unfolded value (RFC 5322 2.2.3), trimmed of white space.
// It holds no CR, LF or NUL; other bytes are as they came.
func (f Field) Value() string { return unfold(f.Raw[f.colon+1:]) }

// Text is the value for people and for searches: a fold is one space, and encoded
// words are decoded to UTF-8.
func (f Field) Text() string { return DecodeWords(f.line()) }

// line is the value with each fold as one space. Unfolding takes out the line end
// alone, but what stands around it is whatever the folding program left there,
// often a tab, where the sender had written a space.
func (f Field) line() string {
	raw := f.Raw[f.colon+1:]
	if end := bytes.IndexByte(raw, '\n'); end < 0 || end == len(raw)-1 {
		return unfold(raw)
	}
	var b []byte
	for l := range bytes.Lines(raw) {
		if l = bytes.Trim(l, " \t\r\n\x00"); len(l) > 0 && len(b) > 0 {
			b = append(b, ' ')
		}
		b = append(b, l...)
	}
	return unfold(b)
}

// ReadHeader reads one header section from r, up to and with the blank line
// that ends it; it may read further. It fails only when r fails.
func ReadHeader(r io.Reader) (Header, error) {
	p := parser{lines: newLines(r), hit: none, budget: maxHeaders}
	var part Part
	p.header(&part)
	if p.err != nil && p.err != io.EOF {
		return part.Header, p.err
	}
	return part.Header, nil
}

// HeaderOf is ReadHeader of a message that is in memory, of which the header is a
// part.
func HeaderOf(b []byte) Header {
	p := parser{lines: linesOf(b), hit: none, budget: maxHeaders}
	var part Part
	p.header(&part)
	return part.Header
}

// Raw is the header section as it came, with the blank line that ends it if
// there is one. It must not be changed.
func (h Header) Raw() []byte { return h.raw }

// Truncated tells that the section was larger than what is kept of one
// (1 MiB, 10,000 fields): its end is missing here.
func (h Header) Truncated() bool { return h.cut }

// Len is the number of fields.
func (h Header) Len() int { return len(h.fields) }

// Fields yields the fields in order. Lines that are no field are left out.
func (h Header) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for i := range h.fields {
			if !yield(h.field(i)) {
				return
			}
		}
	}
}

func (h Header) field(i int) Field {
	s := h.fields[i]
	return Field{Raw: h.raw[s.start:s.end:s.end], colon: int(s.colon - s.start)}
}

// Get is the unfolded value of the first field of that name, in any case of
// letters; empty when there is none.
func (h Header) Get(name string) string {
	for i := range h.fields {
		if f := h.field(i); equalFold(f.name(), name) {
			return f.Value()
		}
	}
	return ""
}

// Text is the text of the first field of that name; empty when there is none.
func (h Header) Text(name string) string {
	for i := range h.fields {
		if f := h.field(i); equalFold(f.name(), name) {
			return f.Text()
		}
	}
	return ""
}

// Has tells whether there is a field of that name.
func (h Header) Has(name string) bool {
	for i := range h.fields {
		if equalFold(h.field(i).name(), name) {
			return true
		}
	}
	return false
}

// All is the unfolded values of all fields of that name, in order.
func (h Header) All(name string) []string {
	var values []string
	for i := range h.fields {
		if f := h.field(i); equalFold(f.name(), name) {
			values = append(values, f.Value())
		}
	}
	return values
}

// Texts is the texts of all fields of that name, in order.
func (h Header) Texts(name string) []string {
	var texts []string
	for i := range h.fields {
		if f := h.field(i); equalFold(f.name(), name) {
			texts = append(texts, f.Text())
		}
	}
	return texts
}

// TLSOptional says whether the sender lets the recipients' TLS policies be ignored
// (RFC 8689 3: "TLS-Required: No").
func (h Header) TLSOptional() bool {
	return strings.EqualFold(strings.TrimSpace(h.Get("TLS-Required")), "No")
}

// AppendFields appends the raw fields whose name is among names, or with not
// those whose name is not, then an empty line: what IMAP calls HEADER.FIELDS
// and HEADER.FIELDS.NOT (RFC 9051 6.4.5.1).
func (h Header) AppendFields(b []byte, names []string, not bool) []byte {
	for i := range h.fields {
		f := h.field(i)
		listed := false
		for _, n := range names {
			if equalFold(f.name(), n) {
				listed = true
				break
			}
		}
		if listed == not {
			continue
		}
		b = append(b, f.Raw...)
		if f.Raw[len(f.Raw)-1] != '\n' {
			b = append(b, '\r', '\n')
		}
	}
	return append(b, '\r', '\n')
}

// AppendText appends one line per field, name and decoded value in UTF-8:
// what a search looks through.
func (h Header) AppendText(b []byte) []byte {
	for f := range h.Fields() {
		b = append(b, f.name()...)
		b = append(b, ':', ' ')
		b = f.appendText(b)
		b = append(b, '\n')
	}
	return b
}

// appendText appends Text. In most fields there is nothing to decode.
func (f Field) appendText(b []byte) []byte {
	start := len(b)
	for rest := f.Raw[f.colon+1:]; len(rest) > 0; {
		l := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			l, rest = rest[:i], rest[i+1:]
		} else {
			rest = nil
		}
		if l = bytes.Trim(l, " \t\r\x00"); len(l) > 0 && len(b) > start {
			b = append(b, ' ')
		}
		b = append(b, l...)
	}
	for i, c := range b[start:] {
		if c >= utf8.RuneSelf || c == 0 || c == '\r' || c == '?' && i > 0 && b[start+i-1] == '=' {
			return append(b[:start], f.Text()...)
		}
	}
	return b
}

// unfold joins the lines of a raw value and drops what no value may hold.
func unfold(raw []byte) string {
	raw = bytes.Trim(raw, " \t\r\n\x00")
	if bytes.IndexByte(raw, '\n') < 0 && bytes.IndexByte(raw, '\r') < 0 && bytes.IndexByte(raw, 0) < 0 {
		return string(raw)
	}
	var s strings.Builder
	s.Grow(len(raw))
	broken := false
	for _, c := range raw {
		switch c {
		case 0:
		case '\r', '\n':
			broken = true
		default:
			// A line end that no white space follows was no folding; the
			// words on either side stay apart all the same.
			if broken && c != ' ' && c != '\t' {
				s.WriteByte(' ')
			}
			broken = false
			s.WriteByte(c)
		}
	}
	return s.String()
}

// colonOf returns where the colon of a field line is, or -1 when the line is
// no field. RFC 5322 2.2; white space before the colon is obsolete (4.5.8).
func colonOf(line []byte) int {
	for i, c := range line {
		switch {
		case c == ':':
			if i == 0 {
				return -1
			}
			return i
		case c == ' ' || c == '\t':
			rest := bytes.TrimLeft(line[i:], " \t")
			if i == 0 || len(rest) == 0 || rest[0] != ':' {
				return -1
			}
			return len(line) - len(rest)
		case c < 33 || c > 126:
			return -1
		}
	}
	return -1
}

// blank tells whether a line ends a header section; CRCRLF is one of the line
// ends seen in the wild.
func blank(line []byte) bool {
	n := len(line)
	return n > 0 && line[n-1] == '\n' && len(bytes.TrimRight(line[:n-1], "\r")) == 0
}

// equalFold compares ASCII letters without case, and never allocates.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		d := s[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if 'A' <= d && d <= 'Z' {
			d |= 0x20
		}
		if c != d {
			return false
		}
	}
	return true
}
