package submit

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"

	"roost/mailbox"
	"roost/mta/msgauth"
	"roost/mta/smtp"
)

// Remote says what becomes of mail to other domains.
type Remote int

const (
	Refuse  Remote = iota // 550: sending is not set up
	Queue                 // an outbox row for each domain
	Capture               // a copy in the sender's mailbox Captured, and nothing leaves
)

// Captured is the mailbox that Capture puts mail into. It is made when it is
// missing.
const Captured = "Captured"

// Options say how a Server serves. Store is needed.
type Options struct {
	Store    *mailbox.Store
	Hostname func() string // our name; nil is localhost
	Log      *slog.Logger  // nil discards
	TLS      *tls.Config   // for STARTTLS; nil: nobody can log in but over a *tls.Conn
	Remote   Remote
}

// Server is the submission service. It may serve several listeners, those of
// 587 and, wrapped by tls.NewListener, those of 465.
type Server struct {
	opt     Options
	smtp    *smtp.Server
	keyring msgauth.Keyring
	notes   notes
}

// New makes a Server.
func New(opt Options) *Server {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{opt: opt, notes: notes{due: make(chan mailbox.Line, 100)}}
	s.smtp = smtp.NewServer(smtp.Options{
		NewSession: func(_ context.Context, c *smtp.Conn) (smtp.Session, error) {
			return &session{Options: &s.opt, keyring: &s.keyring, notes: &s.notes, conn: c}, nil
		},
		Hostname: opt.Hostname,
		TLS:      opt.TLS,
		Log:      opt.Log,
		MaxSize:  opt.Store.MaxMessage,
	})
	return s
}

// Serve takes mail from l until ctx is done. Then it closes l, lets running
// commands finish, closes every connection within four seconds, waits for every
// goroutine and returns nil.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() { s.write(stop) })
	defer writing.Wait()
	defer close(stop)
	return s.smtp.Serve(ctx, l)
}
