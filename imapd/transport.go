package imapd

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// errEnding is what reads return once the server stops.
var errEnding = errors.New("the server is stopping")

// transport is a connection whose deadlines are set anew for each read and
// write, and whose reads can be ended from outside for good.
type transport struct {
	mu    sync.Mutex // reads set deadlines under it
	conn  net.Conn
	wait  time.Duration // for one read
	until time.Time     // for all reads; zero is no bound
	ended bool

	slow func() // called when a write takes longer than slowWrite
}

// slowWrite is after how long a client counts as slow.
const slowWrite = time.Second

func (t *transport) Read(p []byte) (int, error) {
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return 0, errEnding
	}
	deadline := time.Now().Add(t.wait)
	if !t.until.IsZero() && t.until.Before(deadline) {
		deadline = t.until
	}
	err := t.conn.SetReadDeadline(deadline)
	c := t.conn
	t.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := c.Read(p)
	if err != nil && t.isEnded() {
		err = errEnding
	}
	return n, err
}

func (t *transport) Write(p []byte) (int, error) {
	if err := t.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	defer time.AfterFunc(slowWrite, t.slow).Stop()
	return t.conn.Write(p)
}

// allow sets how long one read may take, and until when all may.
func (t *transport) allow(wait time.Duration, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wait, t.until = wait, until
}

// end makes the read at hand and all later ones fail with errEnding.
func (t *transport) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.conn.SetReadDeadline(time.Unix(1, 0))
}

func (t *transport) isEnded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended
}

// handshake makes the connection TLS, or completes the one that is.
func (t *transport) handshake(ctx context.Context, config *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c, isTLS := t.conn.(*tls.Conn)
	if !isTLS {
		c = tls.Server(t.conn, config)
	}
	t.mu.Lock()
	t.conn = c
	err := c.SetDeadline(time.Time{}) // the context bounds the handshake
	ended := t.ended
	t.mu.Unlock()
	if ended {
		return errEnding
	}
	if err != nil {
		return err
	}
	return c.HandshakeContext(ctx)
}

// close closes the connection. TLS says good-bye first, for which it takes up
// to five seconds with a client that does not read.
func (t *transport) close() {
	t.mu.Lock()
	c := t.conn
	t.ended = true
	t.mu.Unlock()
	c.Close()
}

// abort closes the connection at once.
func (t *transport) abort() {
	t.mu.Lock()
	c := t.conn
	t.ended = true
	t.mu.Unlock()
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	c.Close()
}
