package inbound

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"roost/mta/smtp"
)

func TestRewrittenPaths(t *testing.T) {
	key, now := srs("a key"), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, from := range []smtp.Path{
		{Local: "joe", Domain: "sender.example"},
		{Local: "Joe=Bloggs+x", Domain: "Sender.Example"},
		{Local: "two words", Domain: "sender.example"},
		{Local: "jürgen", Domain: "bücher.example"},
		{Local: strings.Repeat("l", 64), Domain: "sender.example"},
		{Local: "joe", Domain: "[192.0.2.1]"},
	} {
		p := key.rewrite(from, "ours.example", now)
		if !isSRS(p) || p.Domain != "ours.example" {
			t.Errorf("%s becomes %s", from, p)
		}
		wire, err := smtp.ParsePath(p.String())
		if err != nil || wire != p {
			t.Errorf("%s is read as %s, %v", p, wire, err)
		}
		for days, want := range map[int]bool{0: true, 1: true, 21: true, 22: false, 400: false, -1: false} {
			got, ok := key.original(p, now.AddDate(0, 0, days))
			if ok != want || ok && got != from {
				t.Errorf("%s after %d days is %s, %v", p, days, got, ok)
			}
		}
		lower := smtp.Path{Local: strings.ToLower(p.Local), Domain: p.Domain}
		if got, ok := key.original(lower, now); !ok || !strings.EqualFold(got.String(), from.String()) {
			t.Errorf("%s in lower case is %s, %v", p, got, ok)
		}
		if _, ok := srs("another key").original(p, now); ok {
			t.Errorf("%s holds with another key", p)
		}
		forged := smtp.Path{Local: p.Local + "x", Domain: p.Domain}
		if _, ok := key.original(forged, now); ok {
			t.Errorf("%s holds", forged)
		}
	}
	if p := key.rewrite(smtp.Path{}, "ours.example", now); !p.IsNull() {
		t.Errorf("<> becomes %s", p)
	}
	long := smtp.Path{Local: "joe", Domain: strings.Repeat("d.", 110) + "example"}
	if p := key.rewrite(long, "ours.example", now); !p.IsNull() {
		t.Errorf("what is too long becomes %s", p)
	}
}

// TestSeveralForwarders: what others have rewritten names the first of them, and does
// not grow.
func TestSeveralForwarders(t *testing.T) {
	one, two, three := srs("one"), srs("two"), srs("three")
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	first := one.rewrite(smtp.Path{Local: "Joe", Domain: "sender.example"}, "one.example", now)
	second := two.rewrite(first, "two.example", now)
	third := three.rewrite(second, "three.example", now)
	kept := "=one.example=" + strings.TrimPrefix(first.Local, "SRS0")
	for _, p := range []smtp.Path{second, third} {
		if !isSRS(p) || !strings.HasPrefix(p.Local, "SRS1=") || !strings.HasSuffix(p.Local, kept) || len(p.Local) != len("SRS1=")+srsProof+len(kept) {
			t.Errorf("%s becomes %s", first, p)
		}
	}
	if third.Local == second.Local || third.Domain != "three.example" {
		t.Errorf("%s becomes %s", second, third)
	}
	// The first alone can tell how old it is.
	if got, ok := three.original(third, now.AddDate(1, 0, 0)); !ok || got != first {
		t.Errorf("%s is of %s, %v", third, got, ok)
	}
	lower := smtp.Path{Local: strings.ToLower(third.Local), Domain: third.Domain}
	if got, ok := three.original(lower, now); !ok || !strings.EqualFold(got.String(), first.String()) {
		t.Errorf("%s is of %s, %v", lower, got, ok)
	}
	for _, forged := range []string{
		second.Local, // with the proof of another
		strings.Replace(third.Local, "=one.", "=won.", 1),
		third.Local + "x",
		"SRS0" + third.Local[len("SRS1"):],
		"SRS1=" + third.Local[len("SRS1=x"):],
	} {
		if got, ok := three.original(smtp.Path{Local: forged, Domain: "three.example"}, now); ok {
			t.Errorf("%s holds, for %s", forged, got)
		}
	}
	// What comes back to the first stands for itself, whatever domain of his it leaves by.
	for _, p := range []smtp.Path{first, second, third} {
		if got := one.rewrite(p, "other.example", now); got.Local != first.Local || got.Domain != "other.example" {
			t.Errorf("%s, back again, becomes %s", p, got)
		}
	}
	for from, want := range map[string]string{
		"SRS0+abc=AA=a.example=joe":            "=first.example=+abc=AA=a.example=joe",
		"srs0-joe":                             "=first.example=-joe",
		"SRS1+abc=a.example=-x=AA=b.example=c": "=a.example=-x=AA=b.example=c",
		"SRS1=abc=a.example=x":                 "=first.example=SRS1=abc=a.example=x",
		"SRS1=abc=two words==x":                "=first.example=SRS1=abc=two words==x",
		"SRS1=abc":                             "=first.example=SRS1=abc",
		"SRS0":                                 "=first.example=SRS0",
		"SRS0joe":                              "=first.example=SRS0joe",
	} {
		if p := two.rewrite(smtp.Path{Local: from, Domain: "first.example"}, "two.example", now); !strings.HasSuffix(p.Local, want) {
			t.Errorf("%s@first.example becomes %s", from, p)
		}
	}
}

