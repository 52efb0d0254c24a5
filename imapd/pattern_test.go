package imapd

import (
	"strings"
	"testing"
	"time"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a/b", true}, {"%", "a/b", false}, {"%", "ab", true}, {"%/%", "a/b", true}, {"%/%", "a/b/c", false},
		{"a*c", "a/b/c", true}, {"a%c", "abc", true}, {"a%c", "a/c", false}, {"a*b*", "ab", true}, {"a*b", "abc", false},
		{"", "", true}, {"", "a", false}, {"a", "", false}, {"%", "", true}, {"*%", "a/b", true}, {"%*", "a/b", true},
		{"a/%", "a/", true}, {"a/%", "a", false}, {"ä%", "äöü", true}, {"a%%%b", "ab", true},
	} {
		if got := match(c.pattern, c.name); got != c.want {
			t.Errorf("match(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
	if !matchAny([]string{"in%"}, "INBOX") || matchAny([]string{"sent"}, "Sent") {
		t.Error("INBOX alone is the same in any case")
	}
}

// No pattern takes long.
func TestMatchHostile(t *testing.T) {
	begun := time.Now()
	if match(strings.Repeat("*a%", 600)+"b", strings.Repeat("a", 1000)) {
		t.Error("matched")
	}
	if d := time.Since(begun); d > 30*time.Second {
		t.Errorf("took %v", d)
	}
}
