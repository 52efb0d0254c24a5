package outbound

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/netip"
	"time"

	"roost/mta/dns"
	"roost/mta/smtp"
)

// Resolver finds mail exchangers and their addresses; *dns.Resolver is one.
type Resolver interface {
	MX(ctx context.Context, domain string) (dns.Answer[dns.MX], error)
	Addrs(ctx context.Context, host string) (dns.Answer[netip.Addr], error)
}

// Dialer opens TCP connections; *net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Options for a Sender. Hostname and Resolver are needed.
type Options struct {
	// Hostname is our name in EHLO, asked for at every attempt: a connection
	// that was opened by another one is not used any more. An exchanger of
	// that name is ourselves.
	Hostname func() string

	Resolver Resolver

	// Dialer opens the connections. Nil: a *net.Dialer.
	Dialer Dialer

	// NoIPv6 leaves IPv6 addresses aside, for a host whose IPv6 address has
	// no matching PTR record, which many refuse mail from.
	NoIPv6 bool

	// Roots are what a smart host's certificate is checked against. Nil: the
	// system's.
	Roots *x509.CertPool
}

// Sender makes attempts, of which there may be several at a time. Only its
// Couriers keep anything between them.
type Sender struct {
	o Options
}

// New returns a Sender.
func New(o Options) *Sender {
	if o.Dialer == nil {
		o.Dialer = &net.Dialer{}
	}
	return &Sender{o}
}

// Message is what an attempt sends, and to whom.
type Message struct {
	From smtp.Path      // the reverse-path; the zero Path is the null one
	To   []smtp.Forward // recipients of one domain; of any with a smart host

	// Domain is where the recipients are: a domain of A-labels, or an
	// address literal in brackets. With a smart host it is only for show.
	Domain string

	Size     int64 // octets, 0 when not known
	EightBit bool  // the message has octets above 127
	UTF8     bool  // it needs SMTPUTF8 (RFC 6531)

	// What goes on to servers that offer DSN (RFC 3461).
	EnvelopeID string
	Return     smtp.Return

	// RequireTLS wants REQUIRETLS (RFC 8689): only over TLS, to a server that
	// is proved to be the right one and that promises the same.
	RequireTLS bool

	// Open gives the message from its start, lines ending in CRLF. It is
	// called once for each transaction, of which a message with more than a
	// hundred recipients takes several.
	Open func() (io.ReadCloser, error)
}

// Outcome is what became of one recipient.
type Outcome int

// The outcomes. The zero value is Temporary, so that what was forgotten is
// tried again.
const (
	Temporary Outcome = iota
	Delivered
	Permanent
)

// String gives the outcome in lower case.
func (o Outcome) String() string {
	switch o {
	case Delivered:
		return "delivered"
	case Permanent:
		return "permanent"
	}
	return "temporary"
}

// Result is what became of one recipient.
type Result struct {
	To      smtp.Path
	Outcome Outcome

	// Reply is the server's last word on this recipient, or what stands for
	// it when no server said anything. Its class need not be that of the
	// outcome: a smart host's refusal of our password is 5xx to it and
	// temporary to the mail.
	Reply smtp.Reply

	Host string         // the server that Reply comes from; "" when Reply is ours
	Addr netip.AddrPort // where Host was reached
	TLS  string         // such as "TLS 1.3"; "" for plain text

	// Notifies: the server offers DSN and took the sender's wishes over.
	Notifies bool

	During string // the step that failed, such as "connect" or "RCPT"; "" when delivered
}

// Report is the whole of an attempt.
type Report struct {
	Results    []Result // one for each recipient, in their order
	Transcript *smtp.Transcript
	Began      time.Time
	Took       time.Duration
}

// Send makes one attempt to hand m to relay, or to the exchangers of its
// domain when relay is nil, over a connection of its own.
func (s *Sender) Send(ctx context.Context, m Message, relay *Relay) Report {
	c := s.Courier(relay)
	defer c.Close(ctx)
	return c.Send(ctx, m)
}
