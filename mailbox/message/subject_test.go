package message

import (
	"slices"
	"strings"
	"testing"
)

func TestBaseSubject(t *testing.T) {
	for _, c := range []struct {
		in, want string
		reply    bool
	}{
		{"Hello", "Hello", false},
		{"Re: Hello", "Hello", true},
		{"RE:re: Fwd: FW[2] :  Hello  (fwd) (FWD) ", "Hello", true},
		{"[list] Hello", "Hello", false},
		{"[list] Re: [list] Hello", "Hello", true},
		{"Re: [list]", "[list]", true},
		{"[list]", "[list]", false},
		{"[fwd: [list] Re: Hello]", "Hello", true},
		{"Re : a\t b\r\n c", "a b c", true},
		{"Regarding", "Regarding", false},
		{"Re:", "", true},
		{"", "", false},
		{"(fwd)", "", true},
		{"[[x]] y", "[[x]] y", false},
		{"[fwd:", "[fwd:", false},
	} {
		if got, reply := BaseSubject(c.in); got != c.want || reply != c.reply {
			t.Errorf("BaseSubject(%q) = %q, %v, want %q, %v", c.in, got, reply, c.want, c.reply)
		}
	}
}

func TestCaseMap(t *testing.T) {
	for _, c := range [][2]string{{"abC", "ABC"}, {"é", "E\u0301"}, {"ﬁ", "fi"}, {"ǆ", "Dz\u030c"}} {
		if got := CaseMap(c[0]); got != c[1] {
			t.Errorf("CaseMap(%q) = %q, want %q", c[0], got, c[1])
		}
	}
}

func TestMessageIDs(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"<a@b>", []string{"a@b"}},
		{"<a@b><c@d>\t< e@f >", []string{"a@b", "c@d", "e@f"}},
		{`<"a"@b>`, []string{"a@b"}},
		{"your message of today <x <a@b> and <open", []string{"a@b"}},
		{"<>", nil},
		{"", nil},
	} {
		if got := MessageIDs(c.in); !slices.Equal(got, c.want) {
			t.Errorf("MessageIDs(%q) = %q, want %q", c.in, got, c.want)
		}
	}
	many := MessageIDs("<first@x>" + strings.Repeat("<more@x>", 500) + "<last@x>")
	if len(many) != maxReferences || many[0] != "first@x" || many[maxReferences-1] != "last@x" {
		t.Errorf("%d identifiers, %q to %q", len(many), many[0], many[len(many)-1])
	}
}

func FuzzBaseSubject(f *testing.F) {
	f.Add("Re: [x] Fwd: [fwd: y (fwd)]")
	f.Fuzz(func(t *testing.T, s string) {
		base, _ := BaseSubject(s)
		if again, reply := BaseSubject(base); again != base || reply {
			t.Errorf("BaseSubject(%q) = %q, and again %q, %v", s, base, again, reply)
		}
		CaseMap(s)
		MessageIDs(s)
	})
}
