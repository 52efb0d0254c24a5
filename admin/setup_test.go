package admin_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"roost/admin"
	"roost/admin/machine"
	"roost/mailbox"
)

// empty is an office that nobody has set up.
func empty(t *testing.T) *admin.Office {
	t.Helper()
	store, err := mailbox.Open(t.TempDir(), mailbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		report, err := store.Check(context.Background())
		if err != nil || report.Err() != nil {
			t.Error(err, report.Err())
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return &admin.Office{Store: store}
}

func setup(o *admin.Office, fields ...string) (admin.SetUp, error) {
	result, err := try(o, admin.Caller{Owner: true}, "setup", func(args any) {
		for i := 0; i < len(fields); i += 2 {
			if strings.HasPrefix(fields[i], "IPv") {
				set(args, fields[i], strings.Split(fields[i+1], ","))
			} else {
				set(args, fields[i], fields[i+1])
			}
		}
	})
	s, _ := result.(admin.SetUp)
	return s, err
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s", name, got)
	}
}

func TestSetupInOneGo(t *testing.T) {
	o := empty(t)
	unset := func() bool {
		needs, err := o.NeedsSetup()
		if err != nil {
			t.Fatal(err)
		}
		return needs
	}
	if !unset() {
		t.Error("a new store is set up already")
	}
	first := []string{"Domain", "Example.ORG.", "Admin", "Anna@example.org", "Password", "secret", "IPv4", "203.0.113.7", "IPv6", "2001:db8:0::7"}
	s, err := setup(o, first...)
	if err != nil {
		t.Fatal(err)
	}
	if unset() {
		t.Error("needs to be set up again")
	}
	if s.Host != "mail.example.org" || s.Domain != "example.org" || s.Admin != "anna@example.org" || !s.New || s.Password != "" ||
		strings.Join(s.Addresses, " ") != "203.0.113.7 2001:db8::7" {
		t.Errorf("%+v", s)
	}
	a, err := o.Store.Login(context.Background(), netip.Addr{}, "anna@example.org", "secret")
	if err != nil || !a.Admin {
		t.Errorf("%+v, %v", a, err)
	}

	// A second time, as a script does: nothing changes.
	again, err := setup(o, "Domain", "example.org", "Admin", "anna@example.org", "Password", "other")
	if err != nil || again.New || again.Host != s.Host || strings.Join(again.Addresses, " ") != strings.Join(s.Addresses, " ") {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := o.Store.Login(context.Background(), netip.Addr{}, "anna@example.org", "secret"); err != nil {
		t.Errorf("the password was changed: %v", err)
	}

	// With another domain, host, address and administrator.
	more, err := setup(o, "Host", "mx.example.net", "Admin", "bob@example.net", "IPv6", "::ffff:198.51.100.1")
	if err != nil || more.Domain != "example.net" || more.Host != "mx.example.net" || len(more.Password) < 16 || strings.Join(more.Addresses, " ") != "198.51.100.1" {
		t.Errorf("%+v, %v", more, err)
	}
	if _, err := o.Store.Login(context.Background(), netip.Addr{}, "bob@example.net", more.Password); err != nil {
		t.Error(err)
	}
}

func TestSetupRefuses(t *testing.T) {
	o := empty(t)
	for _, test := range []struct {
		want   string
		fields []string
	}{
		{"domain is missing", []string{"Admin", "anna@example.org"}},
		{"administrator is missing", []string{"Domain", "example.org"}},
		{"full name", []string{"Domain", "nodot", "Admin", "a@nodot"}},
		{"full name", []string{"Domain", "example.org", "Host", "mail", "Admin", "a@example.org"}},
		{"not a domain name", []string{"Domain", "exam ple.org", "Admin", "a@example.org"}},
		{"not an e-mail address", []string{"Domain", "example.org", "Admin", "anna"}},
		{"not an address of example.org", []string{"Domain", "example.org", "Admin", "anna@example.net"}},
		{"not an IP address", []string{"Domain", "example.org", "Admin", "a@example.org", "IPv4", "1.2.3"}},
		{"not an IP address", []string{"Domain", "example.org", "Admin", "a@example.org", "IPv6", "fe80::1%eth0"}},
	} {
		_, err := setup(o, test.fields...)
		if err == nil || admin.Explain(err).Kind != admin.Invalid || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %s", test.fields, err, test.want)
		}
	}
	if domains, err := o.Store.Domains(); err != nil || len(domains) > 0 {
		t.Errorf("a refusal left %v, %v", domains, err)
	}
	if _, err := setup(o, "Domain", "example.org", "Admin", "anna@example.org"); err != nil {
		t.Fatal(err)
	}
	do(t, o, admin.Caller{Owner: true}, "account add", func(args any) { set(args, "Address", "bob@example.org") })
	if _, err := setup(o, "Domain", "example.org", "Admin", "bob@example.org"); err == nil || admin.Explain(err).Kind != admin.Exists {
		t.Errorf("a person who is no administrator: %v", err)
	}
}

func TestSetupSaysWhatIsNext(t *testing.T) {
	for name, s := range map[string]admin.SetUp{
		"setup.txt": {Host: "mail.example.org", Domain: "example.org", Admin: "anna@example.org", New: true, Password: "abcd-efgh-ijkl-mnop",
			Addresses: []string{"203.0.113.7", "2001:db8::7"}, Ports: []string{"25", "465", "587", "993", "143", "80", "443"}},
		"setup-taken.txt": {Host: "mail.example.org", Domain: "example.org", Admin: "anna@example.org", Running: true,
			Addresses: []string{"1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4", "5.5.5.5", "6.6.6.6"}, Ports: []string{"25"},
			Taken: []string{"25 is held by exim4 (process 812)", "80 is held by nginx (process 9)", "443 is held by nginx (process 9)", "993 is held by another program", "143 is held by another program"}},
		"setup-nat.txt": {Host: "mail.example.org", Domain: "example.org", Admin: "anna@example.org", New: true, Running: true, Ports: []string{"25"}},
	} {
		var b strings.Builder
		if err := s.Text(&b, nil); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.String())
		// The prompt takes a line, too.
		if n := strings.Count(b.String(), "\n"); n > 23 {
			t.Errorf("%s: %d lines", name, n)
		}
	}
}

