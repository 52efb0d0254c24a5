package panel_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roost/mailbox"
)

func TestSignIn(t *testing.T) {
	w := newWorld(t)
	v := &visitor{world: w}
	got := v.get("/panel/trace?q=x")
	if to := got.Header().Get("Location"); got.Code != http.StatusSeeOther || to != "/panel/sign-in?next=%2Fpanel%2Ftrace%3Fq%3Dx" {
		t.Errorf("a stranger got %d to %q", got.Code, to)
	}
	wants(t, v.get("/panel/sign-in"), http.StatusOK, "E-mail address", "Password")
	wants(t, v.logIn("anna@example.org", "wrong"), http.StatusForbidden, "wrong login name or password")
	wants(t, v.logIn("nobody@example.org", password), http.StatusForbidden, "wrong login name or password")

	// A device's password opens mail alone.
	_, secret, err := w.store.AddDevice(context.Background(), "anna@example.org", "phone")
	if err != nil {
		t.Fatal(err)
	}
	wants(t, v.logIn("anna@example.org", secret), http.StatusForbidden, "wrong login name or password")

	got = v.send(http.MethodPost, "/panel/sign-in", url.Values{"name": {"Anna@Example.org"}, "password": {password}, "next": {"/panel/trace?q=x"}})
	if to := got.Header().Get("Location"); got.Code != http.StatusSeeOther || to != "/panel/trace?q=x" {
		t.Errorf("signed in, and sent by %d to %q", got.Code, to)
	}
	c := v.cookies[0]
	if c.Name != "__Host-roost" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
		t.Errorf("cookie %+v", c)
	}
	wants(t, v.get("/panel/"), http.StatusOK, "Your mail", "anna@example.org")

	// Signing out ends the session, not only the cookie.
	kept := v.cookies
	if got := v.send(http.MethodPost, "/panel/sign-out", url.Values{}); got.Code != http.StatusSeeOther || v.cookies != nil {
		t.Errorf("signed out with %d, and has %v", got.Code, v.cookies)
	}
	v.cookies = kept
	if got := v.get("/panel/"); got.Code != http.StatusSeeOther {
		t.Errorf("the session lives on: %d", got.Code)
	}
}

func TestNextLeadsNowhereElse(t *testing.T) {
	w := newWorld(t)
	for _, next := range []string{
		"https://evil.example/panel/", "//evil.example/panel/", `/\evil.example`, "/panel/../elsewhere", "javascript:alert(1)", "panel", "/panelx/", "%zz", "/panel",
		"/panel/\nLocation: https://evil.example",
	} {
		v := &visitor{world: w}
		got := v.send(http.MethodPost, "/panel/sign-in", url.Values{"name": {"anna"}, "password": {password}, "next": {next}})
		if to := got.Header().Get("Location"); got.Code != http.StatusSeeOther || to != "/panel/" {
			t.Errorf("next=%q leads by %d to %q", next, got.Code, to)
		}
	}
}

func TestSignInLinkWorksOnce(t *testing.T) {
	w := newWorld(t)
	link, err := w.office.SignInLink(context.Background(), "boss@example.org")
	if err != nil {
		t.Fatal(err)
	}
	guess := &visitor{world: w, header: http.Header{"Sec-Purpose": {"prefetch;prerender"}}}
	if got := guess.get(link); got.Code != http.StatusServiceUnavailable || guess.cookies != nil {
		t.Errorf("a prefetch got %d and %v", got.Code, guess.cookies)
	}
	first, second := &visitor{world: w}, &visitor{world: w}
	if got := first.get(link); got.Code != http.StatusSeeOther || len(first.cookies) != 1 {
		t.Fatalf("the link gave %d", got.Code)
	}
	wants(t, first.get("/panel/"), http.StatusOK, "boss@example.org")
	wants(t, second.get(link), http.StatusNotFound, "used already", "Sign in")
	if got := first.get(link); got.Code != http.StatusSeeOther || got.Header().Get("Location") != "/panel/" {
		t.Errorf("who is in already got %d", got.Code)
	}
}

