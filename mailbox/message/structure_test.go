package message_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"roost/mailbox/message"
)

func parse(t *testing.T, s string) *message.Part {
	t.Helper()
	p, err := message.Parse(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestSection walks the example of RFC 9051 6.4.5.1 and the cases around it.
func TestSection(t *testing.T) {
	data, err := os.ReadFile("testdata/nasty/forwarded.eml")
	if err != nil {
		t.Fatal(err)
	}
	single := "Subject: s\r\n\r\nall of it"
	root, err := os.ReadFile("testdata/nasty/message-root.eml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		message string
		path    []int
		want    string // the begin of the body, or "none"
	}{
		{single, nil, "all of it"},
		{single, []int{1}, "all of it"},
		{single, []int{1, 1}, "none"},
		{single, []int{2}, "none"},
		{single, []int{0}, "none"},
		{single, []int{-1}, "none"},
		{string(data), []int{1}, "From: inner@example.com"},
		{string(data), []int{1, 1}, "inner text"},
		{string(data), []int{1, 2}, "<p>inner html"},
		{string(data), []int{1, 3}, "none"},
		{string(data), []int{1, 1, 1}, "none"},
		{string(data), []int{2}, "Subject: not a multipart"},
		{string(data), []int{2, 1}, "one line"},
		{string(data), []int{2, 2}, "none"},
		{string(data), []int{4}, "none"},
		{string(root), []int{1}, "Subject: inner"},
		{string(root), []int{1, 1}, "Subject: innermost"},
		{string(root), []int{1, 1, 1}, "text"},
		{string(root), []int{1, 1, 1, 1}, "none"},
	} {
		p := parse(t, c.message).Section(c.path...)
		got := "none"
		if p != nil {
			got = c.message[p.Body:p.End]
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("section %v is %q, want %q", c.path, got, c.want)
		}
	}
}

func TestParseFailsOnlyWithItsReader(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, head := range []string{"", "Subject: x\r\n", "Subject: x\r\n\r\nbody\r\n"} {
		_, err := message.Parse(io.MultiReader(strings.NewReader(head), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Errorf("after %q: %v", head, err)
		}
		_, err = message.ReadHeader(io.MultiReader(strings.NewReader("Subject: x\r\n"), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Errorf("header: %v", err)
		}
	}
}

// TestLimits parses messages made to cost memory.
func TestLimits(t *testing.T) {
	many := func(n int, head, each, tail string) string {
		return head + strings.Repeat(each, n) + tail
	}
	var deep strings.Builder
	for i := range 300 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	count := func(p *message.Part) int {
		n := 0
		for range p.All() {
			n++
		}
		return n
	}
	for _, c := range []struct {
		name    string
		message string
		parts   int
		cut     bool
	}{
		{"parts", many(20_000, "Content-Type: multipart/mixed; boundary=b\r\n\r\n", "--b\r\n\r\nx\r\n", "--b--\r\n"), 10_000, false},
		{"depth", deep.String(), 101, false},
		{"messages in messages", many(300, "", "Content-Type: message/rfc822\r\n\r\n", "x"), 101, false},
		{"a long field", "Subject: " + strings.Repeat("x", 3<<20) + "\r\nFrom: a@example.com\r\n\r\nbody", 1, true},
		{"many fields", many(20_000, "", "A: b\r\n", "\r\nbody"), 1, true},
		{"header sections", many(30, "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
			"--b\r\nX: "+strings.Repeat("x", 300<<10)+"\r\n\r\n\r\n", ""), 31, false},
		{"no end of the header section", "Subject: x\r\n" + strings.Repeat("words\r\n", 1<<20), 1, false},
		{"a long line", "Subject: x\r\n\r\n" + strings.Repeat("y", 1<<20) + "\r\n", 1, false},
		{"a long preamble", "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("y", 32<<10) + "--b\r\n\r\n", 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := parse(t, c.message)
			if n := count(p); n != c.parts {
				t.Errorf("%d parts, want %d", n, c.parts)
			}
			if p.Header.Truncated() != c.cut {
				t.Errorf("header cut: %v", p.Header.Truncated())
			}
			checkInvariants(t, []byte(c.message))
		})
	}
}

// TestLineEndAcrossWindow moves a boundary over every place where the window of
// the parser may cut the line end before it.
func TestLineEndAcrossWindow(t *testing.T) {
	head := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
	for n := 32<<10 - 4; n < 32<<10+4; n++ {
		m := head + strings.Repeat("x", n) + "\r\n--b--\r\n"
		p := parse(t, m)
		if got := p.Children[0].Size(); got != int64(n) {
			t.Errorf("body of %d bytes, want %d", got, n)
		}
	}
}

// zeros is a body of any length that takes no memory.
type zeros struct{ line string }

func (z zeros) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		n += copy(b[n:], z.line)
	}
	return n, nil
}

// TestLargeMessageTakesNoMemory parses 32 MB at a time with an adversary's boundaries.
func TestLargeMessageTakesNoMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds of parsing")
	}
	for _, line := range []string{"A line of text, as long as most lines of a message are, give or take.\r\n", "--\r\n", "x"} {
		var head strings.Builder
		for i := range 90 {
			fmt.Fprintf(&head, "Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n", i, i)
		}
		head.WriteString("\r\n")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := message.Parse(io.LimitReader(io.MultiReader(strings.NewReader(head.String()), zeros{line}), 32<<20))
		if err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%q: %d bytes allocated", line, n)
		}
	}
}

