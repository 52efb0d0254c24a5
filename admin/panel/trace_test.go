package panel_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"roost/mailbox"
)

// queue puts a message of somebody's into the outbox, as submission does.
func (w *world) queue(t testing.TB, name string) mailbox.BodyID {
	t.Helper()
	spool := w.store.NewSpool(0)
	defer spool.Close()
	if _, err := io.WriteString(spool, "Subject: to the world\r\n\r\nHello\r\n"); err != nil {
		t.Fatal(err)
	}
	from := name + "@example.org"
	got, err := w.store.Accept(context.Background(), mailbox.Intake{
		Body: spool, From: from,
		Queue:   []mailbox.Outgoing{{Account: w.id(name), From: from, Domain: "far.example", Recipients: []mailbox.Recipient{{Address: "dan@far.example"}}}},
		Journal: []mailbox.Line{{Event: mailbox.Submitted, Account: w.id(name), From: from, To: []string{"dan@far.example"}, Subject: "to the world"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return got.ID
}

func (w *world) log(lines ...mailbox.Line) {
	w.t.Helper()
	if err := w.store.Log(context.Background(), lines...); err != nil {
		w.t.Fatal(err)
	}
}

// A person sees their own lines, and of those for several people only their part.
func TestTraceIsOnesOwn(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	if err := w.store.SetAlias(ctx, mailbox.Alias{Address: "office@example.org", To: []mailbox.Address{"anna@example.org"}}); err != nil {
		t.Fatal(err)
	}
	w.log(
		mailbox.Line{Event: mailbox.Received, From: "x@far.example", To: []string{"anna@example.org", "bob@example.org"}, Subject: "to both", Detail: []string{"bob@example.org: a detail"}},
		mailbox.Line{Event: mailbox.Received, From: "x@far.example", To: []string{"bob@example.org"}, Subject: "to bob alone"},
		mailbox.Line{Event: mailbox.Received, From: "x@far.example", To: []string{"Office+list@Example.org"}, Subject: "to the office"},
		mailbox.Line{Event: mailbox.Refused, From: "x@far.example", To: []string{"anna@example.org"}, Reply: "552 5.3.4 Too big for anna", Subject: "refused for anna"},
		mailbox.Line{Event: mailbox.Refused, From: "x@far.example", To: nil, Reply: "554 nobody's"},
		// Somebody else's mail that carries her name as the sender's.
		mailbox.Line{Event: mailbox.Received, From: "anna@example.org", To: []string{"bob@example.org"}, Subject: "forged"},
		mailbox.Line{Event: mailbox.Submitted, Account: w.id("bob"), From: "bob@example.org", To: []string{"anna@example.org"}, Subject: "what bob sent"},
		mailbox.Line{Event: mailbox.Submitted, Account: w.id("anna"), From: "anna@example.org", To: []string{"dan@far.example"}, Subject: "what anna sent"},
	)
	page := seen(w.signIn("anna").get("/panel/trace"))
	for _, want := range []string{"to both", "to the office", "refused for anna", "552 5.3.4 Too big for anna", "what anna sent"} {
		if !strings.Contains(page, want) {
			t.Errorf("anna does not see %q: %s", want, page)
		}
	}
	for _, secret := range []string{"bob", "forged", "nobody's", "a detail"} {
		if strings.Contains(page, secret) {
			t.Errorf("anna sees %q: %s", secret, page)
		}
	}
	all := seen(w.signIn("boss").get("/panel/trace"))
	for _, want := range []string{"to both", "to bob alone", "forged", "nobody's", "what bob sent"} {
		if !strings.Contains(all, want) {
			t.Errorf("boss does not see %q: %s", want, all)
		}
	}
}

// An administrator sees who was locked out, by address and until when; nobody else does.
func TestTraceOfLockouts(t *testing.T) {
	w := newWorld(t)
	w.log(mailbox.Line{Event: mailbox.Blocked, Remote: "2001:db8::/64", Detail: []string{"10 wrong passwords in a day: may not log in until 2030-01-02 03:04:05 UTC"}})
	boss := w.signIn("boss")
	for _, path := range []string{"/panel/trace", "/panel/trace?event=blocked", "/panel/trace?q=2001:db8"} {
		page := boss.get(path).Body.String()
		for _, want := range []string{">Locked out</span>", "2001:db8::/64", "may not log in until 2030-01-02 03:04:05 UTC"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s lacks %q: %s", path, want, page)
			}
		}
		if strings.Contains(page, "no sender") {
			t.Errorf("%s speaks of a message: %s", path, page)
		}
	}
	if page := w.signIn("anna").get("/panel/trace").Body.String(); strings.Contains(page, "2001:db8::/64") {
		t.Errorf("anna sees it: %s", page)
	}
}

func TestTraceFiltersAndPages(t *testing.T) {
	w := newWorld(t)
	for i := range 120 {
		l := mailbox.Line{Event: mailbox.Received, From: fmt.Sprintf("x%d@far.example", i), To: []string{"anna@example.org"}, Subject: fmt.Sprintf("subject %03d", i)}
		if i%10 == 0 {
			l.Event = mailbox.Refused
		}
		w.log(l)
	}
	boss := w.signIn("boss")
	subjects := regexp.MustCompile(`class="wide">(subject \d+)`)
	var got []string
	pages := 0
	for path := "/panel/trace"; path != ""; pages++ {
		page := boss.get(path).Body.String()
		for _, m := range subjects.FindAllStringSubmatch(page, -1) {
			got = append(got, m[1])
		}
		older := regexp.MustCompile(`href="(\?before=[^"]*)">Older`).FindStringSubmatch(page)
		path = ""
		if older != nil {
			path = "/panel/trace" + older[1]
		}
	}
	for i := range 120 {
		if want := fmt.Sprintf("subject %03d", 119-i); i >= len(got) || got[i] != want {
			t.Fatalf("line %d of %d: want %s", i, len(got), want)
		}
	}
	if len(got) != 120 || pages != 3 {
		t.Errorf("%d lines on %d pages", len(got), pages)
	}
	for query, want := range map[string]int{"?event=refused": 12, "?q=X7%40FAR": 1, "?q=subject+11": 10, "?q=anna%40&event=refused": 12, "?q=nothing": 0} {
		if n := len(subjects.FindAllString(boss.get("/panel/trace"+query).Body.String(), -1)); n != want {
			t.Errorf("%s finds %d, want %d", query, n, want)
		}
	}
}

// The journey of a test, drawn from what the journal and the mailbox say.
func TestJourneyOfATest(t *testing.T) {
	w := newWorld(t)
	w.openSMTP()
	anna := w.signIn("anna")
	if got := anna.post("/panel/", "test", "address", "anna@example.org"); got.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", got.Code, seen(got))
	}
	page := anna.get("/panel/")
	wants(t, page, http.StatusOK, "A test is on its way to anna@example.org.", "Received : done", "Checked : done", "Stored : done", "in Inbox", "Read : waited for", "not opened yet")
	if !strings.Contains(page.Body.String(), "data-live") {
		t.Error("the page does not look again")
	}
	sound(t, "overview with a journey", page)
	open := regexp.MustCompile(`href="(/panel/mail/1/\d+)"`).FindStringSubmatch(page.Body.String())
	story := regexp.MustCompile(`href="(/panel/trace/[0-9a-f]+)"`).FindStringSubmatch(page.Body.String())
	if open == nil || story == nil {
		t.Fatalf("no way to the message: %s", page.Body)
	}
	// Looking at the list, the story or a file of it is not reading it.
	for _, path := range []string{"/panel/mail/1", story[1], open[1] + "/raw", open[1] + "/part/1"} {
		wants(t, anna.get(path), http.StatusOK)
	}
	wants(t, anna.get("/panel/"), http.StatusOK, "Read : waited for")
	wants(t, anna.get(open[1]), http.StatusOK, "A test from Roost", "came in through the SMTP port of mail.example.org")
	page = anna.get("/panel/")
	wants(t, page, http.StatusOK, "Read : done", "opened")
	if strings.Contains(page.Body.String(), "data-live") {
		t.Error("the page still looks again")
	}
	wants(t, anna.get(story[1]), http.StatusOK, "Came in from mail.example.org [127.0.0.1]", "sent by nobody (a notification) for anna@example.org.")
	// Nobody else has it: not its story, not on their overview.
	bob := w.signIn("bob")
	wants(t, bob.get(story[1]), http.StatusNotFound)
	if text := seen(bob.get("/panel/")); strings.Contains(text, "Received") {
		t.Errorf("bob sees a journey: %s", text)
	}
}

func TestTestWithoutADoor(t *testing.T) {
	w := newWorld(t)
	w.office.Listeners = w.office.Listeners[1:]
	boss := w.signIn("boss")
	wants(t, boss.post("/panel/", "test", "address", "boss@example.org"), http.StatusBadRequest, "the door for mail from other servers is closed", "2 things need a hand")
}

// A message on its way out, refused for now and then given up.
func TestStoryOfMailThatWaits(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	id := w.queue(t, "anna")
	rows, err := w.store.Outbox()
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	anna, boss := w.signIn("anna"), w.signIn("boss")
	path := "/panel/trace/" + id.String()
	wants(t, anna.get(path), http.StatusOK, "Handed in : done", "On its way : waited for", "Delivered : still to come", "To far.example")
	if page := anna.get(path).Body.String(); strings.Contains(page, "queue drop") {
		t.Error("anna could drop it")
	}
	row, err := w.store.BeginAttempt(ctx, mailbox.Attempt{ID: rows[0].ID, Retry: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	err = w.store.FinishAttempt(ctx, row.ID, mailbox.Result{
		Waiting: row.Recipients, Due: time.Now().Add(time.Hour), Reply: "451 4.7.1 Come back later",
		Journal: []mailbox.Line{{Event: mailbox.Deferred, Account: row.Account, From: row.From, To: []string{"dan@far.example"}, Remote: "mx.far.example [192.0.2.5] TLS 1.3", Reply: "451 4.7.1 Come back later", Detail: []string{"C: RCPT TO:<dan@far.example>", "S: 451 4.7.1 Come back later", "C: QUIT"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	wants(t, anna.get(path), http.StatusOK, "1 attempt so far", "Not taken for now by mx.far.example [192.0.2.5] TLS 1.3 for dan@far.example.", "The answer was: 451 4.7.1 Come back later", "C: RCPT TO:<dan@far.example>")
	wants(t, boss.get("/panel/"), http.StatusOK, "2 things need a hand", "1 message could not be delivered at once and waits.", "451 4.7.1 Come back later")

	if got := boss.post("/panel/", "queue retry", "id", row.ID.String()); got.Code != http.StatusSeeOther {
		t.Errorf("retry: %d %s", got.Code, seen(got))
	}
	if due, _, err := w.store.DueOutbox(time.Now(), 1, nil); err != nil || len(due) != 1 {
		t.Errorf("it is not due: %v %v", due, err)
	}
	wants(t, boss.post("/panel/", "queue drop", "id", row.ID.String()), http.StatusOK, "Nobody will be told")
	err = w.store.FinishAttempt(ctx, row.ID, mailbox.Result{
		Journal: []mailbox.Line{{Event: mailbox.Failed, Account: row.Account, From: row.From, To: []string{"dan@far.example"}, Remote: "mx.far.example", Reply: "550 5.1.1 No such user"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	wants(t, anna.get(path), http.StatusOK, "Failed : failed", "for dan@far.example", "Given up for dan@far.example; the sender was told.", "550 5.1.1 No such user")
	wants(t, boss.get("/panel/"), http.StatusOK, "A message was given up in the last 24 hours.")
	wants(t, w.signIn("bob").get(path), http.StatusNotFound)
}

// What the header says about the sender is told by our own results alone.
func TestJourneyTellsWhoVouches(t *testing.T) {
	w := newWorld(t)
	anna := w.signIn("anna")
	for field, want := range map[string]string{
		"mail.example.org;\r\n\tspf=pass smtp.mailfrom=far.example;\r\n\tdkim=pass header.d=far.example;\r\n\tdmarc=pass header.from=far.example": "sender confirmed: SPF pass, DKIM pass, DMARC pass",
		"mail.example.org; spf=softfail; dkim=none; dmarc=fail":                                                                                   "sender not confirmed: SPF softfail, DKIM none, DMARC fail",
		`mail.example.org; spf=none reason="; dmarc=pass \"; dkim=pass" (; dkim=pass); dmarc=none header.from="dmarc=pass"`:                       "sender not vouched for: SPF none, DMARC none",
		"mail.example.org; none": "known address, sound form, no loop",
	} {
		spool := w.store.NewSpool(0)
		defer spool.Close()
		if _, err := io.WriteString(spool, "Authentication-Results: mail.example.org; dmarc=pass\r\nSubject: x\r\n\r\nHello\r\n"); err != nil {
			t.Fatal(err)
		}
		got, err := w.store.Accept(context.Background(), mailbox.Intake{
			Body: spool, Journal: []mailbox.Line{{Event: mailbox.Received, To: []string{"anna@example.org"}}},
			Place: []mailbox.Placement{{Account: w.id("anna"), Prefix: []byte("Return-Path: <>\r\nAuthentication-Results: " + field + "\r\n")}},
		})
		if err != nil {
			t.Fatal(err)
		}
		wants(t, anna.get("/panel/trace/"+got.ID.String()), http.StatusOK, want)
	}
}

// What the demo keeps from the world says so.
func TestJourneyOfCapturedMail(t *testing.T) {
	w := newWorld(t)
	spool := w.store.NewSpool(0)
	defer spool.Close()
	if _, err := io.WriteString(spool, "Subject: for dan\r\n\r\nHello\r\n"); err != nil {
		t.Fatal(err)
	}
	got, err := w.store.Accept(context.Background(), mailbox.Intake{
		Body: spool, Place: []mailbox.Placement{{Account: w.id("anna"), Name: "Captured"}},
		Journal: []mailbox.Line{{Event: mailbox.Submitted, Account: w.id("anna"), From: "anna@example.org", To: []string{"dan@far.example"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	anna := w.signIn("anna")
	wants(t, anna.get("/panel/trace/"+got.ID.String()), http.StatusOK, "Handed in : done", "Captured : done", "nothing left this machine")
	wants(t, anna.get("/panel/"), http.StatusOK, "Captured 1 unread of 1")
}
