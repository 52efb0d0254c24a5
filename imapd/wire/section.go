package wire

import (
	"strconv"
	"strings"
)

// A Section is what stands between the brackets of BODY[…] and BINARY[…]
// (RFC 9051 section 6.4.5).
type Section struct {
	Part   []uint32 // part numbers; empty is the whole message
	Text   string   // "", HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT or MIME
	Fields []string // of HEADER.FIELDS and HEADER.FIELDS.NOT, as the client wrote them
}

// maxPartDepth is more levels than any message is parsed to.
const maxPartDepth = 128

// Section reads a section in its brackets. With binary, only part numbers are
// allowed (RFC 3516).
func (d *Decoder) Section(binary bool) Section {
	var s Section
	d.Expect('[')
	for d.err == nil && isDigit(d.peek()) {
		s.Part = append(s.Part, d.NonZero())
		if len(s.Part) > maxPartDepth {
			d.Failf("a section of more than %d levels", maxPartDepth)
		}
		if !d.Accept('.') {
			d.Expect(']')
			return s
		}
		if d.Peek(']') {
			d.Failf("a section that ends in a dot")
		}
	}
	if !binary && !d.Peek(']') {
		d.sectionText(&s)
	}
	d.Expect(']')
	return s
}

func (d *Decoder) sectionText(s *Section) {
	s.Text = d.Keyword()
	switch s.Text {
	case "HEADER", "TEXT":
	case "MIME":
		if len(s.Part) == 0 {
			d.Failf("MIME needs a part number")
		}
	case "HEADER.FIELDS", "HEADER.FIELDS.NOT":
		d.SP()
		d.List(func() { s.Fields = append(s.Fields, d.AString()) })
		if len(s.Fields) == 0 {
			d.Failf("%s needs a header field", s.Text)
		}
	default:
		d.Failf("unknown section %.40q", s.Text)
	}
}

// A Partial is the <offset.count> after a section, in octets.
type Partial struct{ Offset, Count uint64 }

// Partial reads a <offset.count>, or returns nil where there is none.
func (d *Decoder) Partial() *Partial {
	if !d.Accept('<') {
		return nil
	}
	p := Partial{Offset: d.Number64()}
	d.Expect('.')
	if p.Count = d.Number64(); p.Count == 0 {
		d.Failf("a partial of no octets")
	}
	d.Expect('>')
	return &p
}

// Append appends the section in its brackets, as a response names it.
func (s Section) Append(b []byte) []byte {
	b = append(b, '[')
	for i, n := range s.Part {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendUint(b, uint64(n), 10)
	}
	if len(s.Part) > 0 && s.Text != "" {
		b = append(b, '.')
	}
	b = append(b, s.Text...)
	for i, f := range s.Fields {
		if i == 0 {
			b = append(b, ' ', '(')
		} else {
			b = append(b, ' ')
		}
		b = appendAString(b, f)
	}
	if len(s.Fields) > 0 {
		b = append(b, ')')
	}
	return append(b, ']')
}

func appendAString(b []byte, s string) []byte {
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 || !isAStringChar(byte(r)) }) < 0 {
		return append(b, s...)
	}
	return appendString(b, s, true)
}
