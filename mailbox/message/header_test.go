package message_test

import (
	"strings"
	"testing"

	"roost/mailbox/message"
)

// Value takes the line ends out (RFC 5322 2.2.3) and leaves the rest; in Text, which
// people read and search, a fold is one space.
func TestFolds(t *testing.T) {
	for _, c := range []struct{ in, value, text string }{
		{" one\r\n", "one", "one"},
		{" one\r\n two\r\n", "one two", "one two"},
		{" one\r\n\ttwo\r\n", "one\ttwo", "one two"},
		{" one,\r\n        two\r\n", "one,        two", "one, two"},
		{" one \t\r\n \ttwo  \r\n", "one \t \ttwo", "one two"},
		{"\r\n\tone\r\n", "one", "one"},
		{" one\r\n \r\n\t\r\n two\r\n", "one \t two", "one two"},
		{" in\tside  two\r\n\tthree\r\n", "in\tside  two\tthree", "in\tside  two three"},
		{" one\n\ttwo\n", "one\ttwo", "one two"},
		{" one\rtwo\r\n", "one two", "one two"},
		{" o\x00ne\r\n\t\x00two\r\n", "one\ttwo", "one two"},
		{" =?utf-8?q?toge?=\r\n\t=?utf-8?q?ther?=\r\n\tone\r\n", "=?utf-8?q?toge?=\t=?utf-8?q?ther?=\tone", "together one"},
		{"\r\n", "", ""},
	} {
		h, err := message.ReadHeader(strings.NewReader("X:" + c.in + "\r\nbody"))
		if err != nil || h.Len() != 1 {
			t.Fatalf("%q: %v, %d fields", c.in, err, h.Len())
		}
		for f := range h.Fields() {
			if f.Value() != c.value || f.Text() != c.text {
				t.Errorf("%q is %q and reads %q, want %q and %q", c.in, f.Value(), f.Text(), c.value, c.text)
			}
		}
		if texts := h.Texts("x"); len(texts) != 1 || texts[0] != c.text || h.Text("x") != c.text {
			t.Errorf("%q reads %q", c.in, texts)
		}
	}
}
