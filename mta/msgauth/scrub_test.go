package msgauth_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	headers "roost/mailbox/message"
	"roost/mta/msgauth"
)

func scrub(t testing.TB, r io.Reader) (string, int) {
	t.Helper()
	s := msgauth.NewScrubber(r, "mx.example.org")
	b, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), s.Removed()
}

func TestScrubberTakesOutWhatClaimsToBeOurs(t *testing.T) {
	long := strings.Repeat("(a comment)\r\n ", 400)
	for _, field := range []string{
		"Authentication-Results: mx.example.org; spf=pass smtp.mailfrom=bank.example\r\n",
		"Authentication-Results: mx.example.org;\r\n\tspf=pass smtp.mailfrom=bank.example;\r\n dkim=pass\r\n",
		"authentication-RESULTS:MX.Example.ORG 1; none\r\n",
		"Authentication-Results \t: mx.example.org; none\r\n",
		"Authentication-Results:\r\n mx.example.org; none\r\n",
		"Authentication-Results:\r\n\t(really (us \\) it is))\r\n (yes) mx.example.org (us) 1; none\r\n",
		"Authentication-Results: \"mx.example.org\"; none\r\n",
		"Authentication-Results: \"mx.\\example.org\"; none\r\n",
		"Authentication-Results: mx.example.org.; none\r\n",
		"Authentication-Results: mx.example.org/1; none\r\n",
		"Authentication-Results: mx.example.org\r\n",
		"Authentication-Results: mx.example.org",
		"Authentication-Results: " + long + "mx.example.org; none\r\n",
		"Authentication-Results: (" + strings.Repeat("x", 100000) + ") mail.example.com; none\r\n",
		"Authentication-Results: mx.example.org; " + strings.Repeat("x", 100000) + "\r\n more\r\n",
	} {
		for where, text := range map[string][2]string{
			"alone":   {"", ""},
			"first":   {"", "From: joe@example.org\r\n\tfolded\r\n\r\nbody\r\n"},
			"last":    {"From: joe@example.org\r\n", "\r\nAuthentication-Results: mx.example.org; body\r\n"},
			"between": {"this is no field\r\nA: b\r\n", "To: ann@example.org\r\n"},
		} {
			if !strings.HasSuffix(field, "\n") && where != "alone" {
				continue
			}
			got, n := scrub(t, strings.NewReader(text[0]+field+text[1]))
			if got != text[0]+text[1] || n != 1 {
				t.Errorf("%.80q, %s: %d removed, left %.200q", field, where, n, got)
			}
		}
	}
}

func TestScrubberLeavesTheRest(t *testing.T) {
	for _, m := range []string{
		"", "\r\n", "body of a message without a header\r\n",
		"Authentication-Results: mx.example.com; spf=pass\r\nFrom: joe@example.org\r\n\r\nbody",
		"Authentication-Results: not.mx.example.org; mx.example.org\r\n\r\n",
		"Authentication-Results: mx.example.org.example.com; none\r\n\r\n",
		"Authentication-Results: (mx.example.org) example.com; none\r\n\r\n",
		"Authentication-Results: spf=pass (mx.example.org)\r\n\r\n",
		"Authentication-Results:\r\n\r\n",
		"Authentication-Results mx.example.org\r\n\r\n",
		"X-Authentication-Results: mx.example.org; none\r\n\r\n",
		"ARC-Authentication-Results: i=1; mx.example.org; none\r\n\r\n",
		"Subject: a\r\n Authentication-Results: mx.example.org; folded\r\n\r\n",
		"Subject: " + strings.Repeat("y", 10000) + "\r\nA: b\r\n\r\n" + strings.Repeat("z", 10000),
		"A: b\r\n\r\nAuthentication-Results: mx.example.org; body\r\n",
	} {
		if got, n := scrub(t, strings.NewReader(m)); got != m || n != 0 {
			t.Errorf("%.80q: %d removed, left %.200q", m, n, got)
		}
	}
}

func TestScrubberCountsEveryField(t *testing.T) {
	one := "Authentication-Results: mx.example.org; none\r\n"
	other := "Authentication-Results: example.com; none\r\n"
	got, n := scrub(t, strings.NewReader(one+one+other+one+"\r\n"+one))
	if want := other + "\r\n" + one; got != want || n != 3 {
		t.Errorf("%d removed, left %q", n, got)
	}
}

func TestScrubberHandsErrorsOn(t *testing.T) {
	s := msgauth.NewScrubber(io.MultiReader(strings.NewReader("A: b\r\nAuthentication-Results: x"), iotest.ErrReader(io.ErrUnexpectedEOF)), "x")
	if b, err := io.ReadAll(s); err != io.ErrUnexpectedEOF || string(b) != "A: b\r\n" {
		t.Errorf("%q, %v", b, err)
	}
}

// FuzzScrubber holds that however a message is cut into reads the outcome is
// the same, that the body is never touched, that nothing is left that our own
// reader would take for ours, and that nothing is added.
func FuzzScrubber(f *testing.F) {
	f.Add("Authentication-Results: mx.example.org; none\r\nA: b\r\n\r\nbody")
	f.Add("Authentication-Results:(a(b)\\)c)\r\n \"mx.example\\.org\" 1; none\r\n\r\nbody")
	f.Add("A: b\r\n c\r\nAuthentication-Results\t: mx.example.org/1\r\nno field\r\n\r\n")
	f.Fuzz(func(t *testing.T, m string) {
		got, n := scrub(t, strings.NewReader(m))
		for what, r := range map[string]io.Reader{
			"byte by byte": iotest.OneByteReader(strings.NewReader(m)),
			"by halves":    iotest.HalfReader(strings.NewReader(m)),
		} {
			if again, k := scrub(t, r); again != got || k != n {
				t.Errorf("%s: %q and %d, want %q and %d", what, again, k, got, n)
			}
		}
		if n == 0 && got != m {
			t.Errorf("%q became %q", m, got)
		}
		if len(got)+n*len("Authentication-Results:") > len(m) {
			t.Errorf("%q became %q with %d removed", m, got, n)
		}
		h, err := headers.ReadHeader(strings.NewReader(got))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range h.All("Authentication-Results") {
			if strings.HasPrefix(strings.ToLower(v), "mx.example.org;") {
				t.Errorf("%q is left of %q", v, m)
			}
		}
	})
}

// BenchmarkScrubber is of what a hostile header may cost.
func BenchmarkScrubber(b *testing.B) {
	for name, field := range map[string]string{
		"lines":    "Authentication-Results:" + strings.Repeat("\r\n (", 3000) + "\r\n",
		"comments": "Authentication-Results:" + strings.Repeat("()", 4000) + "mx.example.org; none\r\n",
		"plain":    "Subject: " + strings.Repeat("x", 60) + "\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			m := bytes.Repeat([]byte(field), 1+1<<20/len(field))
			b.SetBytes(int64(len(m)))
			for b.Loop() {
				if _, err := io.Copy(io.Discard, msgauth.NewScrubber(bytes.NewReader(m), "mx.example.org")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func ExampleScrubber() {
	m := "Authentication-Results: mx.example.org; dkim=pass header.d=bank.example\r\nSubject: Hi\r\n\r\n"
	s := msgauth.NewScrubber(strings.NewReader(m), "mx.example.org")
	b, _ := io.ReadAll(s)
	fmt.Printf("%q %d\n", b, s.Removed())
	// Output: "Subject: Hi\r\n\r\n" 1
}
