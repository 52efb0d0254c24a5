package message

import (
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/transform"
)

// decoder returns what turns a charset into UTF-8. It is never nil and never
// fails on bytes: what a charset does not have becomes U+FFFD. Text of no
// charset, or of one said to be ASCII, is taken for UTF-8 where it is valid and
// for windows-1252 where it is not; an unknown charset for UTF-8 alone.
func decoder(charset string) transform.Transformer {
	charset = strings.ToLower(strings.TrimSpace(charset))
	switch charset {
	case "", "us-ascii", "ascii", "ansi_x3.4-1968", "iso-ir-6", "us", "unknown-8bit", "x-unknown", "default":
		return lenient{western: true}
	case "utf-8", "utf8":
		return lenient{}
	}
	if e, err := htmlindex.Get(charset); err == nil && e != encoding.Replacement {
		return e.NewDecoder()
	}
	if e, err := ianaindex.MIME.Encoding(charset); err == nil && e != nil && e != encoding.Replacement {
		return e.NewDecoder()
	}
	return lenient{}
}

// toUTF8 reads r, in charset, as UTF-8.
func toUTF8(r io.Reader, charset string) io.Reader {
	d := decoder(charset)
	if l, ok := d.(lenient); ok {
		return &lenientReader{r: r, lenient: l}
	}
	return transform.NewReader(r, d)
}

// decodeCharset turns a short value into UTF-8.
func decodeCharset(charset string, b []byte) string {
	out, _, err := transform.Bytes(decoder(charset), b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return string(out)
}

// lenient passes UTF-8 on. Bytes that are none become U+FFFD, or with western
// what they are in windows-1252.
type lenient struct {
	transform.NopResetter
	western bool
}

// appendTo appends what becomes of src, all of it.
func (l lenient) appendTo(dst, src []byte) []byte {
	for len(src) > 0 {
		r, n := utf8.DecodeRune(src)
		if r == utf8.RuneError && n == 1 && l.western {
			r = charmap.Windows1252.DecodeByte(src[0])
		}
		dst = utf8.AppendRune(dst, r)
		src = src[n:]
	}
	return dst
}

func (l lenient) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		c := src[nSrc]
		if c < utf8.RuneSelf {
			if nDst == len(dst) {
				return nDst, nSrc, transform.ErrShortDst
			}
			dst[nDst] = c
			nDst++
			nSrc++
			continue
		}
		if !atEOF && !utf8.FullRune(src[nSrc:]) {
			return nDst, nSrc, transform.ErrShortSrc
		}
		r, n := utf8.DecodeRune(src[nSrc:])
		if r == utf8.RuneError && n == 1 && l.western {
			r = charmap.Windows1252.DecodeByte(c)
		}
		if nDst+utf8.RuneLen(r) > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += utf8.EncodeRune(dst[nDst:], r)
		nSrc += n
	}
	return nDst, nSrc, nil
}

// lenientReader reads what a lenient makes of r. What is UTF-8 already goes
// through as it comes.
type lenientReader struct {
	r io.Reader
	lenient
	rest []byte // the begin of a rune
	out  []byte // not UTF-8 as it came: what became of it, and not read yet
	err  error  // of r
}

func (l *lenientReader) Read(p []byte) (int, error) {
	if len(p) < 2*utf8.UTFMax && len(l.out) == 0 {
		var room [64]byte // so that a rune fits
		n, err := l.Read(room[:])
		if n <= len(p) {
			return copy(p, room[:n]), err
		}
		l.out = append(l.out, room[:n]...)
	}
	for len(l.out) == 0 && l.err == nil {
		have := copy(p, l.rest)
		n, err := l.r.Read(p[have:])
		l.rest, l.err = l.rest[:0], err
		b := p[:have+n]
		if err == nil {
			b = p[:wholeRunes(b)]
			l.rest = append(l.rest, p[len(b):have+n]...)
		}
		if !utf8.Valid(b) {
			l.out = l.appendTo(l.out, b)
			break
		}
		if len(b) > 0 {
			return len(b), nil
		}
	}
	if len(l.out) > 0 {
		n := copy(p, l.out)
		l.out = l.out[n:]
		return n, nil
	}
	return 0, l.err
}

// wholeRunes is the length of b without the begin of a rune at its end.
func wholeRunes(b []byte) int {
	for i := len(b) - 1; i >= max(0, len(b)-utf8.UTFMax); i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}
