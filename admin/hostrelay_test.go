package admin_test

import (
	"strings"
	"testing"

	"roost/admin"
)

func TestRelay(t *testing.T) {
	o := office(t)
	owner := admin.Caller{Owner: true}
	spf := func() string {
		t.Helper()
		for _, r := range do(t, o, owner, "dns", func(args any) { set(args, "Domain", "example.org") }).(admin.Records) {
			if r.Kind == "SPF" {
				return r.Value
			}
		}
		return ""
	}
	for _, test := range []struct {
		url, password, include string
		shown, stored, spf     string
	}{
		{"smtps://me%40isp.example@smtp.ISP.example", "p@ss/word", "include:spf.isp.example",
			"smtps://me%40isp.example@smtp.isp.example", "smtps://me%40isp.example:p%40ss%2Fword@smtp.isp.example", "v=spf1 mx include:spf.isp.example ~all"},
		{"smtp+starttls://me:secret@smtp-relay.gmail.com:587", "", "",
			"smtp+starttls://me@smtp-relay.gmail.com:587", "smtp+starttls://me:secret@smtp-relay.gmail.com:587", "v=spf1 mx include:_spf.google.com ~all"},
		{"smtp://smtp.isp.example", "", "", "smtp://smtp.isp.example", "smtp://smtp.isp.example", "v=spf1 mx a:smtp.isp.example ~all"},
		{"smtp://[2001:db8::9]:2525", "", "", "smtp://[2001:db8::9]:2525", "smtp://[2001:db8::9]:2525", "v=spf1 mx ip6:2001:db8::9 ~all"},
		{"smtp://127.0.0.1:2525", "", "", "smtp://127.0.0.1:2525", "smtp://127.0.0.1:2525", "v=spf1 mx ~all"},
	} {
		got := do(t, o, owner, "relay set", func(args any) {
			set(args, "URL", test.url)
			set(args, "Password", test.password)
			set(args, "Include", test.include)
		}).(admin.Relay)
		if again := do(t, o, owner, "relay show", nil).(admin.Relay); got.URL != test.shown || again != got {
			t.Errorf("%s: set %+v, shown %+v", test.url, got, again)
		}
		s, err := o.Store.Settings()
		if err != nil || s.Relay != test.stored {
			t.Errorf("%s: kept as %s, %v", test.url, s.Relay, err)
		}
		if got := spf(); got != test.spf {
			t.Errorf("%s: SPF is %q", test.url, got)
		}
	}
	for _, url := range []string{"", "smtp.isp.example", "http://smtp.isp.example", "smtp://", "smtps://me@smtp.isp.example", "smtps://:p@smtp.isp.example", "smtp://x/path", "smtp://a b", "smtps://me:s%zzcret@x"} {
		_, err := try(o, owner, "relay set", func(args any) { set(args, "URL", url) })
		if err == nil || admin.Explain(err).Kind != admin.Invalid || strings.Contains(err.Error(), "zzcret") {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := try(o, owner, "relay set", func(args any) { set(args, "URL", "smtp://smtp.isp.example"); set(args, "Password", "x") }); err == nil {
		t.Error("a password without a user is taken")
	}
	do(t, o, owner, "relay remove", nil)
	if got := do(t, o, owner, "relay show", nil).(admin.Relay); got.URL != "" || spf() != "v=spf1 mx ~all" {
		t.Errorf("removed: %+v, %s", got, spf())
	}
}
