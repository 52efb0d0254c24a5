package wire

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// writeBuffer is what an Encoder gathers before it writes: a full record of
	// TLS (RFC 8446 section 5.1).
	writeBuffer = 16 << 10
	// maxQuoted is the longest string that is quoted instead of sent as a
	// literal: clients read lines into buffers.
	maxQuoted = 1 << 10
)

// Buffers lends write buffers to the encoders of many connections: one that
// has nothing to write holds none.
type Buffers struct{ pool sync.Pool }

func (p *Buffers) get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, writeBuffer+writeBuffer/4)
}

func (p *Buffers) put(b []byte) {
	if cap(b) <= 4*writeBuffer {
		p.pool.Put(&b)
	}
}

// An Encoder writes responses. It gathers them in a buffer that it writes when
// full and at Flush; after the first write error it drops everything, and
// Flush returns that error.
//
// An Encoder must not be used by two goroutines at a time.
type Encoder struct {
	// UTF8 allows UTF-8 in quoted strings and mailbox names, after ENABLE of
	// IMAP4rev2 or UTF8=ACCEPT.
	UTF8 bool

	w       io.Writer
	buffers *Buffers
	buf     []byte
	err     error
}

// NewEncoder returns an Encoder that writes to w.
func NewEncoder(w io.Writer, buffers *Buffers) *Encoder {
	return &Encoder{w: w, buffers: buffers}
}

// Reset makes the encoder write to w. The buffer must have been flushed.
func (e *Encoder) Reset(w io.Writer) { e.w = w }

// Fail makes err the encoder's error, for a response that breaks off in the
// middle: nothing more is written.
func (e *Encoder) Fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// Err returns the first error of a write, or that of Fail.
func (e *Encoder) Err() error { return e.err }

// Flush writes what was gathered and gives the buffer back.
func (e *Encoder) Flush() error {
	e.write()
	if e.buf != nil {
		e.buffers.put(e.buf)
		e.buf = nil
	}
	return e.err
}

func (e *Encoder) write() {
	if e.err == nil && len(e.buf) > 0 {
		_, e.err = e.w.Write(e.buf)
	}
	e.buf = e.buf[:0]
}

// Append calls f to append to the buffer, for responses built of many pieces.
// f must append only, and not much more than a few KB.
func (e *Encoder) Append(f func(b []byte) []byte) {
	if e.buf == nil {
		e.buf = e.buffers.get()
	}
	if e.buf = f(e.buf); len(e.buf) >= writeBuffer {
		e.spill()
	}
}

// spill writes what fills whole records of TLS, and keeps the rest: a write of a
// little more would cost a second record, and a system call, each time.
func (e *Encoder) spill() {
	n := len(e.buf) / writeBuffer * writeBuffer
	if e.err == nil {
		_, e.err = e.w.Write(e.buf[:n])
	}
	e.buf = e.buf[:copy(e.buf, e.buf[n:])]
}

// Raw writes s as it is.
func (e *Encoder) Raw(s string) *Encoder {
	e.Append(func(b []byte) []byte { return append(b, s...) })
	return e
}

// Bytes writes p as it is, however long it is.
func (e *Encoder) Bytes(p []byte) *Encoder {
	if len(p) >= writeBuffer {
		e.write()
		if e.err == nil {
			_, e.err = e.w.Write(p)
		}
		return e
	}
	e.Append(func(b []byte) []byte { return append(b, p...) })
	return e
}

// Number writes n in decimal.
func (e *Encoder) Number(n uint64) *Encoder {
	e.Append(func(b []byte) []byte { return strconv.AppendUint(b, n, 10) })
	return e
}

// String writes s quoted, or as a literal if it cannot be quoted.
func (e *Encoder) String(s string) *Encoder {
	e.Append(func(b []byte) []byte { return appendString(b, s, e.UTF8) })
	return e
}

// AString writes s as an atom if it can be one, or else as String does.
func (e *Encoder) AString(s string) *Encoder {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 || !isAtomChar(byte(r)) }) {
		return e.String(s)
	}
	return e.Raw(s)
}

// Mailbox writes a mailbox name, in modified UTF-7 unless UTF8 is set.
func (e *Encoder) Mailbox(name string) *Encoder {
	if !e.UTF8 {
		name = EncodeUTF7(name)
	}
	return e.String(name)
}

// Ranges writes ranges in the form of a sequence set.
func (e *Encoder) Ranges(r []Range) *Encoder {
	for len(r) > 0 {
		n := min(len(r), 256)
		e.Append(func(b []byte) []byte { return AppendRanges(b, r[:n]) })
		if r = r[n:]; len(r) > 0 {
			e.Raw(",")
		}
	}
	return e
}

// Time writes t in the form of INTERNALDATE, in the zone that t carries.
func (e *Encoder) Time(t time.Time) *Encoder {
	e.Append(func(b []byte) []byte { return append(appendDateTime(append(b, '"'), t), '"') })
	return e
}

// Literal writes size octets of r as a literal, with prefix "~" as a literal8.
// It copies through the encoder's own buffer. When r ends early or fails, the
// client is left in the middle of a literal: the error stays, Flush returns
// it, and the connection must be closed.
func (e *Encoder) Literal(prefix string, size int64, r io.Reader) error {
	e.Raw(prefix)
	e.Append(func(b []byte) []byte {
		return append(strconv.AppendInt(append(b, '{'), size, 10), "}\r\n"...)
	})
	for size > 0 && e.err == nil {
		if len(e.buf) >= writeBuffer {
			e.spill()
		}
		room := e.buf[len(e.buf):cap(e.buf)]
		n, err := r.Read(room[:min(int64(len(room)), size)])
		e.buf = e.buf[:len(e.buf)+n]
		size -= int64(n)
		if err != nil && size > 0 && e.err == nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			e.err = fmt.Errorf("literal: %w", err)
		}
	}
	return e.err
}

// appendString appends s quoted if every octet of it may be, else as a literal.
func appendString(b []byte, s string, utf8 bool) []byte {
	if !quotable(s, utf8) {
		b = strconv.AppendInt(append(b, '{'), int64(len(s)), 10)
		b = append(b, "}\r\n"...)
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