func TestHeader(t *testing.T) {
	const m = "Received: one\r\nX-Two : a\r\n  b\r\nnonsense\r\nRECEIVED: two\r\nEmpty:\r\n\r\nbody: no field\r\n"
	h, err := message.ReadHeader(strings.NewReader(m))
	if err != nil {
		t.Fatal(err)
	}
	if got := h.All("received"); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("received: %q", got)
	}
	if h.Get("x-two") != "a  b" || !h.Has("empty") || h.Get("empty") != "" || h.Has("body") || h.Has("nonsense") || h.Len() != 4 {
		t.Errorf("fields: %q %d", h.Get("x-two"), h.Len())
	}
	if got := string(h.Raw()) + "body: no field\r\n"; got != m {
		t.Errorf("raw: %q", got)
	}
	got := string(h.AppendFields(nil, []string{"Received", "absent"}, false))
	if want := "Received: one\r\nRECEIVED: two\r\n\r\n"; got != want {
		t.Errorf("fields: %q, want %q", got, want)
	}
	got = string(h.AppendFields(nil, []string{"Received"}, true))
	if want := "X-Two : a\r\n  b\r\nEmpty:\r\n\r\n"; got != want {
		t.Errorf("other fields: %q, want %q", got, want)
	}
}

func benchmark(b *testing.B, size int) {
	line := bytes.Repeat([]byte("abcdefghijklmnopqrstuvwxyz0123456789+/"), 2)
	var m bytes.Buffer
	m.WriteString("Return-Path: <a@example.com>\r\nReceived: from x by y; Mon, 1 Jan 2024 00:00:00 +0000\r\n")
	for i := range 15 {
		fmt.Fprintf(&m, "X-Header-%d: some value of a usual length, folded\r\n\tonce\r\n", i)
	}
	m.WriteString("From: =?utf-8?q?J=C3=B6rg?= <a@example.com>\r\nTo: b@example.org\r\nSubject: benchmark\r\nMessage-ID: <x@example.com>\r\n" +
		"Content-Type: multipart/mixed; boundary=\"=_boundary\"\r\n\r\n--=_boundary\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nwords\r\n" +
		"--=_boundary\r\nContent-Type: application/octet-stream; name=x\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	for m.Len() < size {
		m.Write(line)
		m.WriteString("\r\n")
	}
	m.WriteString("--=_boundary--\r\n")
	r := bytes.NewReader(m.Bytes())
	b.SetBytes(int64(m.Len()))
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(m.Bytes())
		p, err := message.Parse(r)
		if err != nil || len(p.Children) != 2 {
			b.Fatal(p, err)
		}
	}
}

func BenchmarkParse10KB(b *testing.B) { benchmark(b, 10<<10) }
func BenchmarkParse10MB(b *testing.B) { benchmark(b, 10<<20) }
