package signature

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func signatureOf(texts ...string) []byte {
	var b Builder
	for _, t := range texts {
		b.Break()
		b.Write([]byte(t))
	}
	return b.Append(nil)
}

func TestNothingThatIsThereIsRuledOut(t *testing.T) {
	text := "Die Grüße kamen spät. Καλημέρα κόσμε! 日本語のメール\n" + strings.Repeat("and again ", 50)
	sig := signatureOf(text)
	if !Valid(sig) {
		t.Fatal("the signature is not valid")
	}
	for i := range text {
		for _, n := range []int{0, 1, 2, 3, 4, 7, 20, 300} {
			if part := text[i:min(i+n, len(text))]; !NewProbe(part).May(sig) {
				t.Fatalf("%q is ruled out", part)
			}
		}
	}
}

func TestTextsAreApart(t *testing.T) {
	if NewProbe("cde").May(signatureOf("abcd", "efgh")) {
		t.Error("a trigram reaches across two texts")
	}
}

func TestSplitWrites(t *testing.T) {
	text := "some words to be split anywhere at all"
	want := string(signatureOf(text))
	var b Builder
	for range 2 {
		b.Reset()
		for _, c := range []byte(text) {
			b.Write([]byte{c})
		}
		if got := string(b.Append(nil)); got != want {
			t.Fatal("written byte by byte it has another signature")
		}
	}
}

// Noise has a new trigram at every byte: the signature stops to grow, and still
// rules nothing out that is there.
func TestNoise(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 200_000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	sig := signatureOf(string(noise))
	if len(sig) != 1+maxBits/8 {
		t.Errorf("%d bytes", len(sig))
	}
	for i := 0; i+10 < len(noise); i += 97 {
		if !NewProbe(string(noise[i : i+10])).May(sig) {
			t.Fatal("ruled out")
		}
	}
}

// What is not there is ruled out as often as the package promises.
func TestWhatIsNotThereIsRuledOut(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	word := func() string {
		b := make([]byte, 8)
		for i := range b {
			b[i] = byte('a' + r.IntN(26))
		}
		return string(b)
	}
	var text strings.Builder
	for range 300 {
		text.WriteString(word() + " ")
	}
	sig := signatureOf(text.String())
	wrong := 0
	for range 10_000 {
		if w := word(); NewProbe(w).May(sig) && !strings.Contains(text.String(), w) {
			wrong++
		}
	}
	if wrong > 100 {
		t.Errorf("%d of 10,000 words that are not there are not ruled out", wrong)
	}
}

func TestOtherVersionsRuleNothingOut(t *testing.T) {
	sig := signatureOf("text")
	sig[0]++
	for _, s := range [][]byte{nil, {}, {Version}, sig} {
		if !NewProbe("something else").May(s) || Valid(s) {
			t.Errorf("%x rules something out, or is valid", s)
		}
	}
}

// FuzzSignature holds a signature against a plain scan.
func FuzzSignature(f *testing.F) {
	f.Add("some text", "other text", "me te", uint8(3))
	f.Add("x", "", "", uint8(0))
	f.Fuzz(func(t *testing.T, a, b, query string, cut uint8) {
		var w Builder
		n := min(int(cut), len(a))
		w.Write([]byte(a[:n]))
		w.Write([]byte(a[n:]))
		w.Break()
		w.Write([]byte(b))
		sig := w.Append(nil)
		if !Valid(sig) {
			t.Fatal("not valid")
		}
		for _, q := range []string{query, a, b, a[n:]} {
			if (strings.Contains(a, q) || strings.Contains(b, q)) && !NewProbe(q).May(sig) {
				t.Fatalf("%q is ruled out", q)
			}
		}
		NewProbe(query).May([]byte(a)) // of any bytes
	})
}

func BenchmarkMay(b *testing.B) {
	sig := signatureOf(strings.Repeat("The quick brown fox jumps over the lazy dog. ", 20))
	p := NewProbe("zebrafish")
	for b.Loop() {
		p.May(sig)
	}
}

func TestCommonTrigrams(t *testing.T) {
	if len(common)%3 != 0 {
		t.Fatalf("%d bytes are no trigrams", len(common))
	}
	seen := make(map[string]bool)
	for i := 0; i < len(common); i += 3 {
		if seen[common[i:i+3]] {
			t.Errorf("%q is there twice", common[i:i+3])
		}
		seen[common[i:i+3]] = true
	}
	if !NewProbe("the").Empty() || NewProbe("zebra").Empty() {
		t.Error("the common trigrams are others than they should be")
	}
	if sig := signatureOf(common); len(sig) > 1+maxBits/8/16 {
		t.Errorf("common trigrams alone make a signature of %d bytes", len(sig))
	}
}