// TestDays holds the day to what the scheme's own program writes: the days since 1970
// in two characters of base32, the higher first, from 1024 on again.
func TestDays(t *testing.T) {
	for days, want := range map[int]string{0: "AA", 1: "AB", 25: "AZ", 26: "A2", 31: "A7", 32: "BA", 33: "BB", 1023: "77", 1024: "AA", 18262: "2W"} {
		if got := day(time.Unix(int64(days)*24*60*60, 0)); got != want {
			t.Errorf("day %d is %s, want %s", days, got, want)
		}
	}
	key := srs("a key")
	last := time.Unix(1023*24*60*60, 0) // and the cycle begins anew
	p := key.rewrite(smtp.Path{Local: "joe", Domain: "sender.example"}, "ours.example", last)
	for days, want := range map[int]bool{0: true, 1: true, 21: true, 22: false, -1: false, 1023: false, 1024: true} {
		if _, ok := key.original(p, last.AddDate(0, 0, days)); ok != want {
			t.Errorf("%s after %d days holds: %v", p, days, ok)
		}
	}
}

// TestFormOfTheScheme holds how many fields there are, and where they stand, against
// the form that is written in the scheme's own program.
func TestFormOfTheScheme(t *testing.T) {
	key, now := srs("a key"), time.Unix(18262*24*60*60, 0)
	for from, want := range map[string]string{
		"joe@sender.example":                                    `^SRS0=[A-Z2-7]{6}=2W=sender\.example=joe@ours\.example$`,
		"a=b=c@sender.example":                                  `^SRS0=[A-Z2-7]{6}=2W=sender\.example=a=b=c@ours\.example$`,
		"SRS0=87d/=IR=sender.example=joe@one.example":           `^SRS1=[A-Z2-7]{6}=one\.example==87d/=IR=sender\.example=joe@ours\.example$`,
		"srs0+87d/=IR=sender.example=joe@one.example":           `^SRS1=[A-Z2-7]{6}=one\.example=\+87d/=IR=sender\.example=joe@ours\.example$`,
		"SRS1=aB+/=one.example==x=IR=s.example=joe@two.example": `^SRS1=[A-Z2-7]{6}=one\.example==x=IR=s\.example=joe@ours\.example$`,
		"SRS1-aB+/=one.example=-x=IR=s.example=joe@two.example": `^SRS1=[A-Z2-7]{6}=one\.example=-x=IR=s\.example=joe@ours\.example$`,
		"joe@Ours.example":                                      `^joe@Ours\.example$`, // may be sent for already
	} {
		p, err := smtp.ParsePath(from)
		if err != nil {
			t.Fatal(from, err)
		}
		got := key.rewrite(p, "ours.example", now)
		if !regexp.MustCompile(want).MatchString(got.String()) {
			t.Errorf("%s becomes %s, want %s", from, got, want)
		}
	}
}

func FuzzRewrittenPath(f *testing.F) {
	key, now := srs("a key"), time.Unix(1_800_000_000, 0)
	f.Add("SRS0=")
	f.Add("SRS0===")
	f.Add("SRS1=")
	f.Add("SRS1=a=b==c")
	f.Add(key.rewrite(smtp.Path{Local: "SRS0=a=AA=sender.example=joe", Domain: "first.example"}, "o.example", now).Local)
	f.Add(key.rewrite(smtp.Path{Local: "joe", Domain: "sender.example"}, "o.example", now).Local)
	f.Fuzz(func(t *testing.T, local string) {
		p := smtp.Path{Local: local, Domain: "o.example"}
		if from, ok := key.original(p, now); ok && !strings.EqualFold(key.rewrite(from, "o.example", now).Local, local) {
			t.Errorf("%q is %v", local, from)
		}
	})
}
