package imapd_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"roost/imapd"
	"roost/mailbox"
	"roost/mailbox/sasl/sasltest"
)

// teller is a connection over TLS on which lines are said.
type teller struct {
	*testing.T
	conn *tls.Conn
	r    *bufio.Reader
}

func (h *house) call(t *testing.T, addr string) *teller {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(time.Minute))
	c := &teller{T: t, r: bufio.NewReader(raw)}
	c.line("* OK ")
	fmt.Fprint(raw, "s STARTTLS\r\n")
	c.line("s OK ")
	c.conn = tls.Client(raw, h.clientTLS())
	c.r = bufio.NewReader(c.conn)
	return c
}

// line reads one, which begins as told, and gives the rest.
func (c *teller) line(prefix string) string {
	c.Helper()
	got, err := c.r.ReadString('\n')
	rest, ok := strings.CutPrefix(strings.TrimSuffix(got, "\r\n"), prefix)
	if err != nil || !ok {
		c.Fatalf("%q, %v, want %q", got, err, prefix)
	}
	return rest
}

func (c *teller) say(prefix, format string, args ...any) string {
	c.Helper()
	fmt.Fprintf(c.conn, format+"\r\n", args...)
	return c.line(prefix)
}

func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// scram logs in, up to the server's proof, and gives what is said instead of it.
func (c *teller) scram(mechanism string, by *sasltest.Client) string {
	c.Helper()
	challenge := c.say("", "a AUTHENTICATE %s %s", mechanism, encoded(by.First()))
	text, ok := strings.CutPrefix(challenge, "+ ")
	if !ok {
		return challenge
	}
	first, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		c.Fatal(err)
	}
	final, err := by.Final(string(first))
	if err != nil {
		c.Fatal(err)
	}
	if challenge = c.say("", "%s", encoded(final)); !strings.HasPrefix(challenge, "+ ") {
		return challenge
	}
	proof, err := base64.StdEncoding.DecodeString(challenge[2:])
	if err != nil {
		c.Fatal(err)
	}
	if err := by.Verify(string(proof)); err != nil {
		c.Error(err)
	}
	return ""
}

// TestScram: it is offered where it works, bound to the channel where the client
// can, and the client that was cheated of the offer is not let in.
func TestScram(t *testing.T) {
	h := newHouse(t, imapd.Limits{})
	addr := h.serve(t)
	a := h.person(t)
	ctx := context.Background()
	_, secret, err := h.store.AddDevice(ctx, a.Address, "phone")
	if err != nil {
		t.Fatal(err)
	}
	_, scanner, err := h.store.AddSender(ctx, a.Address, "scanner", a.Address)
	if err != nil {
		t.Fatal(err)
	}
	c := h.call(t, addr)
	if got := c.say("* CAPABILITY ", "c CAPABILITY"); strings.Contains(got, "SCRAM") {
		t.Errorf("offered while a password of one's own opens mail: %s", got)
	}
	c.line("c OK ")
	by := func(secret string) *sasltest.Client {
		return &sasltest.Client{Name: string(a.Address), Password: secret, Nonce: "rOprNGfwEbeRWgbNEkqO"}
	}
	if got := c.scram("SCRAM-SHA-256", by(secret)); got != "a NO [CANNOT] unknown mechanism" {
		t.Errorf("not offered: %s", got)
	}
	if _, err := h.store.ChangeAccount(ctx, a.Address, func(a *mailbox.Account) error { a.AppOnly = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if got := c.say("* CAPABILITY ", "c CAPABILITY"); !strings.Contains(got, " AUTH=SCRAM-SHA-256-PLUS AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN ") {
		t.Errorf("not offered: %s", got)
	}
	c.line("c OK ")
	c.say("l NO [CONTACTADMIN] ", `l LOGIN %s "%s"`, a.Address, password)

	// In order, cancelled at the end, and once more.
	if got := c.scram("scram-sha-256", by(secret)); got != "" {
		t.Error(got)
	}
	c.say("a BAD ", "*")
	c.say("s BAD ", "s SELECT INBOX")
	if got := c.scram("SCRAM-SHA-256", by(secret)); got != "" {
		t.Error(got)
	}
	c.say("a OK [CAPABILITY ", "")
	c.say("* ", "s SELECT INBOX")

	c = h.call(t, addr)
	for what, try := range map[string]struct {
		client *sasltest.Client
		want   string
	}{
		"a wrong secret":            {by("secret"), "a NO [AUTHENTICATIONFAILED] wrong login name or password"},
		"one that only sends":       {by(scanner), "a NO [CONTACTADMIN] "},
		"somebody took PLUS away":   {&sasltest.Client{Name: "x", Nonce: "x", Flag: "y"}, "a NO [AUTHENTICATIONFAILED] the client was not told of SCRAM-SHA-256-PLUS"},
		"no name":                   {&sasltest.Client{Nonce: "x"}, "a BAD "},
		"to be somebody else":       {&sasltest.Client{Name: "x", As: "y", Nonce: "x"}, "a NO [AUTHORIZATIONFAILED] "},
		"bound, in the weaker name": {&sasltest.Client{Name: "x", Nonce: "x", Flag: "p=tls-exporter"}, "a BAD "},
	} {
		if got := c.scram("SCRAM-SHA-256", try.client); !strings.HasPrefix(got, try.want) {
			t.Errorf("%s: %s", what, got)
		}
	}

	c = h.call(t, addr)
	bound := by(secret)
	bound.Flag, bound.Binding = "p=tls-exporter", []byte("of another connection")
	if got := c.scram("SCRAM-SHA-256-PLUS", bound); !strings.HasPrefix(got, "a NO [AUTHENTICATIONFAILED] the client does not see the same TLS connection") {
		t.Error(got)
	}
	state := c.conn.ConnectionState()
	if bound.Binding, err = state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); err != nil {
		t.Fatal(err)
	}
	if got := c.scram("SCRAM-SHA-256-PLUS", bound); got != "" {
		t.Error(got)
	}
	c.say("a OK [CAPABILITY ", "")
}
