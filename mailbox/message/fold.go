package message

import (
	"io"
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fold brings text into the form in which searches compare it: compatibility
// decomposed (NFKD), without accents and without case. A substring of s is, but
// for what accents do at its ends, a substring of Fold(s).
func Fold(s string) string { return string(AppendFold(nil, []byte(s))) }

// AppendFold appends the folded form of s. It works rune by rune, so that text
// may be folded in pieces cut between runes. Bytes that are not UTF-8 fold to U+FFFD.
func AppendFold(b, s []byte) []byte {
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			begin := i
			for i++; i < len(s) && s[i] < utf8.RuneSelf; i++ {
			}
			b = appendLower(b, s[begin:i])
			continue
		}
		r, n := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError {
			b = append(b, "\uFFFD"...)
		} else {
			b = foldRune(b, s[i:i+n])
		}
		i += n
	}
	return b
}

// appendLower appends ASCII text in lower case.
func appendLower(b, s []byte) []byte {
	n := len(b)
	b = append(b, s...)
	for i, c := range b[n:] {
		if 'A' <= c && c <= 'Z' {
			b[n+i] = c + ('a' - 'A')
		}
	}
	return b
}

// foldRune appends the folded form of the one rune s.
func foldRune(b, s []byte) []byte {
	d := norm.NFKD.Properties(s).Decomposition()
	switch r, _ := utf8.DecodeRune(s); {
	case hangulFirst <= r && r <= hangulLast:
		d = norm.NFKD.Bytes(s) // by arithmetic, not by table
	case d == nil:
		d = s
	}
	for len(d) > 0 {
		r, n := utf8.DecodeRune(d)
		d = d[n:]
		switch {
		case isAccent(r):
		case r == 'ß' || r == 'ẞ':
			b = append(b, "ss"...)
		default:
			// By way of upper case, as ς and σ, or ſ and s, have one of those.
			b = utf8.AppendRune(b, unicode.ToLower(unicode.ToUpper(r)))
		}
	}
	return b
}

// The precomposed syllables of Hangul.
const hangulFirst, hangulLast = 0xAC00, 0xD7A3

// isAccent tells whether a mark only decorates the letter before it. Marks that
// make another letter of it, as in Indic scripts and kana, are none.
func isAccent(r rune) bool {
	switch {
	case r < 0x300:
		return false
	case r <= 0x36F, // diacritical marks, and their extensions below
		0x591 <= r && r <= 0x5C7 && unicode.Is(unicode.Mn, r), // Hebrew points
		0x64B <= r && r <= 0x65F, r == 0x670,                  // Arabic vowels
		0x1AB0 <= r && r <= 0x1AFF,
		0x1DC0 <= r && r <= 0x1DFF,
		0x20D0 <= r && r <= 0x20FF,
		0xFE20 <= r && r <= 0xFE2F:
		return true
	}
	return false
}

// FoldWriter folds the text written to it and writes the result to W. A rune
// may be split between writes. Close writes what is left of one; it does not
// close W.
type FoldWriter struct {
	W    io.Writer
	rest []byte // the begin of a rune
	out  []byte
}

// Reset begins anew, with another writer and the memory there is.
func (f *FoldWriter) Reset(w io.Writer) { f.W, f.rest = w, f.rest[:0] }

// Write folds b. Like W, it returns the first error of W.
func (f *FoldWriter) Write(b []byte) (int, error) {
	n := len(b)
	if len(f.rest) > 0 {
		b = slices.Concat(f.rest, b)
	}
	cut := wholeRunes(b)
	f.out = AppendFold(f.out[:0], b[:cut])
	f.rest = append(f.rest[:0], b[cut:]...)
	if _, err := f.W.Write(f.out); err != nil {
		return 0, err
	}
	return n, nil
}

// Close folds an unfinished rune.
func (f *FoldWriter) Close() error {
	f.out = AppendFold(f.out[:0], f.rest)
	f.rest = f.rest[:0]
	_, err := f.W.Write(f.out)
	return err
}
