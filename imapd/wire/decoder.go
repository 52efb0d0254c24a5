package wire

import (
	"bufio"
	"fmt"
	"io"
	"unicode"
)

// readBuffer is small because every idle connection holds one; large literals
// are read past it.
const readBuffer = 1 << 10

// A Decoder reads commands from a stream. Its methods read one element of the
// grammar each. After the first error they return zero values and read
// nothing more, until Discard and Begin: a caller may read a whole command and
// look at the error once, in EndLine.
//
// A Decoder must not be used by two goroutines at a time.
type Decoder struct {
	Limits Limits

	// Continue is called before a synchronising literal is read. It has to
	// send the command continuation request and flush it.
	Continue func() error

	r       *bufio.Reader
	err     error
	ended   bool  // the last line end of the command was read
	line    int   // octets read of this command, outside literals
	held    int64 // octets of literals of this command held in memory
	literal int64 // octets not yet read of the open literal
	depth   int
}

// NewDecoder returns a Decoder that reads from r within limits.
func NewDecoder(r io.Reader, limits Limits, cont func() error) *Decoder {
	return &Decoder{Limits: limits, Continue: cont, r: bufio.NewReaderSize(r, readBuffer), ended: true}
}

// Reset makes the decoder read from r and forget what it has buffered from the
// stream before, as STARTTLS requires (RFC 9051 section 6.2.1).
func (d *Decoder) Reset(r io.Reader) {
	d.r.Reset(r)
	d.ended = true
	d.literal = 0
}

// Buffered returns the number of octets that arrived and were not decoded yet.
func (d *Decoder) Buffered() int { return d.r.Buffered() }

// Wait blocks until the next octet is there, or reading fails.
func (d *Decoder) Wait() error {
	_, err := d.r.Peek(1)
	if err != nil {
		d.Fail(err)
	}
	return err
}

// Begin starts a command: it forgets the error and the counts of the one
// before, and skips empty lines, which some clients send after a literal.
func (d *Decoder) Begin() error {
	d.err, d.ended, d.line, d.held, d.literal, d.depth = nil, false, 0, 0, 0, 0
	for {
		switch d.peek() {
		case '\r', '\n':
			d.next()
		default:
			return d.err
		}
	}
}

// Err returns the first error since Begin.
func (d *Decoder) Err() error { return d.err }

// Fail makes err the error of this command, if it has none yet. Callers use it
// for arguments that the grammar allows and they do not.
func (d *Decoder) Fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// Failf is Fail with a SyntaxError.
func (d *Decoder) Failf(format string, args ...any) {
	d.Fail(&SyntaxError{Msg: fmt.Sprintf(format, args...)})
}

// peek returns the next octet without taking it, 0 after an error.
func (d *Decoder) peek() byte {
	if d.err != nil {
		return 0
	}
	b, err := d.r.Peek(1)
	if err != nil {
		d.err = err
		return 0
	}
	return b[0]
}

// next takes one octet, 0 after an error.
func (d *Decoder) next() byte {
	if d.err != nil {
		return 0
	}
	if d.line >= d.Limits.Line {
		d.err = tooBig("command line", int64(d.Limits.Line))
		return 0
	}
	c, err := d.r.ReadByte()
	if err != nil {
		d.err = err
		return 0
	}
	d.line++
	return c
}

// Accept takes the next octet if it is c.
func (d *Decoder) Accept(c byte) bool {
	if d.peek() != c || d.err != nil {
		return false
	}
	d.next()
	return d.err == nil
}

// Expect takes the next octet, which must be c.
func (d *Decoder) Expect(c byte) bool {
	if d.Accept(c) {
		return true
	}
	d.Failf("expected %q", rune(c))
	return false
}

// SP takes the single space between two arguments.
func (d *Decoder) SP() bool {
	if d.Accept(' ') {
		return true
	}
	d.Failf("expected a space and another argument")
	return false
}

// Peek reports whether the next octet is c.
func (d *Decoder) Peek(c byte) bool { return d.peek() == c && d.err == nil }

