package panel_test

import (
	"net/http"
	"strings"
	"testing"

	"roost/mailbox"
)

// TestLetSuchMailIn: whose message was refused or put into Junk says so on its page,
// and a person for the own account alone.
func TestLetSuchMailIn(t *testing.T) {
	w := newWorld(t)
	w.log(
		mailbox.Line{Event: mailbox.Refused, Message: 7001, From: "bounce@lists.example", Author: "joe@shop.example", Judged: "refused", To: []string{"anna@example.org"}, Reply: "550 5.7.1 The message says it is from shop.example"},
		mailbox.Line{Event: mailbox.Received, Message: 7002, From: "eve@shop.example", Author: "eve@shop.example", Judged: "junk", To: []string{"anna@example.org", "bob@example.org"}},
		mailbox.Line{Event: mailbox.Received, Message: 7003, From: "eve@shop.example", Author: "eve@shop.example", To: []string{"anna@example.org"}},
		mailbox.Line{Event: mailbox.Refused, Message: 7004, From: "x@shop.example", Author: "x@shop.example", To: []string{"anna@example.org"}, Reply: "452 4.3.1 No room left here"},
	)
	anna, bob, boss := w.signIn("anna"), w.signIn("bob"), w.signIn("boss")
	const refused, junk = "/panel/trace/00001b59", "/panel/trace/00001b5a"
	got := anna.get(refused)
	wants(t, got, http.StatusOK, "It was refused", "mail from joe@shop.example can be let in", "What was refused does not come back", "Let such mail in for anna@example.org")
	sound(t, "refused", got)
	if strings.Contains(got.Body.String(), "everybody here") {
		t.Error("a person speaks for all")
	}
	wants(t, bob.get(refused), http.StatusNotFound)
	wants(t, bob.get(junk), http.StatusOK, "It was put into Junk", "Let such mail in for bob@example.org")
	for _, path := range []string{"/panel/trace/00001b5b", "/panel/trace/00001b5c"} {
		got := boss.get(path)
		wants(t, got, http.StatusOK)
		if strings.Contains(got.Body.String(), "Let such mail in") {
			t.Errorf("%s: nothing was decided about the sender", path)
		}
	}
	wants(t, boss.get(junk), http.StatusOK, "Let such mail in for anna@example.org", "Let such mail in for bob@example.org", "Let such mail in for everybody here")
	wants(t, anna.get("/panel/trace"), http.StatusOK, "550 5.7.1 The message says it is from shop.example")

	wants(t, anna.post(refused, "allow", "sender", "joe@shop.example", "account", "anna@example.org"), http.StatusSeeOther)
	wants(t, anna.get(refused), http.StatusOK, "From now on mail from joe@shop.example to anna@example.org is let in.", "Mail from joe@shop.example is let in now for anna@example.org.")
	r, err := w.store.RuleAbout(w.id("anna"), "joe@shop.example")
	if err != nil || r == nil || r.Block || r.Account != w.id("anna") {
		t.Errorf("%+v, %v", r, err)
	}
	for _, account := range []string{"", "bob@example.org"} {
		wants(t, anna.post(refused, "allow", "sender", "joe@shop.example", "account", account), http.StatusForbidden, "you may not do that")
	}
	wants(t, boss.post(junk, "allow", "sender", "eve@shop.example", "account", ""), http.StatusSeeOther)
	wants(t, boss.get(junk), http.StatusOK, "Mail from eve@shop.example is let in now for anna@example.org, bob@example.org, everybody here.")
}

// TestOwnRules: a person lists, adds and removes own rules, and sees none of others.
func TestOwnRules(t *testing.T) {
	w := newWorld(t)
	for _, r := range []mailbox.Rule{{Sender: "all.example", Block: true}, {Sender: "bobs.example", Account: w.id("bob")}} {
		if err := w.store.SetRule(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	const page = "/panel/people/anna@example.org"
	anna := w.signIn("anna")
	wants(t, anna.post(page, "block", "sender", "pest.example", "account", "anna@example.org"), http.StatusSeeOther)
	wants(t, anna.post(page, "allow", "sender", "joe@shop.example", "account", "anna@example.org"), http.StatusSeeOther)
	got := anna.get(page)
	wants(t, got, http.StatusOK, "pest.example is refused", "joe@shop.example is let in")
	sound(t, "own rules", got)
	for _, other := range []string{"all.example", "bobs.example"} {
		if strings.Contains(got.Body.String(), other) {
			t.Errorf("anna sees the rule about %s", other)
		}
	}
	wants(t, anna.post(page, "rule remove", "sender", "pest.example", "account", "anna@example.org"), http.StatusSeeOther)
	wants(t, anna.post(page, "rule remove", "sender", "bobs.example", "account", "bob@example.org"), http.StatusForbidden)
	wants(t, anna.post(page, "rule remove", "sender", "all.example", "account", ""), http.StatusForbidden)
	if all, err := w.store.Rules(); err != nil || len(all) != 3 {
		t.Errorf("%+v, %v", all, err)
	}
}
