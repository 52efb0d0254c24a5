package smtp

import (
	"bufio"
	"bytes"
	"io"
)

// maxTextLine is the longest line of a message that is taken, in octets with
// its CRLF. RFC 5321 4.5.3.1.6 asks for 1000; real mail has longer ones.
const maxTextLine = 64 << 10

// dataReader reads the message that follows DATA: it takes the dots off (RFC
// 5321 4.5.2), ends at CRLF.CRLF and at nothing else, and turns into an error
// that stays, a Reply, at a bare CR, a bare LF, a line too long, or a message
// too large. After such an error drain finds the end of the data.
type dataReader struct {
	r     *bufio.Reader
	max   int64 // octets of the message; 0 for no limit
	size  int64
	line  int
	state dataState
	bad   error // what the message is refused with
	err   error // what the connection ended with; io.EOF after CRLF.CRLF
}

type dataState byte

const (
	atLineStart dataState = iota
	afterDot              // a dot at the start of a line
	afterDotCR
	inLine
	afterCR
)

var (
	errBareEnding = Reply{550, Enhanced{5, 6, 11}, "The message has a CR or LF that is not part of a CRLF"}
	errTextLine   = Reply{550, Enhanced{5, 6, 0}, "The message has a line longer than 65536 octets"}
	errTooLarge   = Reply{552, Enhanced{5, 3, 4}, "The message is larger than what is taken here"}
)

// Read gives bytes of the message, its lines ended by CRLF.
func (d *dataReader) Read(p []byte) (int, error) {
	for {
		if d.bad != nil {
			return 0, d.bad
		}
		if d.err != nil {
			return 0, d.err
		}
		if len(p) == 0 {
			return 0, nil
		}
		n := d.scan(p)
		if d.bad == nil && n > 0 {
			return n, nil
		}
	}
}

// drain reads to the end of the data, at most limit octets, and gives what the
// message is to be refused with, if anything. err is not nil when the end was
// not found, and nothing after it may be read as a command.
func (d *dataReader) drain(limit int64) (refused, err error) {
	var buf [4096]byte
	for d.err == nil && limit > 0 {
		limit -= int64(d.scan(buf[:])) + 1
	}
	if d.err == io.EOF {
		return d.bad, nil
	}
	if d.err == nil {
		return d.bad, errTooLarge
	}
	return d.bad, d.err
}

// scan takes what is buffered, or waits for more, and puts the text of it in p.
func (d *dataReader) scan(p []byte) int {
	if d.r.Buffered() == 0 {
		if _, err := d.r.Peek(1); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			d.err = err
			return 0
		}
	}
	in, _ := d.r.Peek(min(d.r.Buffered(), len(p)))
	taken, n := 0, 0
	for taken < len(in) && d.err == nil {
		if run := d.run(in[taken:]); run > 0 {
			n += copy(p[n:], in[taken:taken+run])
			taken += run
			continue
		}
		c := in[taken]
		taken++
		if d.step(c) {
			p[n] = c
			n++
		}
	}
	// The peeked bytes are there: Discard cannot fail.
	_, _ = d.r.Discard(taken)
	d.size += int64(n)
	if d.max > 0 && d.size > d.max {
		d.refuse(errTooLarge)
	}
	return n
}

// run moves over octets within a line that need no step each.
func (d *dataReader) run(in []byte) int {
	if d.state != inLine {
		return 0
	}
	in = in[:min(len(in), maxTextLine-min(d.line, maxTextLine))]
	if i := bytes.IndexByte(in, '\r'); i >= 0 {
		in = in[:i]
	}
	if i := bytes.IndexByte(in, '\n'); i >= 0 {
		in = in[:i]
	}
	d.line += len(in)
	return len(in)
}

// step moves over one octet and says whether it belongs to the message.
func (d *dataReader) step(c byte) bool {
	d.line++
	if d.line > maxTextLine {
		d.refuse(errTextLine)
	}
	switch d.state {
	case atLineStart:
		if c == '.' {
			d.state = afterDot
			return false
		}
	case afterDot:
		if c == '\r' {
			d.state = afterDotCR
			return false
		}
	case afterDotCR:
		if c == '\n' {
			d.err = io.EOF
			return false
		}
		d.refuse(errBareEnding)
	case afterCR:
		if c == '\n' {
			d.state = atLineStart
			d.line = 0
			return true
		}
		d.refuse(errBareEnding)
	}
	switch c {
	case '\r':
		d.state = afterCR
	case '\n':
		d.refuse(errBareEnding)
		d.state = inLine
	default:
		d.state = inLine
	}
	return true
}

func (d *dataReader) refuse(err error) {
	if d.bad == nil {
		d.bad = err
	}
}

// dataWriter writes a message as DATA wants it: a dot is doubled at the start
// of a line. It converts nothing and fails with ErrLineEnding at a bare CR or
// LF.
type dataWriter struct {
	w     *bufio.Writer
	state dataState // atLineStart, inLine or afterCR
}

func (d *dataWriter) Write(p []byte) (int, error) {
	start := 0
	for i, c := range p {
		switch {
		case (c == '\n') != (d.state == afterCR):
			return start, ErrLineEnding
		case c == '\n':
			d.state = atLineStart
			continue
		case c == '.' && d.state == atLineStart:
			if _, err := d.w.Write(p[start:i]); err != nil {
				return start, err
			}
			if err := d.w.WriteByte('.'); err != nil {
				return i, err
			}
			start = i
		}
		d.state = inLine
		if c == '\r' {
			d.state = afterCR
		}
	}
	if _, err := d.w.Write(p[start:]); err != nil {
		return start, err
	}
	return len(p), nil
}

// end closes the message with CRLF.CRLF, whose first CRLF is the message's own
// if it has one.
func (d *dataWriter) end() error {
	switch d.state {
	case afterCR:
		return ErrLineEnding
	case inLine:
		if _, err := d.w.WriteString("\r\n"); err != nil {
			return err
		}
	}
	if _, err := d.w.WriteString(".\r\n"); err != nil {
		return err
	}
	return d.w.Flush()
}