// Every question has an answer to suggest, or waits for one.
func TestSetupAsks(t *testing.T) {
	for _, test := range []struct {
		given     []string
		answers   []string // empty: what was suggested
		questions int
		host      string
	}{
		{nil, []string{"example.org", "", "anna@example.org"}, 3, "mail.example.org"},
		{[]string{"Host", "mx.a.example"}, []string{"", "anna@a.example"}, 2, "mx.a.example"},
		{[]string{"Domain", "b.example", "Admin", "anna@b.example"}, []string{"smtp.b.example"}, 1, "smtp.b.example"},
		{[]string{"Domain", "b.example", "Host", "c.example", "Admin", "anna@b.example"}, nil, 0, "c.example"},
	} {
		op, err := admin.Find("setup")
		if err != nil {
			t.Fatal(err)
		}
		args := op.NewArgs()
		for i := 0; i < len(test.given); i += 2 {
			set(args, test.given[i], test.given[i+1])
		}
		asked := 0
		err = args.(interface{ Ask(admin.Asker) error }).Ask(func(question, suggestion string, check func(string) error) (string, error) {
			if check("no name") == nil {
				t.Errorf("%s: takes anything", question)
			}
			answer := suggestion
			if a := test.answers[asked]; a != "" {
				answer = a
			}
			asked++
			return answer, check(answer)
		})
		if err != nil || asked != test.questions {
			t.Errorf("%q: %d questions, %v", test.given, asked, err)
		}
		o := empty(t)
		result, err := o.Do(context.Background(), admin.Caller{Owner: true}, op, args)
		if err != nil || result.(admin.SetUp).Host != test.host {
			t.Errorf("%q: %+v, %v", test.given, result, err)
		}
	}
}

