package panel_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"roost/admin"
	"roost/admin/records"
	"roost/mailbox"
	"roost/mta/dns/dnstest"
)

// sound holds a page against what every page owes: no script or style but our own, a name
// for each input, identifiers that are said once, headings for each column.
func sound(t *testing.T, name string, w *httptest.ResponseRecorder) {
	t.Helper()
	for _, want := range []string{"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, want) || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", name, csp)
		}
	}
	for key, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Content-Type": "text/html; charset=utf-8"} {
		if got := w.Header().Get(key); got != want {
			t.Errorf("%s: %s: %q", name, key, got)
		}
	}
	doc, err := html.Parse(bytes.NewReader(w.Body.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	ids, labelled, inputs := map[string]int{}, map[string]bool{}, []string{}
	h1 := 0
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("%s: <%s %s=%q>", name, n.Data, a.Key, a.Val)
			}
			if (a.Key == "src" || a.Key == "href" || a.Key == "action") && strings.Contains(a.Val, "//") {
				t.Errorf("%s leads away: %s", name, a.Val)
			}
		}
		if id, ok := attr["id"]; ok {
			ids[id]++
		}
		switch n.Data {
		case "style":
			t.Errorf("%s has a style of its own", name)
		case "script":
			if attr["src"] != "/panel/panel.js" || n.FirstChild != nil {
				t.Errorf("%s has a script of its own", name)
			}
		case "label":
			labelled[attr["for"]] = true
		case "input", "select":
			if attr["type"] != "hidden" {
				inputs = append(inputs, attr["id"])
			}
		case "th":
			if attr["scope"] == "" {
				t.Errorf("%s: a heading of nothing", name)
			}
		case "h1":
			h1++
		case "form":
			if attr["method"] == "" {
				t.Errorf("%s: a form without a method", name)
			}
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%s: id %q %d times", name, id, n)
		}
	}
	for _, id := range inputs {
		if !labelled[id] {
			t.Errorf("%s: the input %q has no label", name, id)
		}
	}
	if h1 != 1 {
		t.Errorf("%s has %d headings of the first level", name, h1)
	}
	if text := w.Body.String(); strings.Contains(text, "&lt;nil") || strings.Contains(text, "no value") || strings.Contains(text, "%!") {
		t.Errorf("%s: something was not put into words:\n%s", name, text)
	}
}

