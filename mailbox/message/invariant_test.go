package message_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"roost/mailbox/message"
)

// checkInvariants holds what is true of any message whatsoever.
func checkInvariants(t *testing.T, data []byte) {
	t.Helper()
	p, err := message.Parse(bytes.NewReader(data))
	if err != nil {
		t.Fatal("parse:", err)
	}
	if p.Start != 0 || p.End != int64(len(data)) {
		t.Fatalf("the message is %d to %d of %d bytes", p.Start, p.End, len(data))
	}
	checkNesting(t, p, data)

	envelope := message.AppendEnvelope(nil, p.Header)
	checkRendered(t, "ENVELOPE", envelope, checkEnvelope)
	full := message.AppendBodyStructure(nil, p, true)
	checkRendered(t, "BODYSTRUCTURE", full, func(v any) error { return checkBody(v, true) })
	checkRendered(t, "BODY", message.AppendBodyStructure(nil, p, false), func(v any) error { return checkBody(v, false) })

	again, err := message.Parse(iotest.OneByteReader(bytes.NewReader(data)))
	if err != nil {
		t.Fatal("parse byte by byte:", err)
	}
	if fingerprint(p) != fingerprint(again) {
		t.Fatal("the structure depends on how the reader chunks")
	}
	before := bytes.Clone(data)
	inPlace := message.ParseBytes(data)
	if fingerprint(p) != fingerprint(inPlace) {
		t.Fatal("in memory the structure is another")
	}
	wholes := func(p *message.Part) (all []message.Header) {
		for part := range p.All() {
			all = append(all, part.Header)
		}
		return all
	}
	for i, h := range wholes(inPlace) {
		checkSameHeader(t, h, wholes(p)[i])
		checkHeaderText(t, h)
	}
	checkSameHeader(t, message.HeaderOf(data), p.Header)
	if !bytes.Equal(before, data) {
		t.Fatal("parsing changed the message")
	}

	r := bytes.NewReader(data)
	var text bytes.Buffer
	const limit = 1 << 20
	if err := p.WriteText(&text, r, limit); err != nil && !errors.Is(err, message.ErrTooLong) {
		t.Fatal("text:", err)
	}
	if text.Len() > limit {
		t.Fatalf("%d bytes of text", text.Len())
	}
	if !utf8.Valid(text.Bytes()) {
		t.Fatal("text is not UTF-8")
	}
	message.AppendFold(nil, text.Bytes())
	preview, err := p.Preview(r)
	if err != nil {
		t.Fatal("preview:", err)
	}
	if n := utf8.RuneCountInString(preview); n > 200 || !utf8.ValidString(preview) || bytes.ContainsAny([]byte(preview), "\x00\r\n") {
		t.Fatalf("preview of %d characters: %q", n, preview)
	}
	for part := range p.All() {
		body, err := part.Decode(r)
		if err != nil {
			if !errors.Is(err, message.ErrUnknownEncoding) {
				t.Fatal("decode:", err)
			}
			continue
		}
		if n, err := io.Copy(io.Discard, io.LimitReader(body, 1<<20)); err != nil || n > part.Size() {
			t.Fatalf("decode: %d bytes from %d, %v", n, part.Size(), err)
		}
	}
}

// checkHeaderText checks that the text of a header is that of its fields.
func checkHeaderText(t *testing.T, h message.Header) {
	t.Helper()
	var want []byte
	for f := range h.Fields() {
		want = append(want, f.Name()+": "+f.Text()+"\n"...)
	}
	if got := h.AppendText(nil); !bytes.Equal(got, want) {
		t.Fatalf("the text of a header is %.300q instead of %.300q", got, want)
	}
}

func checkSameHeader(t *testing.T, got, want message.Header) {
	t.Helper()
	if !bytes.Equal(got.Raw(), want.Raw()) || got.Truncated() != want.Truncated() || !bytes.Equal(got.AppendText(nil), want.AppendText(nil)) {
		t.Fatalf("in memory a header is %.200q instead of %.200q", got.Raw(), want.Raw())
	}
}

