// Package canary sends a message down the shaft: through the server's own SMTP port, as
// any other server would, so that what comes of it is what would come of anybody's mail.
//
// It knows the way in and nothing else. It refuses to look whether the message arrived:
// the journal and the mailbox tell that, and telling is the caller's work.
package canary

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"roost/mta/smtp"
)

// patience is how long the whole conversation may take.
const patience = 20 * time.Second

// Test is one message to send.
type Test struct {
	Address string // of the SMTP listener, HOST:PORT; an unspecified host is reached over loopback
	Host    string // what this server calls itself
	To      string // an address of this server
}

// Receipt is what the server said when it took the message.
type Receipt struct {
	ID        string    `json:"id"` // the receipt's number, as the journal has it; empty where the reply has none
	MessageID string    `json:"message_id"`
	Reply     string    `json:"reply"`
	TLS       string    `json:"tls,omitempty"` // the version, when the server offered it
	Sent      time.Time `json:"sent"`
}

// Send sends the message, within twenty seconds. A refusal is an smtp.Reply as error.
func (t Test) Send(ctx context.Context) (Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	to, err := smtp.ParsePath(t.To)
	if err != nil {
		return Receipt{}, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", reach(t.Address))
	if err != nil {
		return Receipt{}, fmt.Errorf("reach our own SMTP port: %w", err)
	}
	c, err := smtp.NewClient(ctx, conn, nil)
	if err != nil {
		conn.Close()
		return Receipt{}, err
	}
	defer c.Quit(context.WithoutCancel(ctx))
	r, err := t.deliver(ctx, c, to)
	if err != nil {
		return Receipt{}, fmt.Errorf("send a test to %s: %w", t.To, err)
	}
	return r, nil
}

func (t Test) deliver(ctx context.Context, c *smtp.Client, to smtp.Path) (Receipt, error) {
	r := Receipt{Sent: time.Now()}
	if err := c.Hello(ctx, t.Host); err != nil {
		return r, err
	}
	if _, offered := c.Extension("STARTTLS"); offered {
		// Whoever answers here is this very process: there is nobody to be told apart.
		if err := c.StartTLS(ctx, &tls.Config{ServerName: t.Host, InsecureSkipVerify: true}); err != nil {
			return r, err
		}
		if err := c.Hello(ctx, t.Host); err != nil {
			return r, err
		}
		r.TLS = tls.VersionName(c.TLS().Version)
	}
	// From nobody, so that no failure of the test makes mail of its own (RFC 3834 section 3.3).
	answers, err := c.Envelope(ctx, smtp.Path{}, smtp.MailParams{}, []smtp.Forward{{Path: to}})
	if err != nil {
		return r, err
	}
	if !answers[0].Positive() {
		return r, answers[0]
	}
	var body string
	r.MessageID, body = t.message(r.Sent)
	reply, err := c.Data(ctx, strings.NewReader(body))
	if err != nil {
		return r, err
	}
	r.Reply = reply.Error()
	if words := strings.Fields(reply.Text); len(words) > 0 {
		r.ID = words[len(words)-1]
	}
	return r, nil
}

// message is a message in no domain of anybody's (RFC 2606 section 2), so that no
// domain's DMARC policy is asked about it.
func (t Test) message(now time.Time) (id, text string) {
	id = "<" + strings.ToLower(rand.Text()) + "@roost.invalid>"
	return id, strings.Join([]string{
		"From: Roost <test@roost.invalid>",
		"To: <" + t.To + ">",
		"Subject: A test from Roost",
		"Date: " + now.Format(smtp.DateFormat),
		"Message-ID: " + id,
		"Auto-Submitted: auto-generated",
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=utf-8",
		"",
		"This message came in through the SMTP port of " + t.Host + ", as mail from any",
		"other server does. That you read it shows that it was received, checked,",
		"stored and found again.",
		"",
		"Nothing needs to be done. You may delete it.",
		"",
	}, "\r\n")
}

// reach is where a listener is reached from this machine.
func reach(address string) string {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !a.Addr().IsUnspecified() {
		return address
	}
	// A listener on [::] takes IPv4 too, and there are machines without IPv6.
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port()).String()
}
