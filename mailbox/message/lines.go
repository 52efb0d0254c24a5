package message

import (
	"bytes"
	"io"
)

// window is how much of the input is in memory at a time, and so the longest
// piece that advance yields. It begins small: most lines are.
const (
	window      = 32 << 10
	firstWindow = 4 << 10
)

// lines walks an input line by line in a fixed window. A line longer than the
// window arrives in pieces, cut at the same places however the reader chunks.
type lines struct {
	r        io.Reader
	buf      []byte
	memory   bool // all of the input is in buf
	pos, end int
	err      error // of r; io.EOF included

	piece []byte // the line at hand with its LF, or a piece of it; nil at the end
	fresh bool   // piece begins a line
	at    int64  // offset of piece
	lf    int64  // line feeds before piece
	eol   int64  // length of the line end just before piece: 0, 1 (LF) or 2 (CRLF)
}

func newLines(r io.Reader) lines {
	size := firstWindow
	if known, ok := r.(interface{ Len() int }); ok {
		size = min(size, known.Len()+1) // and the end is seen
	}
	l := lines{r: r, buf: make([]byte, size), fresh: true}
	l.piece = l.fill()
	return l
}

// linesOf walks what is in memory.
func linesOf(b []byte) lines {
	l := lines{buf: b, memory: true, end: len(b), err: io.EOF, fresh: true}
	l.piece = l.fill()
	return l
}

// advance moves to the next line or piece.
func (l *lines) advance() {
	n := len(l.piece)
	if n == 0 {
		return
	}
	l.at += int64(n)
	if l.piece[n-1] == '\n' {
		switch {
		case n > 1 && l.piece[n-2] == '\r', n == 1 && !l.fresh && l.eol < 0:
			l.eol = 2
		default:
			l.eol = 1
		}
		l.lf++
		l.fresh = true
	} else {
		l.eol = 0
		if l.piece[n-1] == '\r' {
			l.eol = -1 // half a line end: the LF may open the next piece
		}
		l.fresh = false
	}
	l.piece = l.fill()
	if l.piece == nil && l.eol < 0 {
		l.eol = 0
	}
}

// fill takes the next piece from the window, reading as needed.
func (l *lines) fill() []byte {
	seen, idle := 0, 0
	for {
		end := min(l.end, l.pos+window)
		if i := bytes.IndexByte(l.buf[l.pos+seen:end], '\n'); i >= 0 {
			return l.take(seen + i + 1)
		}
		seen = end - l.pos
		if l.err != nil || seen == window {
			return l.take(seen)
		}
		if l.end == len(l.buf) {
			if l.pos > 0 {
				l.end = copy(l.buf, l.buf[l.pos:l.end])
				l.pos = 0
			} else {
				l.buf = append(l.buf, make([]byte, min(len(l.buf), window-len(l.buf)))...)
			}
		}
		n, err := l.r.Read(l.buf[l.end:])
		l.end += n
		l.err = err
		if idle++; n > 0 {
			idle = 0
		} else if idle > 100 && err == nil {
			l.err = io.ErrNoProgress
		}
	}
}

func (l *lines) take(n int) []byte {
	if n == 0 {
		return nil
	}
	p := l.buf[l.pos : l.pos+n]
	l.pos += n
	return p
}
