package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"roost/mailbox/remote"
)

// Options say how a Server serves. NewSession is needed; every other zero
// value stands for a default.
type Options struct {
	// NewSession is asked at each connection, before the greeting, and after
	// STARTTLS. A Reply as error is said instead of the greeting, and the
	// connection is closed.
	NewSession func(ctx context.Context, c *Conn) (Session, error)

	Hostname      func() string // our name in greeting and EHLO; default localhost
	TLS           *tls.Config   // for STARTTLS; nil: not offered
	Log           *slog.Logger  // default: nowhere
	MaxSize       func() int64  // octets of a message, asked each time; default 50 MiB
	MaxRecipients int           // of a transaction; default 1000
	MaxMails      int           // transactions of a connection; default 10000
	MaxConns      int           // at one time; default 2000
	MaxPerAddress int           // of them from one client (remote.Host); default 100; loopback is exempt
}

// Server answers connections. It may serve several listeners, which share its
// limits.
type Server struct {
	opt  Options
	mu   sync.Mutex
	from map[netip.Prefix]int // open connections by client
	all  int
}

// NewServer makes a Server.
func NewServer(opt Options) *Server {
	if opt.Hostname == nil {
		opt.Hostname = func() string { return "localhost" }
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.MaxSize == nil {
		opt.MaxSize = func() int64 { return 50 << 20 }
	}
	orDefault(&opt.MaxRecipients, 1000)
	orDefault(&opt.MaxMails, 10000)
	orDefault(&opt.MaxConns, 2000)
	orDefault(&opt.MaxPerAddress, 100)
	return &Server{opt: opt, from: map[netip.Prefix]int{}}
}

func orDefault[T int | int64](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// How a Serve ends: connections that wait for a command are told at once, the
// others get this long to finish what they are at.
const drainTime = 3 * time.Second

// Serve answers connections from l until ctx is done. Then it closes l, lets
// running commands finish, closes every connection within four seconds, waits
// for every goroutine and returns nil. A connection whose type is *tls.Conn
// begins with its handshake; all others can use STARTTLS.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()

	var wg sync.WaitGroup
	var mu sync.Mutex
	conns := map[*Conn]bool{}
	failed := s.accept(ctx, l, func(nc net.Conn) {
		c := newConn(s, nc)
		mu.Lock()
		conns[c] = true
		mu.Unlock()
		wg.Go(func() {
			c.serve(work)
			mu.Lock()
			delete(conns, c)
			mu.Unlock()
		})
	})

	each := func(f func(*Conn)) {
		mu.Lock()
		defer mu.Unlock()
		for c := range conns {
			f(c)
		}
	}
	each((*Conn).drain)
	timer := time.AfterFunc(drainTime, func() {
		cancel()
		each((*Conn).cut)
	})
	wg.Wait()
	timer.Stop()
	return failed
}

// accept calls f for each connection; it ends with nil when ctx is done.
func (s *Server) accept(ctx context.Context, l net.Listener, f func(net.Conn)) error {
	pause := 5 * time.Millisecond
	for {
		nc, err := l.Accept()
		if err == nil {
			pause = 5 * time.Millisecond
			f(nc)
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		// Out of descriptors, or a peer that was gone too soon: it passes.
		s.opt.Log.Warn("accept failed", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		}
	}
}

// admit counts a connection in, unless that is too many.
func (s *Server) admit(peer netip.Addr) bool {
	key, limited := remote.Host(peer)
	s.mu.Lock()
	defer s.mu.Unlock()
	if limited && (s.all >= s.opt.MaxConns || s.from[key] >= s.opt.MaxPerAddress) {
		return false
	}
	s.all++
	s.from[key]++
	return true
}

func (s *Server) leave(peer netip.Addr) {
	key, _ := remote.Host(peer)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.from[key]--; s.from[key] == 0 {
		delete(s.from, key)
	}
}
