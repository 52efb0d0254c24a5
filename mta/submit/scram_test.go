package submit_test

import (
	"crypto/tls"
	"encoding/base64"
	"testing"

	"roost/mailbox"
	"roost/mailbox/sasl/sasltest"
	"roost/mta/smtp/smtptest"
	"roost/mta/submit"
)

// scram plays an exchange up to a reply, which is given: the server's proof, or that
// it refuses.
func scram(t *testing.T, p *smtptest.Player, mechanism string, c *sasltest.Client) (verified bool) {
	t.Helper()
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	decode := func(s string) string {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var challenge string
	p.Word = func(word, _ string) bool { challenge = decode(p.Line(t, "334 ")); return word == "CHALLENGE" }
	p.Play(t, "C: AUTH "+mechanism+" "+encode(c.First())+"\nCHALLENGE")
	final, err := c.Final(challenge)
	if err != nil {
		t.Fatal(err)
	}
	p.Play(t, "C: "+encode(final)+"\nCHALLENGE")
	if err := c.Verify(challenge); err != nil {
		t.Error(err)
		return false
	}
	return true
}

// TestScram: it is offered where it works, also bound to the channel, and lets in at
// the end of the exchange only.
func TestScram(t *testing.T) {
	o := newOffice(t, submit.Refuse)
	ctx := t.Context()
	_, phone, err := o.store.AddDevice(ctx, "ann@example.org", "phone")
	if err != nil {
		t.Fatal(err)
	}
	_, scanner, err := o.store.AddSender(ctx, "ann@example.org", "scanner", "sales@example.org")
	if err != nil {
		t.Fatal(err)
	}
	p := o.open()
	const hello = "C: EHLO c\nS: 250-mx.example.org\nS: 250-PIPELINING\nS: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-ENHANCEDSTATUSCODES\nS: 250-CHUNKING\nS: 250-DSN\nS: 250-LIMITS ...\nS: 250-SIZE ...\nS: 250-REQUIRETLS\n"
	p.Play(t, "S: 220 ...\nC: STARTTLS\nS: 220 ...\nTLS\n"+hello+"S: 250 AUTH PLAIN LOGIN\nC: AUTH SCRAM-SHA-256 eA==\nS: 504 5.5.4 ...")
	for _, who := range []mailbox.Address{"ann@example.org", "bob@example.org"} {
		if _, err := o.store.ChangeAccount(ctx, who, func(a *mailbox.Account) error { a.AppOnly = true; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	p.Play(t, hello+"S: 250 AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN\n"+
		"C: AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00ann@example.org\x00secret"))+"\nS: 525 5.7.13 ...\n"+
		"C: AUTH SCRAM-SHA-256 "+base64.StdEncoding.EncodeToString([]byte("y,,n=ann,r=x"))+"\nS: 535 5.7.8 The TLS connection ...\n"+
		"C: AUTH SCRAM-SHA-256 "+base64.StdEncoding.EncodeToString([]byte("n,,n=ann"))+"\nS: 501 5.5.2 ...")

	by := func(secret string) *sasltest.Client {
		return &sasltest.Client{Name: "ann@example.org", Password: secret, Nonce: "rOprNGfwEbeRWgbNEkqO"}
	}
	if scram(t, p, "SCRAM-SHA-256", by(phone)) {
		p.Play(t, "C: *\nS: 501 5.7.0 ...\nC: MAIL FROM:<ann@example.org>\nS: 530 5.7.0 ...")
	}
	bound := by(scanner)
	bound.Flag = "p=tls-exporter"
	state := p.Conn.(*tls.Conn).ConnectionState()
	if bound.Binding, err = state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); err != nil {
		t.Fatal(err)
	}
	if scram(t, p, "SCRAM-SHA-256-PLUS", bound) {
		// The one that only sends, in one name.
		p.Play(t, "C: =\nS: 235 2.7.0 ...\nC: MAIL FROM:<ann@example.org>\nS: 550 5.7.1 ...\nC: MAIL FROM:<sales@example.org>\nS: 250 ...")
	}
}
