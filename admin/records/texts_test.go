package records

import (
	"slices"
	"strings"
	"testing"
)

func TestMerge(t *testing.T) {
	for _, test := range []struct {
		texts, need []string
		want        string
	}{
		{nil, []string{"mx"}, "v=spf1 mx ~all"},
		{[]string{"v=spf1 -all"}, []string{"mx"}, "v=spf1 mx -all"},
		{[]string{"v=spf1 MX ip4:192.0.2.0/24 ?all"}, []string{"mx"}, "v=spf1 mx ip4:192.0.2.0/24 ?all"},
		{[]string{"v=spf1 +mx a:x.example -all", "v=SPF1 include:y.example  A:X.example -all"}, []string{"mx"}, "v=spf1 mx a:x.example include:y.example ~all"},
		{[]string{"v=spf1 redirect=_spf.example.org"}, []string{"mx"}, "v=spf1 mx include:_spf.example.org ~all"},
		{[]string{"v=spf1 all"}, []string{"mx", "include:relay.example"}, "v=spf1 mx include:relay.example ~all"},
		{[]string{"v=spf1 ipv4:192.0.2.1 x=y exp=why.example -include:z.example"}, []string{"a"}, "v=spf1 a x=y -include:z.example ~all"},
		{[]string{"v=spf1"}, []string{"a"}, "v=spf1 a ~all"},
	} {
		if got := merge(test.texts, test.need); got != test.want {
			t.Errorf("%q and %q make %q, want %q", test.texts, test.need, got, test.want)
		}
	}
}

func TestIsSPF(t *testing.T) {
	for text, want := range map[string]bool{
		"v=spf1": true, "V=SPF1 -all": true, "v=spf1  mx": true, "v=spf10 mx": false, "v=spf1\tmx": false, " v=spf1 mx": false, "": false, "spf2.0/pra mx": false,
	} {
		if isSPF(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func TestIncludeFor(t *testing.T) {
	for host, want := range map[string]string{
		"SMTP-relay.gmail.com":                "_spf.google.com",
		"email-smtp.us-east-1.amazonaws.com":  "amazonses.com",
		"ec2-192-0-2-1.compute.amazonaws.com": "",
		"smtp.eu.mailgun.org":                 "mailgun.org",
		"notmailgun.org":                      "",
		"192.0.2.1":                           "",
	} {
		if got := IncludeFor(host); got != want {
			t.Errorf("%s: %q", host, got)
		}
	}
}

// FuzzSPF feeds what others may publish: the record proposed instead must be one, with our
// mechanism in front and one "all" at the end, and proposing again must change nothing.
func FuzzSPF(f *testing.F) {
	f.Add("v=spf1 mx -all", "v=spf1 include:x.example ip4:192.0.2.0/24 ?all")
	f.Add("v=spf1 redirect=a.example exp=b.example", "v=spf1 +all")
	f.Add("v=spf1 - ~ = : / a=/ redirect= include: %{i}._spf.%{d}", "v=spf1 "+strings.Repeat("a ", 500))
	f.Fuzz(func(t *testing.T, one, two string) {
		if !isSPF(one) || !isSPF(two) {
			return
		}
		for _, texts := range [][]string{{one}, {one, two}} {
			got := merge(texts, []string{"mx"})
			list := terms(got)
			if !strings.HasPrefix(got, "v=spf1 mx ") || list[len(list)-1].name != "all" || permits(list) {
				t.Errorf("%q make %q", texts, got)
			}
			if n := len(slices.DeleteFunc(list, func(t term) bool { return t.name != "all" })); n != 1 {
				t.Errorf("%q make %q: %d times all", texts, got, n)
			}
			if again := merge([]string{got}, []string{"mx"}); again != got && len(strings.Fields(got)) < 200 {
				t.Errorf("%q, then %q", got, again)
			}
		}
	})
}

// FuzzTags feeds the texts of DKIM, DMARC and the like.
func FuzzTags(f *testing.F) {
	f.Add("v=DMARC1; p=none; rua=mailto:a@example.org", "DMARC1")
	f.Add("v = STSv1 ;id=1;;=;id=2", "STSv1")
	f.Fuzz(func(t *testing.T, text, version string) {
		m := tags(text)
		for name, value := range m {
			if name != strings.ToLower(name) || strings.ContainsAny(value, ";") {
				t.Errorf("%q: %q", name, value)
			}
		}
		if len(versioned([]string{text}, version)) > 0 && m["v"] != version {
			t.Errorf("%q is of version %q, but has v=%q", text, version, m["v"])
		}
		_ = brief(text)
	})
}
