package inbound

import (
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
		{Local: "SRS0=abcd=AA=first.example=joe", Domain: "second.example"},
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

func FuzzRewrittenPath(f *testing.F) {
	key, now := srs("a key"), time.Unix(1_800_000_000, 0)
	f.Add("SRS0=")
	f.Add("SRS0===")
	f.Add(key.rewrite(smtp.Path{Local: "joe", Domain: "sender.example"}, "o.example", now).Local)
	f.Fuzz(func(t *testing.T, local string) {
		p := smtp.Path{Local: local, Domain: "o.example"}
		if !isSRS(p) {
			return
		}
		if from, ok := key.original(p, now); ok && !strings.EqualFold(key.rewrite(from, "o.example", now).Local, local) {
			t.Errorf("%q is %v", local, from)
		}
	})
}
