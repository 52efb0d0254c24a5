package message

import (
	"io"
	"iter"
	"strings"
)

// Part is one MIME part, or a whole message: Parse returns the message, whose
// parts hang below it. Offsets are in bytes from the start of the parsed input.
type Part struct {
	Header Header

	Start int64 // where the header section begins
	Body  int64 // where the body begins, after the blank line
	End   int64 // where the body ends; the line end before a boundary is not part of it
	Lines int64 // line feeds in the body

	Type, Subtype string // media type, lower case; text/plain when absent or unreadable
	Params        Params // of Content-Type

	Encoding    string // Content-Transfer-Encoding, lower case; "7bit" when absent
	ID          string // Content-ID
	Description string // Content-Description, encoded words kept
	MD5         string // Content-MD5
	Location    string // Content-Location
	Language    []string

	Disposition       string // lower case; empty when absent
	DispositionParams Params

	Children []*Part // of a multipart, never empty then
	Message  *Part   // the message inside message/rfc822 or message/global

	bare bool // a multipart in which no boundary was found
}

// Multipart tells whether the part has Children.
func (p *Part) Multipart() bool { return p.Type == "multipart" }

// Size is the length of the body in bytes.
func (p *Part) Size() int64 { return p.End - p.Body }

// Filename is the name the sender gave to the part, decoded to UTF-8; it may
// hold anything, path separators included. Empty when there is none.
func (p *Part) Filename() string {
	if name := p.DispositionParams.Get("filename"); name != "" {
		return name
	}
	return p.Params.Get("name")
}

// All yields the part and everything below it, in the order of the message.
func (p *Part) All() iter.Seq[*Part] {
	return func(yield func(*Part) bool) { p.each(yield) }
}

func (p *Part) each(yield func(*Part) bool) bool {
	if !yield(p) {
		return false
	}
	for _, c := range p.Children {
		if !c.each(yield) {
			return false
		}
	}
	return p.Message == nil || p.Message.each(yield)
}

// Section finds a part of the message p by its IMAP part number (RFC 9051
// 6.4.5.1); nil when there is none. The empty path is the message itself. Part
// 1 of a message that is no multipart is that message, seen as a part; numbers
// below a message/rfc822 part are those of the message inside.
func (p *Part) Section(path ...int) *Part {
	whole := true // p is a message, not a part of one
	for _, n := range path {
		if !whole && p.Message != nil {
			p, whole = p.Message, true
		}
		switch {
		case p.Multipart():
			if n < 1 || n > len(p.Children) {
				return nil
			}
			p = p.Children[n-1]
		case !whole || n != 1:
			return nil
		}
		whole = false
	}
	return p
}

// Parse reads a message in one pass and returns its structure. It keeps header
// sections (1 MiB each, 4 MiB together) and no body. Nothing in the message is
// an error: the only ones are those of r. A multipart or message deeper than
// 100 levels is left unopened, as application/octet-stream; so is the 10,000th
// part, which runs to the end of the message.
func Parse(r io.Reader) (*Part, error) {
	p := parser{lines: newLines(r), hit: none, budget: maxHeaders}
	root := p.part(0, false)
	if p.err != io.EOF {
		return nil, p.err
	}
	return root, nil
}

// ParseBytes is Parse of a message that is in memory. The headers are parts of b.
func ParseBytes(b []byte) *Part {
	p := parser{lines: linesOf(b), hit: none, budget: maxHeaders}
	return p.part(0, false)
}

// none is the level of a line that is no boundary.
const none = -1

// parser is one pass over one message.
type parser struct {
	lines
	boundaries []string // of the multiparts we are in, outermost first
	hit        int      // the level whose boundary the line at hand is, or none
	closing    bool     // that boundary ends its multipart
	blind      bool     // a limit was reached: boundaries are content now
	parts      int
	budget     int // bytes of header sections still to be kept

	scratch []byte // the header section at hand
	spans   []span
}

// next moves to the next line and sees whether it is a boundary.
func (p *parser) next() {
	p.advance()
	p.match()
}

// match compares the line at hand to the boundaries we are in, the innermost
// first. RFC 2046 5.1.1 would have any line that begins with a boundary match;
// we ask for the whole line but for trailing white space, so that a boundary
// that is a prefix of another one does not end it.
func (p *parser) match() {
	p.hit = none
	l := p.piece
	if len(l) < 3 || l[0] != '-' || l[1] != '-' || len(p.boundaries) == 0 || !p.fresh || p.blind {
		return
	}
	n := len(l)
	for n > 2 && (l[n-1] == '\n' || l[n-1] == '\r' || l[n-1] == ' ' || l[n-1] == '\t') {
		n--
	}
	l = l[2:n]
	ends := len(l) > 2 && l[len(l)-1] == '-' && l[len(l)-2] == '-'
	for i := len(p.boundaries) - 1; i >= 0; i-- {
		b := p.boundaries[i]
		if len(b) == len(l) && b == string(l) {
			p.hit, p.closing = i, false
			return
		}
		if ends && len(b) == len(l)-2 && b == string(l[:len(l)-2]) {
			p.hit, p.closing = i, true
			return
		}
	}
}

// skip moves to the next boundary or the end of the input.
func (p *parser) skip() {
	for p.piece != nil && p.hit == none {
		p.next()
	}
}