// visit shows the setup page to a browser that came over TLS.
func visit(o *admin.Office, page http.Handler, target string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	if form != nil {
		r = httptest.NewRequest(http.MethodPost, target, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if strings.HasPrefix(target, "https:") {
		r.TLS = &tls.ConnectionState{}
	}
	w := httptest.NewRecorder()
	page.ServeHTTP(w, r)
	return w
}

func link(t *testing.T, o *admin.Office) (target string, form url.Values) {
	t.Helper()
	target, _, err := o.SetupLink(context.Background(), "192.0.2.1:8443")
	if err != nil || !strings.HasPrefix(target, "https://192.0.2.1:8443/setup?token=") {
		t.Fatalf("%s, %v", target, err)
	}
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	return target, url.Values{"token": u.Query()["token"], "domain": {"example.org"}, "admin": {"anna@example.org"}, "password": {"secret"}, "again": {"secret"}}
}

func TestSetupPage(t *testing.T) {
	o := empty(t)
	page := o.SetupPage()
	target, form := link(t, o)
	check := func(step string, w *httptest.ResponseRecorder, status int, want string) {
		t.Helper()
		if w.Code != status || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", step, w.Code, w.Body)
		}
		h := w.Header()
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", step, h)
		}
	}
	const posted = "https://192.0.2.1/setup"
	check("the form", visit(o, page, target, nil), 200, `name="token" value="`+form.Get("token"))
	check("a wrong link", visit(o, page, "https://192.0.2.1/setup?token=x", nil), 404, "this link is not valid any more")
	check("no token", visit(o, page, posted, nil), 404, "not valid")
	check("without TLS", visit(o, page, strings.Replace(target, "https:", "http:", 1), nil), 403, "for https only")
	check("posted without TLS", visit(o, page, "http://192.0.2.1/setup", form), 403, "for https only")

	other := func(name, value string) url.Values {
		changed := url.Values{}
		for k, v := range form {
			changed[k] = v
		}
		changed.Set(name, value)
		return changed
	}
	check("a wrong token", visit(o, page, posted, other("token", "x")), 404, "not valid")
	check("the token only in the address", visit(o, page, target, other("token", "")), 404, "not valid")
	check("passwords differ", visit(o, page, posted, other("again", "Secret")), 400, "the two passwords differ")
	check("another domain", visit(o, page, posted, other("admin", "anna@example.net")), 400, "anna@example.net is not an address of example.org")
	check("markup", visit(o, page, posted, other("domain", `"><script>`)), 400, "&#34;&gt;&lt;script&gt;")
	check("too much", visit(o, page, posted, other("domain", strings.Repeat("x", 20<<10))), 404, "not valid")
	if needs, err := o.NeedsSetup(); err != nil || !needs {
		t.Fatal("a refusal set the server up", err)
	}
	check("all well", visit(o, page, posted, form), 200, "roost dns example.org")
	if _, err := o.Store.Login(context.Background(), netip.Addr{}, "anna@example.org", "secret"); err != nil {
		t.Error(err)
	}
	check("the link again", visit(o, page, target, nil), 404, "set up already")
	check("posted again", visit(o, page, posted, other("admin", "eve@example.org")), 404, "set up already")
	if _, err := o.Store.Account("eve@example.org"); err == nil {
		t.Error("a used link made an account")
	}
	fresh, _ := link(t, o)
	check("a new link to a server that is set up", visit(o, page, fresh, nil), 404, "set up already")
}

func TestSetupLinkDies(t *testing.T) {
	o := empty(t)
	target, form := link(t, o)
	do(t, o, admin.Caller{Owner: true}, "setup", func(args any) {
		set(args, "Domain", "example.org")
		set(args, "Admin", "anna@example.org")
	})
	if _, err := o.Store.Token(mailbox.TokenSetup, form.Get("token")); err == nil {
		t.Error("the token outlives the first administrator")
	}
	synctest.Test(t, func(t *testing.T) {
		o := empty(t)
		target, _ = link(t, o)
		time.Sleep(time.Hour - time.Second)
		if w := visit(o, o.SetupPage(), target, nil); w.Code != 200 {
			t.Errorf("after an hour, less a second: %d", w.Code)
		}
		time.Sleep(time.Second)
		if w := visit(o, o.SetupPage(), target, nil); w.Code != 404 {
			t.Errorf("after an hour: %d", w.Code)
		}
	})
}

func TestSetupLinkWorksForOne(t *testing.T) {
	o := empty(t)
	page := o.SetupPage()
	_, form := link(t, o)
	var got atomic.Int32
	var all sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		mine := url.Values{"token": form["token"], "domain": {"example.org"}, "admin": {name + "@example.org"}, "password": {"p"}, "again": {"p"}}
		all.Go(func() {
			if visit(o, page, "https://192.0.2.1/setup", mine).Code == 200 {
				got.Add(1)
			}
		})
	}
	all.Wait()
	accounts, err := o.Store.Accounts()
	if got.Load() != 1 || err != nil || len(accounts) != 1 {
		t.Errorf("%d got in, %v, %v", got.Load(), accounts, err)
	}
}

func TestSetupNamesWhoHoldsAPort(t *testing.T) {
	o := empty(t)
	o.Running = true
	o.Taken = []machine.Taken{{Door: machine.Door{Name: "smtp", Address: ":25"}, Holder: machine.Program{Name: "exim4", PID: 812}}}
	s, err := setup(o, "Domain", "example.org", "Admin", "anna@example.org")
	if err != nil || len(s.Taken) != 1 || s.Taken[0] != "25 is held by exim4 (process 812)" {
		t.Errorf("%+v, %v", s, err)
	}
}