// Each page is there for those who may see it, and for nobody else.
func TestPages(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.deliver("boss", "Subject: for boss\n\nHello\n")
	hers := w.deliver("anna", "Subject: for anna\n\nHello\n")
	his := w.deliver("bob", "Subject: for bob\n\nHello\n")
	if err := w.store.SetAlias(ctx, mailbox.Alias{Address: "office@example.org", To: []mailbox.Address{"anna@example.org"}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.store.AddDevice(ctx, "anna@example.org", "phone"); err != nil {
		t.Fatal(err)
	}
	w.office.Certificates = func() []admin.Certificate {
		return []admin.Certificate{
			{Names: []string{"mail.example.org"}, Issuer: "An Authority", NotBefore: time.Now(), NotAfter: time.Now().Add(60 * 24 * time.Hour)},
			{Names: []string{"mta-sts.example.org"}, Problem: "nobody answered", Failed: time.Now(), NextTry: time.Now().Add(time.Hour)},
		}
	}
	people := map[string]*visitor{"boss": w.signIn("boss"), "anna": w.signIn("anna")}
	for _, test := range []struct {
		path       string
		boss, anna int
		says       string // to whoever may see it
	}{
		{"/panel/", 200, 200, "Send a test"},
		{"/panel/trace", 200, 200, "Mail trace"},
		{"/panel/trace?q=nothing&event=failed", 200, 200, "Nothing fits."},
		{"/panel/trace/" + hers.ID.String(), 200, 200, "carol@example.com"},
		{"/panel/trace/" + his.ID.String(), 200, 404, "carol@example.com"},
		{"/panel/trace/ffffffff", 404, 404, ""},
		{"/panel/trace/zz", 404, 404, ""},
		{"/panel/people", 200, 303, "boss@example.org"},
		{"/panel/people/anna@example.org", 200, 200, "phone"},
		{"/panel/people/bob@example.org", 200, 403, "Connect a device"},
		{"/panel/people/nobody@example.org", 404, 403, ""},
		{"/panel/people/no%20address", 400, 403, ""},
		{"/panel/domains", 200, 403, "example.org"},
		{"/panel/domains/example.org", 200, 403, "v=spf1 mx"},
		{"/panel/domains/example.org/zone", 200, 403, ""},
		{"/panel/domains/elsewhere.example", 404, 403, ""},
		{"/panel/settings", 200, 403, "mail.example.org"},
		{"/panel/mail/1", 200, 200, "carol"},
		{"/panel/mail/1/1", 200, 200, "Hello"},
		{"/panel/mail/1/1?header=1", 200, 200, "Subject: for"},
		{"/panel/mail/2", 200, 200, "No messages."},
		{"/panel/mail/1/2", 404, 404, ""},
		{"/panel/mail/99", 404, 404, ""},
		{"/panel/mail/0", 404, 404, ""},
		{"/panel/mail/1/99999999999", 404, 404, ""},
		{"/panel/mail/1/1/part/2", 404, 404, ""},
		{"/panel/mail/1/1/part/1..1", 404, 404, ""},
		{"/panel/nowhere", 404, 404, ""},
	} {
		for name, v := range people {
			want := map[string]int{"boss": test.boss, "anna": test.anna}[name]
			got := v.get(test.path)
			if got.Code != want {
				t.Errorf("%s for %s: %d, want %d: %s", test.path, name, got.Code, want, seen(got))
				continue
			}
			if want == 200 && strings.Contains(test.says, "carol") && strings.Contains(test.path, "mail") {
				continue // the message has no sender; it is there to be opened
			}
			if want == 200 && !strings.Contains(seen(got), test.says) {
				t.Errorf("%s for %s does not say %q: %s", test.path, name, test.says, seen(got))
			}
			if strings.HasPrefix(got.Header().Get("Content-Type"), "text/html") && want != 303 {
				sound(t, test.path+" for "+name, got)
			}
			if want >= 400 && alert(got) == "" {
				t.Errorf("%s for %s does not say why", test.path, name)
			}
		}
	}
	sound(t, "sign-in", (&visitor{world: w}).get("/panel/sign-in"))
	sound(t, "sure", people["boss"].post("/panel/people/bob@example.org", "account remove", "address", "bob@example.org"))
}

// What one may not see, one may not do either; and the words are those of the office.
func TestPeopleActOnThemselvesAlone(t *testing.T) {
	w := newWorld(t)
	anna := w.signIn("anna")
	for _, test := range []struct{ path, op, pairs string }{
		{"/panel/people", "account add", "address=eve@example.org"},
		{"/panel/people", "alias add", "address=all@example.org&to=anna@example.org"},
		{"/panel/people/bob@example.org", "device add", "address=bob@example.org&device=mine"},
		// The path is one's own, the argument is not.
		{"/panel/people/anna@example.org", "device add", "address=bob@example.org&device=mine"},
		{"/panel/people/anna@example.org", "account password", "address=bob@example.org&password=secret"},
		{"/panel/people/anna@example.org", "account remove", "address=bob@example.org&_sure=yes"},
		{"/panel/people/anna@example.org", "account remove", "address=anna@example.org&_sure=yes"},
		{"/panel/domains", "domain add", "domain=evil.example"},
		{"/panel/domains/example.org", "domain remove", "domain=example.org&_sure=yes"},
		{"/panel/settings", "host set", "name=evil.example"},
		{"/panel/settings", "relay set", "url=smtp://evil.example"},
		{"/panel/", "queue drop", "id=1&_sure=yes"},
		{"/panel/", "test", "address=bob@example.org"},
	} {
		form, err := url.ParseQuery(test.pairs)
		if err != nil {
			t.Fatal(err)
		}
		form.Set("_op", test.op)
		got := anna.send(http.MethodPost, test.path, form)
		if got.Code != http.StatusForbidden || !strings.Contains(alert(got), "you may not do that") {
			t.Errorf("%s on %s: %d %q", test.op, test.path, got.Code, alert(got))
		}
	}
	if got := anna.send(http.MethodPost, "/panel/settings/check", url.Values{}); got.Code != http.StatusForbidden {
		t.Errorf("check: %d", got.Code)
	}
	// An operation that the page has no form for.
	if got := anna.post("/panel/", "account password", "address", "anna@example.org"); got.Code != http.StatusBadRequest {
		t.Errorf("no form: %d", got.Code)
	}
	if got := anna.send(http.MethodPut, "/panel/", nil); got.Code != http.StatusBadRequest {
		t.Errorf("PUT: %d", got.Code)
	}
}

// An operation that fails says the same on a page as in a terminal.
func TestSameWordsAsTheCommandLine(t *testing.T) {
	w := newWorld(t)
	if _, _, err := w.store.AddDevice(context.Background(), "anna@example.org", "phone"); err != nil {
		t.Fatal(err)
	}
	boss := w.signIn("boss")
	for _, test := range []struct{ path, op, args string }{
		{"/panel/people", "account add", `{"address":"anna@example.org"}`},
		{"/panel/people", "account add", `{"address":"no address"}`},
		{"/panel/people", "account add", `{"address":"eve@elsewhere.example"}`},
		{"/panel/people", "alias add", `{"address":"anna@example.org","to":["bob@example.org"]}`},
		{"/panel/people", "alias add", `{"address":"x@example.org","to":["nobody@example.org"]}`},
		{"/panel/people", "alias remove", `{"address":"x@example.org"}`},
		{"/panel/people/anna@example.org", "device add", `{"address":"anna@example.org","device":"Phone"}`},
		{"/panel/people/anna@example.org", "device add", `{"address":"anna@example.org","device":""}`},
		{"/panel/people/anna@example.org", "device remove", `{"address":"anna@example.org","device":"tablet"}`},
		{"/panel/people/anna@example.org", "device unfreeze", `{"address":"anna@example.org","device":"tablet"}`},
		{"/panel/people/anna@example.org", "sending set", `{"account":"anna@example.org","messages":"many"}`},
		{"/panel/settings", "sending set", `{"new_recipients":"0"}`},
		{"/panel/settings", "reception set", `{"messages":"few"}`},
		{"/panel/settings", "blocklist set", `{"then":"perhaps"}`},
		{"/panel/people/boss@example.org", "account remove", `{"address":"boss@example.org"}`},
		{"/panel/domains", "domain add", `{"domain":"example.org"}`},
		{"/panel/domains", "domain add", `{"domain":"not a domain"}`},
		{"/panel/domains/example.org", "domain remove", `{"domain":"example.org"}`},
		{"/panel/settings", "host set", `{"name":"mail.example.org","addresses":["192.0.2.999"]}`},
		{"/panel/settings", "relay set", `{"url":"elsewhere"}`},
		{"/panel/", "queue retry", `{"id":"12"}`},
		{"/panel/", "queue retry", `{"id":"xyz"}`},
		{"/panel/", "test", `{"address":"nobody@example.org"}`},
	} {
		api := httptest.NewRecorder()
		w.office.API().ServeHTTP(api, httptest.NewRequest(http.MethodPost, "/v1/op/"+strings.ReplaceAll(test.op, " ", "/"), strings.NewReader(test.args)))
		pairs := []string{"_sure", "yes"}
		for _, m := range regexp.MustCompile(`"(\w+)":\[?"([^"]*)"`).FindAllStringSubmatch(test.args, -1) {
			pairs = append(pairs, m[1], m[2])
		}
		got := boss.post(test.path, test.op, pairs...)
		// What the server answers is what a terminal prints.
		var failure struct{ Error *admin.Error }
		if err := json.Unmarshal(api.Body.Bytes(), &failure); err != nil || failure.Error == nil {
			t.Errorf("%s %s did not fail: %s", test.op, test.args, api.Body)
		} else if got.Code != api.Code || alert(got) != failure.Error.Message {
			t.Errorf("%s %s: the page says %d %q, the server %d %q", test.op, test.args, got.Code, alert(got), api.Code, failure.Error.Message)
		}
	}
	// What was typed is still there, but for a password.
	got := boss.post("/panel/people", "account add", "address", "eve@elsewhere.example", "admin", "yes", "password", "typed in vain")
	if page := got.Body.String(); !strings.Contains(page, `value="eve@elsewhere.example"`) || !strings.Contains(page, " checked") || strings.Contains(page, "typed in vain") {
		t.Errorf("the form came back as\n%s", page)
	}
}

func TestSecretsAreShownOnce(t *testing.T) {
	w := newWorld(t)
	anna := w.signIn("anna")
	own := "/panel/people/anna@example.org"
	got := anna.post(own, "device add", "address", "anna@example.org", "device", "Anna's phone")
	if got.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", got.Code, seen(got))
	}
	page := anna.get(own)
	wants(t, page, http.StatusOK, "Anna's phone is added.", "Login name anna@example.org", "port 993 with SSL/TLS; or port 143 with STARTTLS", "port 465 with SSL/TLS; or port 587 with STARTTLS", "mail.example.org")
	secret := regexp.MustCompile(`[a-z2-7]{4}(-[a-z2-7]{4}){5}`).FindString(seen(page))
	if _, err := w.store.Login(context.Background(), netip.Addr{}, "anna@example.org", secret); err != nil {
		t.Errorf("the password %q: %v", secret, err)
	}
	if again := seen(anna.get(own)); strings.Contains(again, secret) {
		t.Error("the password is shown twice")
	}
	// Another session of the same person is told nothing.
	anna.post(own, "device add", "address", "anna@example.org", "device", "tablet")
	if other := seen(w.signIn("anna").get(own)); strings.Contains(other, "is added") {
		t.Errorf("another browser is told: %s", other)
	}
	wants(t, anna.get(own), http.StatusOK, "tablet is added")
}

func TestDangerAsksFirst(t *testing.T) {
	w := newWorld(t)
	boss := w.signIn("boss")
	got := boss.post("/panel/people/bob@example.org", "account remove", "address", "bob@example.org")
	wants(t, got, http.StatusOK, "Are you sure?", "Remove bob@example.org and all mail in it for good?", "No, go back")
	if _, err := w.store.Account("bob@example.org"); err != nil {
		t.Error(err)
	}
	// The form on that page does it.
	form := url.Values{}
	for _, m := range regexp.MustCompile(`name="(\w+)" value="([^"]*)"`).FindAllStringSubmatch(got.Body.String(), -1) {
		form.Set(m[1], m[2])
	}
	if got := boss.send(http.MethodPost, "/panel/people/bob@example.org", form); got.Header().Get("Location") != "/panel/people" {
		t.Errorf("%d %s", got.Code, seen(got))
	}
	if _, err := w.store.Account("bob@example.org"); err == nil {
		t.Error("bob is still there")
	}
}

// A record that is missing turns found when it is made.
func TestRecordsAreChecked(t *testing.T) {
	w := newWorld(t)
	boss := w.signIn("boss")
	zoneFile := boss.get("/panel/domains/example.org/zone")
	if disposition := zoneFile.Header().Get("Content-Disposition"); disposition != "attachment; filename=example.org.zone" {
		t.Errorf("Content-Disposition: %s", disposition)
	}
	full := strings.ReplaceAll(zoneFile.Body.String(), "\t3600\tIN\t", " ") + "example.org. NS ns1.example.org.\nns1.example.org. A 192.0.2.53\n"
	bare := strings.ReplaceAll(full, "example.org. MX", "elsewhere.example. MX")
	wants(t, boss.get("/panel/"), http.StatusOK, "The DNS records of example.org were not looked at yet.")
	for _, test := range []struct {
		zone     string
		want     []string
		overview string
	}{
		{bare, []string{"without which mail is lost or refused", "MX MX missing"}, "1 DNS record of example.org, without which mail is lost or refused, is not as it should be."},
		{full, []string{"MX MX found"}, "Mail works"},
	} {
		server := dnstest.NewMemory(t, test.zone)
		w.office.Checks = records.Options{Resolver: "192.0.2.99", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return server.Dial(ctx, network, address)
		}}
		got := boss.get("/panel/domains/example.org?check=1")
		wants(t, got, http.StatusOK, test.want...)
		sound(t, "check", got)
		wants(t, boss.get("/panel/"), http.StatusOK, test.overview)
	}
}

