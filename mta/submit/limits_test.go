package submit_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"roost/mailbox"
	"roost/mta/submit"
)

// TestADeviceThatSendsMuchIsFrozen: the message that is one too many is put off, the
// owner is told once, and neither this session nor another one sends more with that
// password (RFC 4954 6), until the owner says so.
func TestADeviceThatSendsMuchIsFrozen(t *testing.T) {
	o := newOffice(t, submit.Queue)
	d, secret, err := o.store.AddDevice(t.Context(), "ann@example.org", "old laptop")
	if err != nil {
		t.Fatal(err)
	}
	enter := "S: 220 ...\nC: STARTTLS\nS: 220 ...\nTLS\nEHLO\nAUTH ann@example.org " + secret + "\n"
	rcpt := "C: MAIL FROM:<ann@example.org>\nS: 250 ...\n"
	for i := range 61 {
		rcpt += fmt.Sprintf("C: RCPT TO:<n%d@other.example>\nS: 250 ...\n", i)
	}
	rcpt += "C: DATA\nS: 354 ...\nC: From: ann@example.org\nC:\nC: .\n"
	o.open().Play(t, enter+rcpt+`S: 450 4.7.1 Sending is frozen for this device now: 61 new recipients in an hour, and never one before. Its owner ...
C: MAIL FROM:<ann@example.org>
S: 451 4.7.1 Sending is frozen for this device since ...
OUTBOX 
HOLDS ann@example.org INBOX 1
`)
	text := o.messages("ann@example.org", "INBOX")[0]
	for _, want := range []string{
		"From: Roost <postmaster@example.org>\r\n", "To: <ann@example.org>\r\n", "Auto-Submitted: auto-generated\r\n",
		"61 new recipients in an hour, and never one before.", "Password:  old laptop\r\n", "From:      127.0.0.1 ",
		"roost device remove ann@example.org " + d.ID, "roost device unfreeze ann@example.org " + d.ID,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the notice lacks %q:\n%s", want, text)
		}
	}
	o.open().Play(t, strings.Replace(enter, "AUTH ann@example.org "+secret, "C: AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00ann@example.org\x00"+secret)), 1)+
		"S: 454 4.7.0 Sending is frozen for this device since ...\n")
	o.open().Play(t, login+"C: MAIL FROM:<ann@example.org>\nS: 250 ...\n")
	a, err := o.store.Account("ann@example.org")
	if err == nil {
		err = o.store.Unfreeze(t.Context(), a.ID, d.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	o.open().Play(t, enter+rcpt+"S: 250 ...\nHOLDS ann@example.org INBOX 1\n")
	if got := o.journal(); got.Event != mailbox.Submitted {
		t.Errorf("the journal ends with %+v", got)
	}
}

// TestTheOwnPasswordIsFrozenToo, and the notice tells to change it.
func TestTheOwnPasswordIsFrozenToo(t *testing.T) {
	o := newOffice(t, submit.Queue)
	rcpt := "C: MAIL FROM:<ann@example.org>\nS: 250 ...\n"
	for i := range 61 {
		rcpt += fmt.Sprintf("C: RCPT TO:<n%d@other.example>\nS: 250 ...\n", i)
	}
	o.open().Play(t, login+rcpt+"C: DATA\nS: 354 ...\nC: From: ann@example.org\nC:\nC: .\nS: 450 4.7.1 ...\n")
	text := o.messages("ann@example.org", "INBOX")[0]
	for _, want := range []string{"Password:  the account's own password\r\n", "roost account password ann@example.org\r\n", "roost device unfreeze ann@example.org\r\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the notice lacks %q:\n%s", want, text)
		}
	}
}
