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
	s := &Server{opt: opt, rates: newRates(limits(opt.Store, opt.Log))}
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
		MaxSize:  opt.Store.MaxMessage,
	})
	return s
}

// limits reads what the settings say now. Where they cannot be read, the defaults hold.
func limits(s *mailbox.Store, log *slog.Logger) func() mailbox.ReceptionLimits {
	return func() mailbox.ReceptionLimits {
		v, err := s.Settings()
		if err != nil {
			log.Error("limits on what comes in", "err", err)
		}
		return v.ReceptionLimits()
	}
}

// Serve takes mail from l until ctx is done. Then it closes l, lets running
// commands finish, closes every connection within four seconds, waits for every
// goroutine and returns nil.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return s.smtp.Serve(ctx, l)
}
