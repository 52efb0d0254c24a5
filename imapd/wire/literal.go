package wire

import (
	"errors"
	"io"
	"math"
)

// maxLiteralHeader is the length of "{", nineteen digits, "+" and "}".
const maxLiteralHeader = 22

// A Literal is the announcement of a literal and, once accepted, a reader of
// its octets. It must be read to its end before the decoder is used again;
// what is left is skipped by Decoder.Discard.
type Literal struct {
	Size    int64
	Sync    bool // the client waits for leave to send it
	Binary  bool // literal8, which may contain NUL (RFC 3516)
	decoder *Decoder
}

// parseLiteral reads "{n}" and "{n+}". RFC 7888's LITERAL- also ends in "+}".
func parseLiteral(b []byte) (size int64, sync, ok bool) {
	if len(b) < 3 || b[0] != '{' || b[len(b)-1] != '}' {
		return 0, false, false
	}
	digits := b[1 : len(b)-1]
	sync = true
	if n := len(digits); digits[n-1] == '+' {
		sync, digits = false, digits[:n-1]
	}
	if len(digits) == 0 || len(digits) > 19 {
		return 0, false, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' || size > (math.MaxInt64-int64(c-'0'))/10 {
			return 0, false, false
		}
		size = size*10 + int64(c-'0')
	}
	return size, sync, true
}

// Announced reads a literal's announcement up to its line end, and nil after
// an error. The caller then calls Accept or Refuse on it.
func (d *Decoder) Announced() *Literal {
	l := &Literal{decoder: d, Binary: d.Accept('~')}
	if !d.Peek('{') {
		d.Failf("expected a literal")
		return nil
	}
	var header []byte
	for len(header) <= maxLiteralHeader {
		c := d.next()
		if d.err != nil {
			if errors.Is(d.err, ErrTooBig) {
				d.err = ErrOutOfStep
			}
			return nil
		}
		if c == '\n' {
			break
		}
		if c != '\r' {
			header = append(header, c)
		}
	}
	var ok bool
	if l.Size, l.Sync, ok = parseLiteral(header); !ok {
		// How many octets follow is unknown, and they must not run as commands.
		d.Fail(ErrOutOfStep)
		return nil
	}
	if !l.Sync {
		d.literal = l.Size
	}
	return l
}

// Accept asks the client for the octets, when it waits to be asked. They do
// not count towards the limits: whoever accepts a literal has looked at Size.
func (l *Literal) Accept() error {
	d := l.decoder
	if d.err != nil {
		return d.err
	}
	if l.Sync {
		if err := d.Continue(); err != nil {
			d.err = err
			return err
		}
		d.literal = l.Size
	}
	return nil
}

// Refuse makes err the command's error. Octets that the client sends without
// waiting are left to Decoder.Discard.
func (l *Literal) Refuse(err error) {
	l.decoder.Fail(err)
	if l.Sync {
		l.decoder.ended = true
	}
}

// Read reads the octets of an accepted literal.
func (l *Literal) Read(p []byte) (int, error) {
	d := l.decoder
	if d.literal == 0 {
		return 0, io.EOF
	}
	if d.err != nil {
		return 0, d.err
	}
	if int64(len(p)) > d.literal {
		p = p[:d.literal]
	}
	n, err := d.r.Read(p)
	d.literal -= int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		d.err = err
	}
	return n, err
}

// held reads a whole literal into memory, within the limits.
func (d *Decoder) heldLiteral() []byte {
	l := d.Announced()
	if l == nil {
		return nil
	}
	if l.Size > d.Limits.Literal || d.held+l.Size > d.Limits.Literals {
		l.Refuse(tooBig("literal", d.Limits.Literal))
		return nil
	}
	if l.Accept() != nil {
		return nil
	}
	d.held += l.Size
	b := make([]byte, l.Size)
	if _, err := io.ReadFull(l, b); err != nil {
		d.Fail(err)
		return nil
	}
	return b
}