func TestCheckOfTheStore(t *testing.T) {
	w := newWorld(t)
	w.deliver("anna", "Subject: one\n\nHello\n")
	got := w.signIn("boss").send(http.MethodPost, "/panel/settings/check", url.Values{})
	wants(t, got, http.StatusOK, "Every message is being read.", "All is well.", "Messages 1")
	sound(t, "check", got)
}

// An administrator takes a backup away, of the length that was told, and it restores.
func TestBackupIsDownloaded(t *testing.T) {
	w := newWorld(t)
	w.deliver("anna", "Subject: one\n\nHello\n")
	if got := w.signIn("anna").send(http.MethodPost, "/panel/settings/backup", url.Values{}); got.Code != http.StatusForbidden {
		t.Errorf("anna has a backup of everybody's mail: %d", got.Code)
	}
	boss := w.signIn("boss")
	if got := boss.get("/panel/settings/backup"); got.Code == http.StatusOK {
		t.Error("a link is enough to make a backup")
	}
	wants(t, boss.get("/panel/settings"), http.StatusOK, "Download a backup")
	got := boss.send(http.MethodPost, "/panel/settings/backup", url.Values{})
	if got.Code != http.StatusOK || got.Header().Get("Content-Type") != "application/x-tar" || !strings.HasPrefix(got.Header().Get("Content-Disposition"), "attachment; filename=\"roost-") {
		t.Fatalf("%d %v", got.Code, got.Header())
	}
	if told := got.Header().Get("Content-Length"); told != strconv.Itoa(got.Body.Len()) {
		t.Errorf("%d bytes, and %s were told", got.Body.Len(), told)
	}
	back, err := mailbox.Restore(t.Context(), got.Body, t.TempDir(), mailbox.RestoreOptions{})
	if err != nil || back.Messages != 1 || back.Accounts != 3 {
		t.Errorf("restored %+v, %v", back, err)
	}
}

