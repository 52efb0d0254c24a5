package message

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxPreview is the length of a preview in characters: RFC 8970 3.1 asks
	// for 200 and allows 256.
	maxPreview = 200
	// maxPreviewText is how much text a preview is looked for in.
	maxPreviewText = 16 << 10
	// maxPreviewSource is how much of a part it is looked for in: HTML may be
	// all tags.
	maxPreviewSource = 512 << 10
)

// Preview is the begin of what the message r says to its reader (RFC 8970), at
// most 200 characters on one line: no markup, no quoted lines. It is empty when
// there is no such text. It fails only when r fails.
func (p *Part) Preview(r io.ReaderAt) (string, error) {
	for _, within := range [...]bool{false, true} {
		for _, subtype := range [...]string{"plain", "html"} {
			for _, c := range p.texts(nil, subtype, within) {
				var text begin
				err := c.writeBody(&limitWriter{w: &text, left: maxPreviewText}, r, maxPreviewSource, true)
				if err != nil && !errors.Is(err, ErrTooLong) {
					return "", err
				}
				if s := summary(text.text); s != "" {
					return s, nil
				}
			}
		}
	}
	return "", nil
}

// begin takes the text that a preview is made of. It has enough, and says
// ErrTooLong, once more would not change the preview.
type begin struct {
	text   []byte
	looked int // how long it was when that was looked at
}

func (t *begin) Write(b []byte) (int, error) {
	t.text = append(t.text, b...)
	if len(t.text) < 2*t.looked+4*maxPreview {
		return len(b), nil
	}
	t.looked = len(t.text)
	whole := t.text[:bytes.LastIndexByte(t.text, '\n')+1]
	if _, full := ownText(whole); full {
		return len(b), ErrTooLong
	}
	return len(b), nil
}

// texts appends the first parts of a text subtype that are shown in place,
// enough to find words in; those of messages within only when asked for.
func (p *Part) texts(list []*Part, subtype string, within bool) []*Part {
	const enough = 10
	if p.Type == "text" && p.Subtype == subtype && p.Disposition != "attachment" && p.Size() > 0 && len(list) < enough {
		list = append(list, p)
	}
	for _, c := range p.Children {
		list = c.texts(list, subtype, within)
	}
	if p.Message != nil && within {
		list = p.Message.texts(list, subtype, within)
	}
	return list
}

// summary is the begin of a text, its white space joined, quotations left out;
// all of it is quotation, then that.
func summary(text []byte) string {
	if own, _ := ownText(text); own != "" {
		return own
	}
	var l oneLine
	l.add(text)
	return l.b.String()
}

// ownText is summary without the quotations; full, if whatever follows changes nothing.
func ownText(text []byte) (own string, full bool) {
	var l oneLine
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("-- \n")) || bytes.HasPrefix(line, []byte("-- \r")) {
			break // RFC 3676 4.3: the signature
		}
		if !bytes.HasPrefix(line, []byte(">")) && l.add(line) {
			return l.b.String(), true
		}
	}
	return l.b.String(), false
}

// oneLine joins white space and cuts at maxPreview characters.
type oneLine struct {
	b     strings.Builder
	n     int // characters
	space bool
}

// add tells whether there were more characters than are kept.
func (l *oneLine) add(text []byte) (full bool) {
	for _, r := range string(text) {
		switch {
		case unicode.IsSpace(r):
			l.space = l.n > 0
			continue
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r) && r != '\u200D', r == '\u034F', r == utf8.RuneError:
			continue // some senders pad their previews with these
		}
		if l.space && l.n+1 < maxPreview {
			l.b.WriteByte(' ')
			l.n++
		} else if l.space {
			return true
		}
		if l.n == maxPreview {
			return true
		}
		l.space = false
		l.b.WriteRune(r)
		l.n++
	}
	return false
}
