package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ErrUnknownEncoding is returned by Decode for a Content-Transfer-Encoding that
// RFC 2045 does not have.
var ErrUnknownEncoding = errors.New("unknown content transfer encoding")

// Raw is the body of the part as it stands in the message r.
func (p *Part) Raw(r io.ReaderAt) *io.SectionReader {
	return io.NewSectionReader(r, p.Body, p.End-p.Body)
}

// Decode is the body of the part in the message r with its transfer encoding
// undone (RFC 3516). Damaged base64 and quoted-printable are decoded as far as
// they make sense, without an error. A multipart, or a message within, has no
// encoding of its own and comes as it is.
func (p *Part) Decode(r io.ReaderAt) (io.Reader, error) {
	raw := p.Raw(r)
	if p.Multipart() || p.Message != nil {
		return raw, nil
	}
	switch p.Encoding {
	case "7bit", "8bit", "binary":
		return raw, nil
	case "base64":
		return &decodeReader{r: raw, d: new(base64Decoder)}, nil
	case "quoted-printable":
		return &decodeReader{r: raw, d: new(quotedDecoder)}, nil
	}
	return nil, fmt.Errorf("%w %q", ErrUnknownEncoding, p.Encoding)
}

// decodeReader runs a decoder over a reader in a fixed window.
type decodeReader struct {
	r   io.Reader
	d   interface{ decode(dst, src []byte) []byte }
	in  []byte
	out []byte // decoded, from off on not yet read
	off int
	err error
}

func (d *decodeReader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for d.off == len(d.out) {
		if d.err != nil {
			return 0, d.err
		}
		if d.in == nil {
			d.in = make([]byte, 2<<10)
		}
		n, err := d.r.Read(d.in)
		d.out, d.off, d.err = d.d.decode(d.out[:0], d.in[:n]), 0, err
		if err != nil {
			d.out = d.d.decode(d.out, nil)
		}
	}
	n := copy(b, d.out[d.off:])
	d.off += n
	return n, nil
}

// base64Decoder passes over what is not of the alphabet (RFC 2045 6.8), and
// goes on after padding, as some senders join pieces encoded one by one.
type base64Decoder struct {
	bits uint32
	n    uint // digits in bits, 0 to 3
}

// decode appends what src decodes to. An empty src ends the input.
func (d *base64Decoder) decode(dst, src []byte) []byte {
	if len(src) == 0 {
		return d.flush(dst)
	}
	for _, c := range src {
		v := base64Digit(c)
		if v < 0 {
			if c == '=' {
				dst = d.flush(dst)
			}
			continue
		}
		d.bits = d.bits<<6 | uint32(v)
		if d.n++; d.n == 4 {
			dst = append(dst, byte(d.bits>>16), byte(d.bits>>8), byte(d.bits))
			d.bits, d.n = 0, 0
		}
	}
	return dst
}

// flush appends the bytes that an unfinished group of digits holds.
func (d *base64Decoder) flush(dst []byte) []byte {
	switch d.n {
	case 2:
		dst = append(dst, byte(d.bits>>4))
	case 3:
		dst = append(dst, byte(d.bits>>10), byte(d.bits>>2))
	}
	d.bits, d.n = 0, 0
	return dst
}

func base64Digit(c byte) int {
	switch {
	case 'A' <= c && c <= 'Z':
		return int(c - 'A')
	case 'a' <= c && c <= 'z':
		return int(c-'a') + 26
	case '0' <= c && c <= '9':
		return int(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return -1
}

// quotedDecoder undoes quoted-printable (RFC 2045 6.7). An "=" that encodes
// nothing stays.
type quotedDecoder struct {
	held []byte // an unfinished "=…", or white space that may end a line
}

// maxHeld is the most white space held back; a longer run is no accident of
// transport.
const maxHeld = 1000

// decode appends what src decodes to. An empty src ends the input.
func (d *quotedDecoder) decode(dst, src []byte) []byte {
	if len(src) == 0 {
		if len(d.held) > 0 && d.held[0] == '=' && !softBreak(d.held) {
			dst = append(dst, d.held...)
		}
		d.held = d.held[:0]
		return dst
	}
	for _, c := range src {
		dst = d.byte(dst, c)
	}
	return dst
}

func (d *quotedDecoder) byte(dst []byte, c byte) []byte {
	switch h := d.held; {
	case len(h) == 0:
	case h[0] != '=': // white space, and perhaps a CR
		if c == '\n' {
			// RFC 2045 6.7 (3): white space at the end of a line was added.
			if h[len(h)-1] == '\r' {
				dst = append(dst, '\r')
			}
			d.held = h[:0]
			return append(dst, c)
		}
		if len(h) < maxHeld && h[len(h)-1] != '\r' && (c == ' ' || c == '\t' || c == '\r') {
			d.held = append(h, c)
			return dst
		}
		dst = append(dst, h...)
		d.held = h[:0]
	case len(h) == 2 && unhex(h[1]) >= 0:
		if unhex(c) >= 0 {
			d.held = h[:0]
			return append(dst, byte(unhex(h[1])<<4|unhex(c)))
		}
		dst = append(dst, h...)
		d.held = h[:0]
	case c == '\n' && softBreak(h):
		d.held = h[:0]
		return dst
	case len(h) == 1 && unhex(c) >= 0,
		len(h) < maxHeld && h[len(h)-1] != '\r' && (c == ' ' || c == '\t' || c == '\r'):
		d.held = append(h, c)
		return dst
	default:
		dst = append(dst, h...)
		d.held = h[:0]
	}
	switch c {
	case '=', ' ', '\t', '\r':
		d.held = append(d.held, c)
		return dst
	}
	return append(dst, c)
}

// softBreak tells whether a held "=…" is one but for its LF.
func softBreak(h []byte) bool {
	return len(bytes.Trim(h[1:], " \t\r")) == 0
}