// A new password and the end of an account end the sessions at once.
func TestSessionsEndWithWhatTheyStandOn(t *testing.T) {
	w := newWorld(t)
	boss, anna, bob := w.signIn("boss"), w.signIn("anna"), w.signIn("bob")
	if got := boss.post("/panel/people/anna@example.org", "account password", "address", "anna@example.org", "password", "another one"); got.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", got.Code, seen(got))
	}
	if got := boss.post("/panel/people/bob@example.org", "account remove", "address", "bob@example.org", "_sure", "yes"); got.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", got.Code, seen(got))
	}
	for _, v := range []*visitor{anna, bob} {
		if got := v.get("/panel/"); got.Code != http.StatusSeeOther {
			t.Errorf("still in: %d %s", got.Code, seen(got))
		}
	}
	wants(t, boss.get("/panel/people"), http.StatusOK, "bob@example.org and all its mail removed.")
}

func TestSessionsGrowOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		in := func(v *visitor) bool { return v.get("/panel/").Code == http.StatusOK }
		idle := w.signIn("anna")
		time.Sleep(11 * time.Hour)
		if !in(idle) {
			t.Error("out after 11 idle hours")
		}
		time.Sleep(11 * time.Hour)
		if !in(idle) {
			t.Error("out after 11 more: its use was not noted")
		}
		time.Sleep(12*time.Hour + 16*time.Minute)
		if in(idle) {
			t.Error("in after more than 12 idle hours")
		}
		busy := w.signIn("anna")
		for range 7*24 - 1 {
			time.Sleep(time.Hour)
			if !in(busy) {
				t.Fatal("out within a week of use")
			}
		}
		time.Sleep(2 * time.Hour)
		if in(busy) {
			t.Error("in after a week")
		}
	})
}

func TestGuessersHaveToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		v := &visitor{world: w, header: http.Header{"From-Address": {"[2001:db8::1]:1000"}}}
		for n := range 10 {
			wants(t, v.logIn("anna", fmt.Sprint("wrong ", n)), http.StatusForbidden)
		}
		wants(t, v.logIn("anna", password), http.StatusTooManyRequests, "too many wrong passwords from your address", "try again in 10 minutes")
		// One host has a whole /64.
		v.header.Set("From-Address", "[2001:db8::ffff]:1000")
		wants(t, v.logIn("anna", password), http.StatusTooManyRequests)
		other := &visitor{world: w, header: http.Header{"From-Address": {"[2001:db8:0:1::1]:1000"}}}
		if got := other.logIn("anna", password); got.Code != http.StatusSeeOther {
			t.Errorf("somebody else got %d", got.Code)
		}
		time.Sleep(10*time.Minute + time.Second)
		if got := v.logIn("anna", password); got.Code != http.StatusSeeOther {
			t.Errorf("after the wait: %d", got.Code)
		}
	})
}

