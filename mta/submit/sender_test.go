package submit_test

import (
	"fmt"
	"testing"

	"roost/mta/submit"
)

// TestDeviceThatOnlySends uses one name, in the envelope and in the header.
func TestDeviceThatOnlySends(t *testing.T) {
	o := newOffice(t, submit.Queue)
	_, secret, err := o.store.AddSender(t.Context(), "ann@example.org", "scanner", "sales@example.org")
	if err != nil {
		t.Fatal(err)
	}
	o.open().Play(t, fmt.Sprintf(`S: 220 ...
C: STARTTLS
S: 220 ...
TLS
EHLO
AUTH ann@example.org %s
C: MAIL FROM:<ann@example.org>
S: 550 5.7.1 MAIL FROM has <ann@example.org>, and this app password sends as <sales@example.org> alone
C: MAIL FROM:<sales@example.org>
C: RCPT TO:<bob@example.org>
C: DATA
S: 250 ...
S: 250 ...
S: 354 ...
C: From: ann@example.org
C:
C: a page
C: .
S: 550 5.7.1 ...
C: MAIL FROM:<sales@example.org>
C: RCPT TO:<bob@example.org>
C: DATA
S: 250 ...
S: 250 ...
S: 354 ...
C: From: sales@example.org
C:
C: a page
C: .
S: 250 2.0.0 ...
HOLDS bob@example.org INBOX 1
`, secret))
}