// checkNesting checks that offsets are in order and inside the parent's body,
// and that line counts are those of the bytes.
func checkNesting(t *testing.T, p *message.Part, data []byte) {
	t.Helper()
	if p.Start > p.Body || p.Body > p.End {
		t.Fatalf("offsets %d %d %d", p.Start, p.Body, p.End)
	}
	if n := int64(bytes.Count(data[p.Body:p.End], []byte("\n"))); n != p.Lines {
		t.Fatalf("%d lines where there are %d in %q", p.Lines, n, data[p.Body:p.End])
	}
	if raw := p.Header.Raw(); !bytes.HasPrefix(data[p.Start:p.Body], raw) || !p.Header.Truncated() && int64(len(raw)) != p.Body-p.Start {
		t.Fatalf("header section %q of %q", raw, data[p.Start:p.Body])
	}
	for f := range p.Header.Fields() {
		if bytes.ContainsAny([]byte(f.Value()), "\r\n\x00") || f.Name() == "" {
			t.Fatalf("field %q: %q", f.Name(), f.Value())
		}
	}
	if p.Multipart() != (len(p.Children) > 0) {
		t.Fatalf("%s with %d children", p.Type, len(p.Children))
	}
	at := p.Body
	for i, c := range p.Children {
		if c.Start < at || c.End > p.End {
			t.Fatalf("child %d is at %d to %d of %d to %d", i+1, c.Start, c.End, at, p.End)
		}
		at = c.End
		checkNesting(t, c, data)
	}
	if m := p.Message; m != nil {
		if m.Start < p.Body || m.End > p.End {
			t.Fatalf("message is at %d to %d of %d to %d", m.Start, m.End, p.Body, p.End)
		}
		checkNesting(t, m, data)
	}
}

func fingerprint(p *message.Part) string {
	var b bytes.Buffer
	for c := range p.All() {
		fmt.Fprint(&b, c.Start, c.Body, c.End, c.Lines, c.Header.Len(), c.Header.Truncated(), len(c.Children), c.Message != nil, " ")
	}
	b.Write(message.AppendBodyStructure(nil, p, true))
	return b.String()
}

// checkRendered reads IMAP data back and checks its shape.
func checkRendered(t *testing.T, what string, b []byte, shape func(any) error) {
	t.Helper()
	if bytes.IndexByte(b, 0) >= 0 {
		t.Fatalf("NUL in %s: %q", what, b)
	}
	r := imapReader{b: b}
	v, err := r.value()
	if err == nil && len(r.b) > 0 {
		err = fmt.Errorf("%q is left", r.b)
	}
	if err == nil {
		err = shape(v)
	}
	if err != nil {
		t.Fatalf("%s: %v in %q", what, err, b)
	}
}

// imapReader reads the IMAP data that we write: a list is []any, a string is
// string, NIL is nil, a number is int64 (RFC 9051 9).
type imapReader struct{ b []byte }