// part reads one part up to the boundary that ends it, or the end of the input.
func (p *parser) part(depth int, digest bool) *Part {
	p.parts++
	if p.parts >= maxParts {
		p.blind, p.hit = true, none
	}
	part := new(Part)
	lf := p.header(part)
	part.describe(digest)
	boundary := part.boundary()
	switch {
	case part.Type == "multipart" || part.holdsMessage():
		if p.blind || depth >= maxDepth {
			part.Type, part.Subtype = "application", "octet-stream"
			p.skip()
		} else if part.holdsMessage() {
			part.Message = p.part(depth+1, false)
		} else if boundary != "" {
			p.multipart(part, boundary, depth)
		} else {
			p.skip()
		}
	default:
		p.skip()
	}

	end, lines := p.at, p.lf
	if p.piece != nil { // RFC 2046 5.1.1: the line end belongs to the boundary.
		end -= p.eol
		lines--
	}
	part.End, part.Lines = end, lines-lf
	// A boundary right after the blank line shares its line end with it.
	if part.End < part.Body {
		part.End, part.Lines = part.Body, 0
	}
	var last *Part
	if part.Message != nil {
		last = part.Message
	} else if n := len(part.Children); n > 0 {
		last = part.Children[n-1]
	}
	if last != nil && part.End < last.End {
		part.End, part.Lines = last.End, p.lf-lf
	}
	if part.Type == "multipart" && part.Children == nil {
		// The grammar of BODYSTRUCTURE has no multipart without parts.
		part.bare = true
		part.Children = []*Part{{
			Start: part.End, Body: part.End, End: part.End,
			Type: "text", Subtype: "plain", Encoding: "7bit",
		}}
	}
	return part
}

// multipart reads preamble, parts and epilogue.
func (p *parser) multipart(part *Part, boundary string, depth int) {
	level := len(p.boundaries)
	p.boundaries = append(p.boundaries, boundary)
	p.match() // the line at hand was read before its boundary was known
	p.skip()
	for p.piece != nil && p.hit == level && !p.closing {
		p.next()
		part.Children = append(part.Children, p.part(depth+1, part.Subtype == "digest"))
	}
	p.boundaries = p.boundaries[:level]
	if p.piece != nil && p.hit == level {
		p.next()
		p.skip()
	}
}

// header reads a header section into part: up to and with a blank line, or up
// to a boundary or the end of the input. It returns the line feeds before the
// body.
//
// Lines that are no field are passed over. Where no blank line ever comes,
// those after the last field are the body.
func (p *parser) header(part *Part) int64 {
	part.Start = p.at
	limit := min(maxHeader, p.budget)
	raw, spans := p.scratch[:0], p.spans[:0]
	if p.memory {
		raw = p.buf[p.at:p.at:len(p.buf)]
	}
	inField, cut := false, false
	loose, looseLF, looseRaw, looseCut := int64(none), int64(0), 0, false
	ended := false
	for p.piece != nil && p.hit == none && !ended {
		line := p.piece
		start, wasCut := len(raw), cut
		switch {
		case cut || len(line) > limit-start:
			cut = true
		case p.memory:
			raw = raw[:start+len(line)] // where it is
		default:
			raw = append(raw, line...)
		}
		switch {
		case !p.fresh:
		case blank(line):
			ended, inField = true, false
		case (line[0] == ' ' || line[0] == '\t') && (inField || loose != none):
		default:
			colon := colonOf(line)
			inField = colon > 0 && !cut && len(spans) < maxFields
			cut = cut || colon > 0 && len(spans) == maxFields
			switch {
			case colon > 0:
				loose = none
			case loose == none && !(p.at == part.Start && isMboxFrom(line)):
				loose, looseLF, looseRaw, looseCut = p.at, p.lf, start, wasCut
			}
			if inField {
				spans = append(spans, span{start: int32(start), colon: int32(start + colon)})
			}
		}
		if inField {
			spans[len(spans)-1].end = int32(len(raw))
		}
		p.next()
	}
	part.Body = p.at
	lf := p.lf
	if !ended && loose != none {
		part.Body, lf, cut = loose, looseLF, looseCut
		raw = raw[:looseRaw]
	}
	p.budget -= len(raw)
	p.spans = spans
	part.Header = Header{cut: cut}
	switch {
	case p.memory:
		part.Header.raw = raw[:len(raw):len(raw)]
	case len(raw) > 0:
		p.scratch = raw
		part.Header.raw = append(make([]byte, 0, len(raw)), raw...)
	}
	if len(spans) > 0 {
		part.Header.fields = append(make([]span, 0, len(spans)), spans...)
	}
	return lf
}

// isMboxFrom tells whether a first line is the separator that mbox files put
// before a message.
func isMboxFrom(line []byte) bool {
	s := line
	if len(s) > 0 && s[0] == '>' {
		s = s[1:]
	}
	return len(s) > 5 && string(s[:5]) == "From "
}

// holdsMessage tells whether the body is a message with a structure of its own.
func (p *Part) holdsMessage() bool {
	return p.Type == "message" && (p.Subtype == "rfc822" || p.Subtype == "global")
}

// boundary is the boundary of a multipart, or empty when it has none of use.
func (p *Part) boundary() string {
	if p.Type != "multipart" {
		return ""
	}
	b := strings.TrimRight(p.Params.raw("boundary"), " \t")
	if len(b) > maxBoundary {
		return ""
	}
	return b
}