// Every operation that changes something has a form somewhere, or is named here as one
// for the terminal alone.
func TestOperationsHaveAPlace(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	if err := w.store.SetAlias(ctx, mailbox.Alias{Address: "office@example.org", To: []mailbox.Address{"anna@example.org"}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.store.AddDevice(ctx, "anna@example.org", "phone"); err != nil {
		t.Fatal(err)
	}
	w.freeze("anna")
	w.queue(t, "anna")
	w.office.Certificates = func() []admin.Certificate { return nil }
	terminal := []string{"setup"} // has a page of its own, before there is anybody to sign in
	boss := w.signIn("boss")
	have := map[string]bool{}
	collect := func() {
		for _, path := range []string{"/panel/", "/panel/people", "/panel/people/anna@example.org", "/panel/domains", "/panel/domains/example.org", "/panel/domains/closed.example", "/panel/settings"} {
			for _, m := range regexp.MustCompile(`name="_op" value="([^"]*)"`).FindAllStringSubmatch(boss.get(path).Body.String(), -1) {
				have[m[1]] = true
			}
		}
	}
	collect()
	if _, err := w.store.ChangeAccount(ctx, "anna@example.org", func(a *mailbox.Account) error { a.Admin, a.Disabled, a.AppOnly = true, true, true; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.AddDomain(ctx, "closed.example"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.ChangeDomain(ctx, "closed.example", func(d *mailbox.Domain) error { d.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := w.store.SetRule(ctx, mailbox.Rule{Sender: "example.com", Block: true}); err != nil {
		t.Fatal(err)
	}
	if err := w.store.ChangeSettings(ctx, func(s *mailbox.Settings) error { s.Relay = "smtp://relay.example"; return nil }); err != nil {
		t.Fatal(err)
	}
	collect()
	for _, op := range admin.Ops() {
		if _, verb, _ := strings.Cut(op.Name, " "); op.Changes() && verb != "check" && !have[op.Name] && !slices.Contains(terminal, op.Name) {
			t.Errorf("no page has a form for %q", op.Name)
		}
	}
}

// freeze keeps somebody's own password from sending.
func (w *world) freeze(name string) {
	w.t.Helper()
	spool := w.store.NewSpool(0)
	defer spool.Close()
	who := mailbox.Submitter{Account: mailbox.Account{ID: w.id(name)}}
	_, err := w.store.Freeze(context.Background(), who, &mailbox.Burst{}, &mailbox.Intake{Body: spool, Place: []mailbox.Placement{{Account: w.id(name)}}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestFrozen: a person sees that a password may not send, and lets it send again.
func TestFrozen(t *testing.T) {
	w := newWorld(t)
	w.freeze("anna")
	anna := w.signIn("anna")
	got := anna.get("/panel/people/anna@example.org")
	wants(t, got, http.StatusOK, "Sending is frozen for the account's own password", "Let it send again", "In 24 hours it may be 1000 messages, and 200 recipients")
	sound(t, "frozen", got)
	if strings.Contains(got.Body.String(), `value="sending set"`) {
		t.Error("a person is asked for limits")
	}
	wants(t, anna.post("/panel/people/anna@example.org", "sending set", "account", "anna@example.org", "messages", "none"), http.StatusForbidden)
	anna.post("/panel/people/anna@example.org", "device unfreeze", "address", "anna@example.org", "device", "")
	got = anna.get("/panel/people/anna@example.org")
	wants(t, got, http.StatusOK, "Mail can be sent with the account's own password of anna@example.org again.")
	if strings.Contains(got.Body.String(), "Sending is frozen") {
		t.Error("it is frozen still")
	}
}

// TestFrozenOnTheFirstPage: who looks in sees it at once, and can end it there: a
// person for oneself, an administrator for all.
func TestFrozenOnTheFirstPage(t *testing.T) {
	w := newWorld(t)
	for _, who := range []string{"anna", "boss"} {
		w.freeze("anna")
		browser := w.signIn(who)
		got := browser.get("/panel/")
		wants(t, got, http.StatusOK, "Sending is frozen for the account's own password of anna@example.org since ", "Let it send again")
		sound(t, "frozen, on the first page of "+who, got)
		browser.post("/panel/", "device unfreeze", "address", "anna@example.org", "device", "")
		got = browser.get("/panel/")
		wants(t, got, http.StatusOK, "Mail can be sent with the account's own password of anna@example.org again.")
		if strings.Contains(got.Body.String(), "Sending is frozen") {
			t.Errorf("%s: it is frozen still", who)
		}
	}
}