func (r *imapReader) value() (any, error) {
	if len(r.b) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	switch c := r.b[0]; {
	case c == '(':
		r.b = r.b[1:]
		list := []any{}
		for len(r.b) > 0 && r.b[0] != ')' {
			if len(list) > 0 && r.b[0] == ' ' {
				r.b = r.b[1:]
			} else if len(list) > 0 && r.b[0] != '(' {
				return nil, fmt.Errorf("no space before %q", r.b)
			}
			v, err := r.value()
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		if len(r.b) == 0 {
			return nil, io.ErrUnexpectedEOF
		}
		r.b = r.b[1:]
		return list, nil
	case c == '"':
		var s []byte
		for i := 1; i < len(r.b); i++ {
			switch c := r.b[i]; {
			case c == '"':
				r.b = r.b[i+1:]
				return string(s), nil
			case c == '\\' && i+1 < len(r.b) && (r.b[i+1] == '"' || r.b[i+1] == '\\'):
				i++
				s = append(s, r.b[i])
			case c == '\\' || c == '\r' || c == '\n' || c == 0 || c >= 0x80:
				return nil, fmt.Errorf("byte %#x in a quoted string", c)
			default:
				s = append(s, c)
			}
		}
		return nil, io.ErrUnexpectedEOF
	case c == '{':
		n, rest, ok := bytes.Cut(r.b[1:], []byte("}\r\n"))
		size, err := strconv.Atoi(string(n))
		if !ok || err != nil || size > len(rest) {
			return nil, fmt.Errorf("literal %q", r.b)
		}
		r.b = rest[size:]
		return string(rest[:size]), nil
	case bytes.HasPrefix(r.b, []byte("NIL")):
		r.b = r.b[3:]
		return nil, nil
	}
	n := 0
	for n < len(r.b) && '0' <= r.b[n] && r.b[n] <= '9' {
		n++
	}
	v, err := strconv.ParseInt(string(r.b[:n]), 10, 64)
	r.b = r.b[n:]
	return v, err
}

func isNString(v any) bool {
	_, ok := v.(string)
	return ok || v == nil
}

func checkEnvelope(v any) error {
	l, ok := v.([]any)
	if !ok || len(l) != 10 {
		return fmt.Errorf("envelope of %d", len(l))
	}
	for i, v := range l {
		if i < 2 || i > 7 {
			if !isNString(v) {
				return fmt.Errorf("envelope member %d", i)
			}
			continue
		}
		if v == nil {
			continue
		}
		list, ok := v.([]any)
		if !ok || len(list) == 0 {
			return fmt.Errorf("envelope member %d", i)
		}
		group := false
		for _, a := range list {
			a, ok := a.([]any)
			if !ok || len(a) != 4 || !isNString(a[0]) || !isNString(a[1]) || !isNString(a[2]) || !isNString(a[3]) {
				return fmt.Errorf("address %v", a)
			}
			if a[3] == nil {
				begins := a[2] != nil
				if begins == group {
					return errors.New("groups do not pair")
				}
				group = begins
			}
		}
		if group {
			return errors.New("group without end")
		}
	}
	return nil
}

func checkParams(v any) error {
	if v == nil {
		return nil
	}
	l, ok := v.([]any)
	if !ok || len(l) == 0 || len(l)%2 != 0 {
		return fmt.Errorf("parameters %v", v)
	}
	for _, s := range l {
		if _, ok := s.(string); !ok {
			return fmt.Errorf("parameters %v", v)
		}
	}
	return nil
}

func checkBody(v any, extended bool) error {
	l, ok := v.([]any)
	if !ok || len(l) < 2 {
		return fmt.Errorf("body %v", v)
	}
	if _, ok := l[0].([]any); ok {
		for len(l) > 0 {
			if _, ok := l[0].([]any); !ok {
				break
			}
			if err := checkBody(l[0], extended); err != nil {
				return err
			}
			l = l[1:]
		}
		if len(l) == 0 {
			return errors.New("multipart without subtype")
		}
		if _, ok := l[0].(string); !ok {
			return errors.New("multipart without subtype")
		}
		if !extended && len(l) != 1 || extended && len(l) != 5 {
			return fmt.Errorf("multipart tail of %d", len(l))
		}
		if !extended {
			return nil
		}
		if err := checkParams(l[1]); err != nil {
			return err
		}
		return checkExtension(l[2:])
	}
	if len(l) < 7 {
		return fmt.Errorf("body of %d", len(l))
	}
	typ, ok1 := l[0].(string)
	sub, ok2 := l[1].(string)
	_, ok3 := l[5].(string)
	_, ok4 := l[6].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 || typ == "multipart" || !isNString(l[3]) || !isNString(l[4]) {
		return fmt.Errorf("body %v", l)
	}
	if err := checkParams(l[2]); err != nil {
		return err
	}
	l = l[7:]
	if typ == "message" && (sub == "rfc822" || sub == "global") {
		if len(l) < 3 {
			return fmt.Errorf("message of %d", len(l))
		}
		if err := checkEnvelope(l[0]); err != nil {
			return err
		}
		if err := checkBody(l[1], extended); err != nil {
			return err
		}
		l = l[2:]
		typ = "text"
	}
	if typ == "text" {
		if len(l) == 0 {
			return errors.New("no lines")
		}
		if _, ok := l[0].(int64); !ok {
			return errors.New("no lines")
		}
		l = l[1:]
	}
	if !extended {
		if len(l) > 0 {
			return fmt.Errorf("extension %v", l)
		}
		return nil
	}
	if len(l) != 4 || !isNString(l[0]) {
		return fmt.Errorf("extension %v", l)
	}
	return checkExtension(l[1:])
}

func checkExtension(l []any) error {
	if l[0] != nil {
		d, ok := l[0].([]any)
		if !ok || len(d) != 2 {
			return fmt.Errorf("disposition %v", l[0])
		}
		if _, ok := d[0].(string); !ok {
			return fmt.Errorf("disposition %v", l[0])
		}
		if err := checkParams(d[1]); err != nil {
			return err
		}
	}
	if list, ok := l[1].([]any); !isNString(l[1]) && (!ok || len(list) == 0) {
		return fmt.Errorf("language %v", l[1])
	}
	if !isNString(l[2]) {
		return fmt.Errorf("location %v", l[2])
	}
	return nil
}
