package submit_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"roost/mailbox"
	"roost/mta/submit"
)

// refusals waits until the journal has so many refusals, and gives them, the oldest
// first, each as "from to: reply (detail)".
func (o *office) refusals(want int) []string {
	o.t.Helper()
	var list []string
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		list = nil
		err := o.store.Journal(func(l mailbox.Line) bool {
			if l.Event == mailbox.Refused && l.Message == 0 && l.Account != 0 {
				list = append(list, fmt.Sprintf("%s %s: %s (%s)", l.From, strings.Join(l.To, " "), l.Reply, strings.Join(l.Detail, ", ")))
			}
			return true
		})
		if err != nil {
			o.t.Fatal(err)
		}
		if len(list) >= want || time.Now().After(deadline) {
			slices.Reverse(list)
			return list
		}
	}
}

func plainAuth(name, password string) string {
	return "C: AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+name+"\x00"+password)) + "\n"
}

// TestWhyCouldINotSend: what is refused before there is a message is in the journal
// of the account, once for the same words.
func TestWhyCouldINotSend(t *testing.T) {
	o := newOffice(t, submit.Queue)
	_, secret, err := o.store.AddSender(t.Context(), "ann@example.org", "scanner", "sales@example.org")
	if err != nil {
		t.Fatal(err)
	}
	const greet = "S: 220 ...\nC: STARTTLS\nS: 220 ...\nTLS\nEHLO\n"
	o.open().Play(t, greet+
		plainAuth("nobody@example.org", "guess")+"S: 535 ...\n"+
		plainAuth("ann@example.org", "wrong")+"S: 535 ...\n"+
		"AUTH ann@example.org "+secret+"\n"+
		strings.Repeat("C: MAIL FROM:<bob@example.org>\nS: 550 5.7.1 ...\n", 2)+
		"C: MAIL FROM:<ann@example.org>\nS: 550 5.7.1 ...\n"+
		"C: MAIL FROM:<sales@example.org>\nS: 250 ...\n"+
		"C: RCPT TO:<nobody@example.org>\nS: 550 5.1.1 ...\n"+
		"C: RCPT TO:<bob@example.org>\nS: 250 ...\n")
	// The last that can come, so that all before it is there.
	if err := o.store.ChangeSettings(t.Context(), func(v *mailbox.Settings) error { v.Sending.Messages = 1; return nil }); err != nil {
		t.Fatal(err)
	}
	message := "C: MAIL FROM:<ann@example.org>\nS: 250 ...\nC: RCPT TO:<x@other.example>\nS: 250 ...\nC: DATA\nS: 354 ...\nC: From: ann@example.org\nC:\nC: .\nS: 250 ...\n"
	o.open().Play(t, login+message+"C: MAIL FROM:<ann@example.org>\nS: 451 4.7.1 The limit of 1 message in 24 hours is reached; ...\n")
	got := o.refusals(5)
	want := []string{
		"ann@example.org : 535 5.7.8 Wrong login name or password; the name is the whole e-mail address (a program wanted to log in to send)",
		"bob@example.org : 550 5.7.1 MAIL FROM has <bob@example.org>, which is not an address of ann@example.org (with the app password scanner)",
		"ann@example.org : 550 5.7.1 MAIL FROM has <ann@example.org>, and this app password sends as <sales@example.org> alone (with the app password scanner)",
		"sales@example.org nobody@example.org: 550 5.1.1 No such mailbox here (with the app password scanner)",
		"ann@example.org : 451 4.7.1 The limit of 1 message in 24 hours is reached; the next can go at",
	}
	if len(got) != len(want) {
		t.Fatalf("%d refusals:\n%s", len(got), strings.Join(got, "\n"))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
}

// TestRefusalsAreBounded: a program that goes on for ever does not fill the journal.
func TestRefusalsAreBounded(t *testing.T) {
	o := newOffice(t, submit.Queue)
	var dialog strings.Builder
	for i := range 50 {
		fmt.Fprintf(&dialog, "C: MAIL FROM:<no%d@example.org>\nS: 550 ...\n", i)
	}
	o.open().Play(t, login+dialog.String())
	if got := o.refusals(20); len(got) != 20 {
		t.Errorf("%d lines", len(got))
	}
}
