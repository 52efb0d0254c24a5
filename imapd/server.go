package imapd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"roost/imapd/wire"
	"roost/mailbox"
)

// Options say what a Server serves. Store is required.
type Options struct {
	Store *mailbox.Store
	Log   *slog.Logger // nil discards

	// TLS is used by STARTTLS; nil offers none. A listener that is TLS from the
	// first octet is wrapped by the caller with tls.NewListener.
	TLS *tls.Config

	// Hostname is what the greeting calls the server; nil leaves it out.
	Hostname func() string

	Limits Limits // zero fields take their defaults
}

// Limits bound what clients may use up.
type Limits struct {
	Connections int // at once, over all clients; 0 is 4000
	PerAddress  int // connections of one IPv4 address or IPv6 /64, loopback excepted; 0 is 100
	PerAccount  int // connections of one account; 0 is 50
	BadCommands int // in a row, before the connection is closed; 0 is 20
}

const (
	// loginTime is how long a client has to log in, over all.
	loginTime = 2 * time.Minute
	// autologout is how long a client may be silent (RFC 9051 section 5.4: at
	// least 30 minutes).
	autologout = 30 * time.Minute
	// idleTime is how long IDLE may last: clients begin it anew after 29
	// minutes, and a peer that is gone fails the keep-alive writes.
	idleTime = 24 * time.Hour
	// keepAlive is short enough for the NAT tables of home routers.
	keepAlive = 4 * time.Minute
	// patience is how long one read inside a command, or one write, may take.
	patience = 2 * time.Minute
	// drain is how long commands may go on when the server stops.
	drain = 3500 * time.Millisecond
)

// A Server serves the accounts of one store. Its methods may be called from
// any number of goroutines.
type Server struct {
	opts    Options
	log     *slog.Logger
	tables  *tables
	buffers wire.Buffers
	gate    gate
}

// New returns a Server.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Limits.Connections == 0 {
		o.Limits.Connections = 4000
	}
	if o.Limits.PerAddress == 0 {
		o.Limits.PerAddress = 100
	}
	if o.Limits.PerAccount == 0 {
		o.Limits.PerAccount = 50
	}
	if o.Limits.BadCommands == 0 {
		o.Limits.BadCommands = 20
	}
	return &Server{opts: o, log: o.Log, tables: newTables(extensions()), gate: gate{limits: o.Limits}}
}

// Serve accepts connections from l until ctx is done. Then it closes l, lets
// running commands finish, closes all connections within four seconds and
// returns nil when every goroutine has ended. Another error is the listener's.
// Serve may run for several listeners at once.
func (srv *Server) Serve(ctx context.Context, l net.Listener) error {
	hard, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()

	var sessions sync.WaitGroup
	defer sessions.Wait()
	for delay := time.Duration(0); ; {
		c, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				c.Close()
			}
			timer := time.AfterFunc(drain, abort)
			sessions.Wait()
			timer.Stop()
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept IMAP connections: %w", err)
		case err != nil:
			// Out of file descriptors, or a connection gone before it was taken.
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			srv.log.Warn("IMAP connection not accepted", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(delay):
			}
			continue
		}
		delay = 0
		sessions.Go(func() { srv.serveConn(ctx, hard, c) })
	}
}

// serveConn runs one connection: until the client ends it, soft is done (after
// the command at hand), or hard is done (now).
func (srv *Server) serveConn(soft, hard context.Context, c net.Conn) {
	s := newSession(srv, c)
	defer s.close()
	defer context.AfterFunc(soft, s.transport.end)()
	defer context.AfterFunc(hard, s.transport.abort)()
	if err := s.serve(hard); err != nil {
		s.log.Debug("IMAP connection ended", "error", err)
	}
}