// PeekAll reports whether the next octets are s, which is in upper case and has
// no line end; letters match in any case.
func (d *Decoder) PeekAll(s string) bool {
	for n := 1; n <= len(s) && d.err == nil; n++ {
		b, err := d.r.Peek(n) // no more than what s has matched so far, and one
		if err != nil || unicode.ToUpper(rune(b[n-1])) != rune(s[n-1]) {
			return false
		}
	}
	return d.err == nil
}

// AtEnd reports whether the line ends here. It is true after an error too, so
// that loops over arguments come to an end.
func (d *Decoder) AtEnd() bool {
	c := d.peek()
	return d.err != nil || c == '\r' || c == '\n'
}

// EndLine takes the end of the command and returns the command's first error.
// Spaces before the end, and a bare LF, are forgiven: clients send both.
func (d *Decoder) EndLine() error {
	for d.Accept(' ') {
	}
	d.Accept('\r')
	if d.peek() != '\n' {
		d.Failf("unexpected characters after the last argument")
	}
	d.next()
	if d.err == nil {
		d.ended = true
	}
	return d.err
}

// List reads a parenthesised list and calls item for each of its elements. An
// empty list is accepted: callers that need an element count them.
func (d *Decoder) List(item func()) {
	if !d.Expect('(') {
		return
	}
	if d.depth++; d.depth > d.Limits.Depth {
		d.Failf("parentheses nested more than %d deep", d.Limits.Depth)
		return
	}
	for n := 0; d.err == nil && !d.Accept(')'); n++ {
		if n == d.Limits.Items {
			d.Failf("more than %d elements in a list", d.Limits.Items)
			return
		}
		if n > 0 && !d.SP() {
			return
		}
		item()
	}
	d.depth--
}

// Enter counts a level of nesting that is not written with List, and reports
// whether it is allowed. Each Enter that returned true wants a Leave.
func (d *Decoder) Enter() bool {
	if d.depth++; d.depth > d.Limits.Depth {
		d.Failf("nested more than %d deep", d.Limits.Depth)
	}
	return d.err == nil
}

// Leave ends a level that Enter began.
func (d *Decoder) Leave() { d.depth-- }

// Line reads the rest of a line raw, without its end: a client's answer to a
// continuation request. It belongs to the command that Begin started.
func (d *Decoder) Line() (string, error) {
	d.ended = false
	var b []byte
	for d.err == nil {
		switch c := d.next(); {
		case d.err != nil:
		case c == '\n':
			d.ended = true
			if n := len(b); n > 0 && b[n-1] == '\r' {
				b = b[:n-1]
			}
			return string(b), nil
		default:
			b = append(b, c)
		}
	}
	return "", d.err
}

// Discard reads to the end of a command that failed, and past the
// non-synchronising literals in it, which must never be taken for commands
// (RFC 7888 section 4). Its own error means that the connection must be closed.
func (d *Decoder) Discard() error {
	budget := d.Limits.Discard
	for !d.ended {
		if d.literal > 0 {
			if d.literal > budget {
				return ErrOutOfStep
			}
			n, err := io.CopyN(io.Discard, d.r, d.literal)
			d.literal -= n
			budget -= n
			if err != nil {
				return err
			}
		}
		if err := d.discardLine(&budget); err != nil {
			return err
		}
	}
	return nil
}

// discardLine reads to the next line end and notes the literal announced there.
func (d *Decoder) discardLine(budget *int64) error {
	var tail []byte // from the last "{" on
	for {
		c, err := d.r.ReadByte()
		if err != nil {
			return err
		}
		if *budget--; *budget < 0 {
			return ErrOutOfStep
		}
		switch {
		case c == '\n':
			size, sync, ok := parseLiteral(tail)
			if len(tail) > 0 && tail[len(tail)-1] == '}' && !ok {
				return ErrOutOfStep
			}
			// The client waits for leave to send a synchronising literal; the
			// tagged BAD that follows ends its command.
			d.ended = !ok || sync
			if !d.ended {
				d.literal = size
			}
			return nil
		case c == '{':
			tail = append(tail[:0], c)
		case c == '\r':
		case len(tail) > 0 && len(tail) <= maxLiteralHeader:
			tail = append(tail, c)
		}
	}
}
