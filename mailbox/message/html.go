package message

import (
	"bytes"
	"errors"
	"io"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxToken is the longest piece of HTML held in memory. Text goes on after it;
// a tag or comment of that size is cut, and its end taken for text.
const maxToken = 64 << 10

// writeHTML writes the text of an HTML document, which is UTF-8 already: what a
// reader would see, and the words that stand in for images. Blocks begin on a
// line of their own. With brief, the head of the document is left out.
func writeHTML(w io.Writer, r io.Reader, brief bool) error {
	t := htmlText{w: w, brief: brief}
	for {
		z := html.NewTokenizer(r)
		z.SetMaxBuf(maxToken)
		err := t.tokens(z)
		if !errors.Is(err, html.ErrBufferExceeded) {
			if err == io.EOF {
				return nil
			}
			return err
		}
		r = io.MultiReader(bytes.NewReader(append([]byte(nil), z.Buffered()...)), r)
	}
}

type htmlText struct {
	w     io.Writer
	brief bool
	skip  atom.Atom // the element whose content is not shown, or 0
	line  bool      // a line end was just written
}

// tokens writes the text of one tokenizer's run, and returns why it ended.
func (t *htmlText) tokens(z *html.Tokenizer) error {
	for {
		kind := z.Next()
		switch kind {
		case html.ErrorToken:
			return z.Err()
		case html.TextToken:
			if err := t.text(z.Text()); err != nil {
				return err
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, attrs := z.TagName()
			a := atom.Lookup(name)
			if a == atom.Noscript {
				z.NextIsNotRawText() // no script runs here either
			}
			if t.skip == 0 && kind == html.StartTagToken && t.hides(a) {
				t.skip = a
			}
			if err := t.breakAt(a); err != nil {
				return err
			}
			for a == atom.Img && attrs {
				var key, value []byte
				key, value, attrs = z.TagAttr()
				if string(key) == "alt" && len(value) > 0 {
					if err := t.text(value); err != nil {
						return err
					}
				}
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			a := atom.Lookup(name)
			if t.skip != 0 && a == t.skip {
				t.skip = 0
			}
			if err := t.breakAt(a); err != nil {
				return err
			}
		}
	}
}

// hides tells whether the content of an element is not for reading.
func (t *htmlText) hides(a atom.Atom) bool {
	switch a {
	case atom.Script, atom.Style, atom.Template:
		return true
	case atom.Title:
		return t.brief
	}
	return false
}

func (t *htmlText) text(b []byte) error {
	if t.skip != 0 || len(b) == 0 {
		return nil
	}
	t.line = b[len(b)-1] == '\n'
	_, err := t.w.Write(b)
	return err
}

// breakAt ends the line at a tag around which words are apart.
func (t *htmlText) breakAt(a atom.Atom) error {
	switch a {
	case atom.Address, atom.Article, atom.Blockquote, atom.Body, atom.Br, atom.Center, atom.Dd, atom.Div, atom.Dl,
		atom.Dt, atom.Fieldset, atom.Figure, atom.Footer, atom.Form, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5,
		atom.H6, atom.Head, atom.Header, atom.Hr, atom.Img, atom.Li, atom.Main, atom.Nav, atom.Ol, atom.Option, atom.P,
		atom.Pre, atom.Section, atom.Table, atom.Tbody, atom.Td, atom.Tfoot, atom.Th, atom.Thead, atom.Title, atom.Tr,
		atom.Ul:
		if t.line || t.skip != 0 {
			return nil
		}
		return t.text([]byte{'\n'})
	}
	return nil
}
