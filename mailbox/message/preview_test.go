package message

import (
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// However a text is cut, its begin makes the same preview as all of it.
func TestBeginMakesThePreview(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	pieces := []string{"word", " ", " ", "\r\n", "\n", "> quoted", "\n> quoted\n", "\n-- \nsignature", "ä", "日本", "\u034F", "\x00", strings.Repeat("long ", 60), strings.Repeat("\n", 300)}
	stopped := 0
	for range 3000 {
		var text strings.Builder
		for range r.IntN(200) {
			text.WriteString(pieces[r.IntN(len(pieces))])
		}
		want := summary([]byte(text.String()))
		var b begin
		for rest := text.String(); rest != ""; {
			n := min(1+r.IntN(500), len(rest))
			if _, err := io.WriteString(&b, rest[:n]); err != nil {
				stopped++
				break
			}
			rest = rest[n:]
		}
		if got := summary(b.text); got != want {
			t.Fatalf("%q\nis previewed as %q\nwant          %q", text.String(), got, want)
		}
	}
	if stopped == 0 {
		t.Error("no text was cut short")
	}
}
