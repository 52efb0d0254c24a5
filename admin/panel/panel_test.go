package panel_test

import (
	"context"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"roost/admin"
	"roost/admin/panel"
	"roost/mailbox"
	"roost/mta/inbound"
)

const password = "a password"

// world is an office with two domains' worth of people, and its panel.
type world struct {
	t      testing.TB
	office *admin.Office
	store  *mailbox.Store
	panel  http.Handler
}

// newWorld has boss, who is an administrator, anna and bob, all of example.org.
func newWorld(t testing.TB) *world {
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
	ctx := context.Background()
	if _, err := store.AddDomain(ctx, "example.org"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"boss", "anna", "bob"} {
		_, err := store.CreateAccount(ctx, mailbox.NewAccount{Address: mailbox.Address(name + "@example.org"), Password: password, Admin: name == "boss"})
		if err != nil {
			t.Fatal(err)
		}
	}
	err = store.ChangeSettings(ctx, func(s *mailbox.Settings) error {
		s.Hostname, s.IPv4 = "mail.example.org", []string{"192.0.2.1"}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	o := &admin.Office{Store: store, Running: true, Listeners: []admin.Listener{
		{Name: "smtp", Address: "[::]:25"}, {Name: "imaps", Address: "[::]:993"}, {Name: "imap", Address: "[::]:143"},
		{Name: "submissions", Address: "[::]:465"}, {Name: "submission", Address: "[::]:587"}, {Name: "https", Address: "[::]:443"},
	}}
	return &world{t, o, store, panel.New(o)}
}

// openSMTP gives the office a port 25 of its own.
func (w *world) openSMTP() {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.office.Listeners[0].Address = l.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- inbound.New(inbound.Options{Store: w.store, Hostname: w.office.Hostname}).Serve(ctx, l)
	}()
	w.t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			w.t.Error(err)
		}
	})
}

func (w *world) id(name string) mailbox.AccountID {
	w.t.Helper()
	a, err := w.store.Account(mailbox.Address(name + "@example.org"))
	if err != nil {
		w.t.Fatal(err)
	}
	return a.ID
}

// deliver puts a message into somebody's INBOX, with a line in the journal.
func (w *world) deliver(name, message string) mailbox.Accepted {
	w.t.Helper()
	spool := w.store.NewSpool(0)
	defer spool.Close()
	if _, err := io.WriteString(spool, strings.ReplaceAll(message, "\n", "\r\n")); err != nil {
		w.t.Fatal(err)
	}
	got, err := w.store.Accept(context.Background(), mailbox.Intake{
		Body: spool, Place: []mailbox.Placement{{Account: w.id(name)}},
		Journal: []mailbox.Line{{Event: mailbox.Received, From: "carol@example.com", To: []string{name + "@example.org"}, Subject: "for " + name, Remote: "192.0.2.9 mail.example.com TLS 1.3"}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

// visitor is a browser with its cookies.
type visitor struct {
	*world
	cookies []*http.Cookie
	header  http.Header // sent along with each request
}

const site = "https://mail.example.org"

func (v *visitor) send(method, path string, form url.Values) *httptest.ResponseRecorder {
	v.t.Helper()
	if !strings.Contains(path, "://") {
		path = site + path
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, path, body)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range v.cookies {
		r.AddCookie(c)
	}
	for name, values := range v.header {
		r.Header[name] = values
		if name == "From-Address" {
			r.RemoteAddr = values[0]
		}
	}
	w := httptest.NewRecorder()
	v.panel.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		v.cookies = nil
		if c.MaxAge >= 0 {
			v.cookies = []*http.Cookie{c}
		}
	}
	return w
}

func (v *visitor) get(path string) *httptest.ResponseRecorder {
	v.t.Helper()
	return v.send(http.MethodGet, path, nil)
}

// post sends the form of an operation, its arguments in pairs.
func (v *visitor) post(path, op string, pairs ...string) *httptest.ResponseRecorder {
	v.t.Helper()
	form := url.Values{"_op": {op}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return v.send(http.MethodPost, path, form)
}

func (v *visitor) logIn(name, word string) *httptest.ResponseRecorder {
	v.t.Helper()
	return v.send(http.MethodPost, "/panel/sign-in", url.Values{"name": {name}, "password": {word}})
}

// signIn is a browser in which somebody has signed in.
func (w *world) signIn(name string) *visitor {
	w.t.Helper()
	v := &visitor{world: w}
	if got := v.logIn(name+"@example.org", password); got.Code != http.StatusSeeOther {
		w.t.Fatalf("sign in as %s: %d %s", name, got.Code, seen(got))
	}
	return v
}

var tag = regexp.MustCompile(`(?s)<svg.*?</svg>|<[^>]*>`)

// seen is the text of a page, without markup.
func seen(w *httptest.ResponseRecorder) string {
	return strings.Join(strings.Fields(html.UnescapeString(tag.ReplaceAllString(w.Body.String(), " "))), " ")
}

// alert is what a page complains of.
func alert(w *httptest.ResponseRecorder) string {
	_, text, found := strings.Cut(w.Body.String(), `role="alert"><p>`)
	if !found {
		return ""
	}
	text, _, _ = strings.Cut(text, "</p>")
	return html.UnescapeString(text)
}

// wants fails unless the page is there and says all these.
func wants(t testing.TB, w *httptest.ResponseRecorder, code int, texts ...string) {
	t.Helper()
	if w.Code != code {
		t.Errorf("status %d, want %d: %s", w.Code, code, seen(w))
		return
	}
	for _, text := range texts {
		if !strings.Contains(seen(w), text) {
			t.Errorf("the page does not say %q: %s", text, seen(w))
		}
	}
}