// No password goes over a wire in the clear.
func TestOnlyEncryptedOrAtHome(t *testing.T) {
	w := newWorld(t)
	w.office.Listeners = append(w.office.Listeners[:5:5], w.office.Listeners[5])
	w.office.Proxies = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	for _, test := range []struct {
		url, from string
		header    http.Header
		code      int
		to        string
		cookie    string // of a sign-in
	}{
		{"https://mail.example.org/panel/sign-in", "192.0.2.7:1000", nil, 200, "", "__Host-roost"},
		{"http://mail.example.org/panel/sign-in", "192.0.2.7:1000", nil, 307, "https://mail.example.org/panel/sign-in", ""},
		{"http://mail.example.org/panel/people/a%2Fb?x=1", "192.0.2.7:1000", nil, 307, "https://mail.example.org/panel/people/a%2Fb?x=1", ""},
		{"http://localhost:1080/panel/sign-in", "127.0.0.1:1000", nil, 200, "", "roost"},
		{"http://127.0.0.1:1080/panel/sign-in", "127.0.0.1:1000", nil, 200, "", "roost"},
		{"http://[::1]:1080/panel/sign-in", "[::1]:1000", nil, 200, "", "roost"},
		{"http://roost.localhost/panel/sign-in", "[::ffff:127.0.0.1]:1000", nil, 200, "", "roost"},
		// A name of somebody else's that leads to this machine.
		{"http://evil.example/panel/sign-in", "127.0.0.1:1000", nil, 307, "https://evil.example/panel/sign-in", ""},
		// Somebody who only says that it is local.
		{"http://localhost/panel/sign-in", "192.0.2.7:1000", nil, 307, "https://localhost/panel/sign-in", ""},
		// A web server on this machine passes on what it got.
		{"http://mail.example.org/panel/sign-in", "127.0.0.1:1000", http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-For": {"192.0.2.7"}}, 200, "", "__Host-roost"},
		{"http://mail.example.org/panel/sign-in", "127.0.0.1:1000", http.Header{"X-Forwarded-Proto": {"http"}, "X-Forwarded-For": {"192.0.2.7"}}, 307, "https://mail.example.org/panel/sign-in", ""},
		{"http://localhost/panel/sign-in", "127.0.0.1:1000", http.Header{"X-Forwarded-For": {"192.0.2.7"}}, 307, "https://localhost/panel/sign-in", ""},
		// So does one that the owner named.
		{"http://mail.example.org/panel/sign-in", "198.51.100.9:1000", http.Header{"X-Forwarded-Proto": {"https"}}, 200, "", "__Host-roost"},
		// Nobody else is believed.
		{"http://mail.example.org/panel/sign-in", "192.0.2.7:1000", http.Header{"X-Forwarded-Proto": {"https"}}, 307, "https://mail.example.org/panel/sign-in", ""},
	} {
		header := http.Header{"From-Address": {test.from}}
		for name, values := range test.header {
			header[name] = values
		}
		v := &visitor{world: w, header: header}
		got := v.get(test.url)
		if got.Code != test.code || got.Header().Get("Location") != test.to {
			t.Errorf("GET %s from %s %v: %d %s", test.url, test.from, test.header, got.Code, got.Header().Get("Location"))
		}
		got = v.send(http.MethodPost, test.url, url.Values{"name": {"anna"}, "password": {password}})
		name := ""
		if len(v.cookies) > 0 {
			name = v.cookies[0].Name
		}
		if name != test.cookie || test.cookie == "" && got.Code != http.StatusForbidden {
			t.Errorf("POST %s from %s %v: %d, cookie %q", test.url, test.from, test.header, got.Code, name)
		}
	}
}

// Another site's page can make a browser send a form, but not have it carried out.
func TestOtherSitesCannotAct(t *testing.T) {
	w := newWorld(t)
	boss := w.signIn("boss")
	for _, header := range []http.Header{
		{"Sec-Fetch-Site": {"cross-site"}}, {"Sec-Fetch-Site": {"same-site"}}, {"Origin": {"https://evil.example"}}, {"Origin": {"null"}},
	} {
		boss.header = header
		if got := boss.post("/panel/people/bob@example.org", "account remove", "address", "bob@example.org", "_sure", "yes"); got.Code != http.StatusForbidden {
			t.Errorf("%v: %d", header, got.Code)
		}
		stranger := &visitor{world: w, header: header}
		if got := stranger.logIn("anna", password); got.Code != http.StatusForbidden || stranger.cookies != nil {
			t.Errorf("sign-in with %v: %d", header, got.Code)
		}
	}
	if _, err := w.store.Account("bob@example.org"); err != nil {
		t.Errorf("bob: %v", err)
	}
	boss.header = http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {site}}
	if got := boss.post("/panel/people/bob@example.org", "account remove", "address", "bob@example.org", "_sure", "yes"); got.Code != http.StatusSeeOther {
		t.Errorf("our own page: %d %s", got.Code, seen(got))
	}
	if _, err := w.store.Account("bob@example.org"); err == nil {
		t.Error("bob is still there")
	}
}

// A form larger than any of ours is not read into memory.
func TestLargeFormsAreRefused(t *testing.T) {
	w := newWorld(t)
	boss := w.signIn("boss")
	got := boss.post("/panel/domains", "domain add", "domain", strings.Repeat("a", 1<<20))
	if got.Code != http.StatusBadRequest {
		t.Errorf("%d", got.Code)
	}
}

// The cookie of one scheme is none for the other: what http could have set counts for nothing over https.
func TestCookiesOfHTTPDoNotCountOverTLS(t *testing.T) {
	w := newWorld(t)
	secret, err := w.store.NewToken(context.Background(), mailbox.TokenSession, w.id("boss"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"__Host-roost": http.StatusOK, "roost": http.StatusSeeOther} {
		r := httptest.NewRequest(http.MethodGet, site+"/panel/", nil)
		r.TLS = &tls.ConnectionState{}
		r.AddCookie(&http.Cookie{Name: name, Value: secret})
		got := httptest.NewRecorder()
		w.panel.ServeHTTP(got, r)
		if got.Code != want {
			t.Errorf("%s: %d, want %d", name, got.Code, want)
		}
	}
}
