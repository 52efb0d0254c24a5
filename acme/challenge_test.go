package acme

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	acmeproto "github.com/mholt/acmez/v3/acme"
)

func TestWhoGetsAKeyAuthorization(t *testing.T) {
	c := newChallenges()
	chal := acmeproto.Challenge{
		Type: acmeproto.ChallengeTypeHTTP01, Token: "tok", KeyAuthorization: "tok.print",
		Identifier: acmeproto.Identifier{Type: "dns", Value: "mail.example.org"},
	}
	if err := c.Present(t.Context(), chal); err != nil {
		t.Fatal(err)
	}
	h := c.handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "next") }))
	ask := func(method, url string) string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, url, nil))
		return w.Body.String()
	}
	const path = "/.well-known/acme-challenge/"
	for _, q := range []struct{ method, url, want string }{
		{"GET", "http://mail.example.org" + path + "tok", "tok.print"},
		{"GET", "http://MAIL.example.org:80" + path + "tok", "tok.print"},
		{"POST", "http://mail.example.org" + path + "tok", "next"},
		{"GET", "http://other.example.org" + path + "tok", "next"}, // not the name that is being proven
		{"GET", "http://mail.example.org" + path + "tok/x", "next"},
		{"GET", "http://mail.example.org" + path, "next"},
		{"GET", "http://mail.example.org/tok", "next"},
	} {
		if got := ask(q.method, q.url); got != q.want {
			t.Errorf("%s %s: %q, want %q", q.method, q.url, got, q.want)
		}
	}
	if err := c.CleanUp(t.Context(), chal); err != nil {
		t.Fatal(err)
	}
	if got := ask("GET", "http://mail.example.org"+path+"tok"); got != "next" {
		t.Errorf("after the challenge: %q", got)
	}
}
