package message

import (
	"errors"
	"io"
	"unicode/utf8"
)

// ErrTooLong is returned by WriteText when there was more text than the limit.
var ErrTooLong = errors.New("text is longer than the limit")

// WriteText writes what a search in the body of the message r looks through, in
// UTF-8: the text of every text part, decoded, HTML without its tags; the names
// and descriptions of all parts; the header fields of messages within. Parts
// end with a line feed. The text is a stream: memory does not grow with it. At
// most limit bytes are written, then ErrTooLong is returned; other errors are
// those of r and w.
//
// A transfer encoding nobody knows is passed over; damage is decoded as far as
// it makes sense.
func (p *Part) WriteText(w io.Writer, r io.ReaderAt, limit int64) error {
	return p.writeText(&limitWriter{w: w, left: limit}, r, true)
}

func (p *Part) writeText(w io.Writer, r io.ReaderAt, whole bool) error {
	if !whole {
		if err := p.writeNames(w); err != nil {
			return err
		}
	}
	switch {
	case p.Message != nil:
		if _, err := w.Write(p.Message.Header.AppendText(nil)); err != nil {
			return err
		}
		return p.Message.writeText(w, r, true)
	case p.Multipart() && !p.bare:
		for _, c := range p.Children {
			if err := c.writeText(w, r, false); err != nil {
				return err
			}
		}
		return nil
	case p.Multipart() || p.Type == "text" || p.Type == "message":
		if err := p.writeBody(w, r, p.Size(), false); err != nil {
			return err
		}
		_, err := w.Write([]byte{'\n'})
		return err
	}
	return nil
}

// writeNames writes what the sender called the part.
func (p *Part) writeNames(w io.Writer) error {
	for _, s := range [...]string{p.Filename(), DecodeWords(p.Description)} {
		if s == "" {
			continue
		}
		if _, err := io.WriteString(w, s+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// writeBody writes the text of one part that has no parts, from the first most
// bytes it decodes to.
func (p *Part) writeBody(w io.Writer, r io.ReaderAt, most int64, brief bool) error {
	body := p.utf8(r, most)
	if p.Type == "text" && p.Subtype == "html" {
		return writeHTML(w, body, brief)
	}
	// Piece by piece: who has seen enough of it returns an error.
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{body}, make([]byte, 2<<10))
	return err
}

// Text is the body of a text part in the message r in UTF-8, transfer encoding and
// charset undone, markup left as it is. A transfer encoding nobody knows is passed over.
func (p *Part) Text(r io.ReaderAt) io.Reader { return p.utf8(r, p.Size()) }

// utf8 reads at most the first most bytes that the body decodes to.
func (p *Part) utf8(r io.ReaderAt, most int64) io.Reader {
	body, err := p.Decode(r)
	if err != nil {
		body = p.Raw(r)
	}
	return toUTF8(io.LimitReader(body, most), p.Params.Get("charset"))
}

// limitWriter writes up to left bytes, and no half of a rune.
type limitWriter struct {
	w    io.Writer
	left int64
}

func (l *limitWriter) Write(b []byte) (int, error) {
	if int64(len(b)) <= l.left {
		n, err := l.w.Write(b)
		l.left -= int64(n)
		return n, err
	}
	n := max(int(l.left), 0)
	for n > 0 && !utf8.RuneStart(b[n]) {
		n--
	}
	l.left = 0
	n, err := l.w.Write(b[:n])
	if err == nil {
		err = ErrTooLong
	}
	return n, err
}
