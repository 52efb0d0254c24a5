package inbound

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"

	"roost/mailbox"
	"roost/mta/dns"
	"roost/mta/smtp"
)

// Options say how a Server serves. Store is needed.
type Options struct {
	Store    *mailbox.Store
	Hostname func() string // our name; nil is localhost
	Log      *slog.Logger  // nil discards

	// TLS is for STARTTLS; nil: it is not offered. It is used without session
	// tickets: a resumed session saves strangers little, and some of their
	// servers fail over it.
	TLS *tls.Config

	// Resolver is asked who really sent a message. Nil: nobody is, no verdict
	// is written into the message, and none is refused for one.
	Resolver *dns.Resolver

	// Forward lets aliases lead to other domains: an outbox row for each. False:
	// such an alias is refused.
	Forward bool

	// RefuseNullMX refuses senders whose domain takes no mail (RFC 7505 4.2).
	RefuseNullMX bool

	// Proxies may speak for clients. They are no clients themselves, and no block list
	// is asked about them.
	Proxies []netip.Prefix

	// MessagesPerHour and RecipientsPerHour bound what comes from one address;
	// 0 is 600 and 3,000, below 0 there is no bound. A network has four times as
	// much, and so has who lately brought mail of an author known to a recipient.
	// What is beyond is put off. Loopback is not bounded.
	MessagesPerHour, RecipientsPerHour int
}

// Server is port 25. It may serve several listeners.
type Server struct {
	opt    Options
	smtp   *smtp.Server
	probes probes
	rates  *rates
	lists  listTrouble
}

// New makes a Server.
func New(opt Options) *Server {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.TLS != nil {
		opt.TLS = opt.TLS.Clone()
		opt.TLS.SessionTicketsDisabled = true
	}
	s := &Server{opt: opt, rates: newRates(opt.MessagesPerHour, opt.RecipientsPerHour)}
	s.smtp = smtp.NewServer(smtp.Options{
		NewSession: func(_ context.Context, c *smtp.Conn) (smtp.Session, error) {
			if s.probes.blocked(c.Peer()) {
				return nil, errProbing
			}
			return &session{Options: &s.opt, probes: &s.probes, rates: s.rates, lists: &s.lists, conn: c}, nil
		},
		Hostname: opt.Hostname,
		TLS:      opt.TLS,
		Log:      opt.Log,
		MaxSize:  opt.Store.MaxMessage(),
	})
	return s
}

// Serve takes mail from l until ctx is done. Then it closes l, lets running
// commands finish, closes every connection within four seconds, waits for every
// goroutine and returns nil.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return s.smtp.Serve(ctx, l)
}
