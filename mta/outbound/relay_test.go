package outbound_test

import (
	"errors"
	"strings"
	"testing"

	"roost/mta/outbound"
)

func TestParseRelay(t *testing.T) {
	type relay = outbound.Relay
	for in, want := range map[string]relay{
		"smtps://me:pw@mail.example.com":                   {Host: "mail.example.com", Port: 465, Mode: outbound.ImplicitTLS, User: "me", Password: "pw"},
		"smtps://me:pw@mail.example.com:4465/":             {Host: "mail.example.com", Port: 4465, Mode: outbound.ImplicitTLS, User: "me", Password: "pw"},
		"smtp://me:pw@mail.example.com":                    {Host: "mail.example.com", Port: 587, Mode: outbound.StartTLSRequired, User: "me", Password: "pw"},
		"smtp://me@example.org:p%40:%2fw@mail.example.com": {Host: "mail.example.com", Port: 587, Mode: outbound.StartTLSRequired, User: "me@example.org", Password: "p@:/w"},
		"smtp+starttls://Mail.Example.COM.":                {Host: "mail.example.com", Port: 587, Mode: outbound.StartTLSRequired},
		"smtp://mail.example.com":                          {Host: "mail.example.com", Port: 25},
		" smtp://127.0.0.1:2526 ":                          {Host: "127.0.0.1", Port: 2526},
		"smtp://me:pw@127.0.0.1:2526":                      {Host: "127.0.0.1", Port: 2526, User: "me", Password: "pw"},
		"smtp://me:pw@[::1]":                               {Host: "::1", Port: 587, User: "me", Password: "pw"},
		"mail.example.com":                                 {Host: "mail.example.com", Port: 25},
		"mail.example.com:2525":                            {Host: "mail.example.com", Port: 2525},
		"mail.example.com:465":                             {Host: "mail.example.com", Port: 465, Mode: outbound.ImplicitTLS},
		"192.0.2.1":                                        {Host: "192.0.2.1", Port: 25},
		"2001:db8::1":                                      {Host: "2001:db8::1", Port: 25},
		"[2001:db8::1]:2525":                               {Host: "2001:db8::1", Port: 2525},
	} {
		got, err := outbound.ParseRelay(in)
		if err != nil || *got != want {
			t.Errorf("%s: %+v, %v; want %+v", in, got, err, want)
			continue
		}
		// What is shown can be typed again, and lacks only the password.
		shown := got.String()
		if got.Password != "" && strings.Contains(shown, got.Password) {
			t.Errorf("%s: the password is in %s", in, shown)
		}
		if got.User == "" {
			if again, err := outbound.ParseRelay(shown); err != nil || *again != want {
				t.Errorf("%s is shown as %s, which is %+v, %v", in, shown, again, err)
			}
		}
	}
	for _, in := range []string{
		"", "smtp://", "http://mail.example.com", "smtp://mail.example.com:0", "smtp://mail.example.com:66000",
		"smtp://mail.example.com:x", "smtp://me@mail.example.com", "smtp://me:@mail.example.com", "smtp://:secret@mail.example.com",
		"smtp://mail.example.com/path", "smtp://mail.example.com?x", "smtp://two words", "smtp://a..b", "smtp://me:sec%00ret@mail.example.com",
		"smtp://me:secret%zz@mail.example.com", "smtp://mail.example.com#x",
	} {
		got, err := outbound.ParseRelay(in)
		if !errors.Is(err, outbound.ErrRelay) {
			t.Errorf("%s: %+v, %v", in, got, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the password is in %v", in, err)
		}
	}
}

func FuzzParseRelay(f *testing.F) {
	f.Add("smtps://me:pw@mail.example.com")
	f.Add("[2001:db8::1]:2525")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := outbound.ParseRelay(s)
		if err != nil {
			return
		}
		if r.Host == "" || r.Port == 0 || (r.User == "") != (r.Password == "") {
			t.Fatalf("%q: %+v", s, r)
		}
		if r.User == "" {
			if again, err := outbound.ParseRelay(r.String()); err != nil || *again != *r {
				t.Fatalf("%q is shown as %s, which is %+v, %v", s, r, again, err)
			}
		}
	})
}
