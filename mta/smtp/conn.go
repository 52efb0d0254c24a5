package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

// How long a peer may take (RFC 5321 4.5.3.2.7: at least five minutes for a
// command), and how slow a message may come.
const (
	waitForCommand   = 5 * time.Minute // for a whole line, however it dribbles in
	waitForData      = 5 * time.Minute // for any octet of a message
	dataGrace        = 5 * time.Minute // before the floor on the rate holds
	dataFloor        = 512             // octets a second
	waitForHandshake = time.Minute
	waitForWrite     = 2 * time.Minute
)

// Conn is the server's end of one connection.
type Conn struct {
	server     *Server
	peer       netip.Addr
	r          *bufio.Reader
	w          *bufio.Writer
	transcript *Transcript

	session    Session
	hello      string
	extended   bool // EHLO, not HELO
	authorized bool
	mail       bool // a transaction is open
	utf8       bool // with SMTPUTF8
	recipients int
	chunks     bool // a message by BDAT is under way
	mails      int  // transactions so far
	offences   int  // commands that were wrong
	refusals   int  // recipients that were refused
	idling     int  // commands that led nowhere since the last message

	mu       sync.Mutex
	conn     net.Conn // plain, or *tls.Conn
	pace     pace
	draining bool
}

// pace is what the read deadline is reckoned from.
type pace struct {
	data   bool // a message comes in, not a command
	since  time.Time
	octets int64
}

func newConn(s *Server, nc net.Conn) *Conn {
	c := &Conn{server: s, conn: nc, pace: pace{since: time.Now()}}
	c.buffers()
	return c
}

func (c *Conn) buffers() {
	c.r = bufio.NewReaderSize(connReader{c}, 8<<10)
	c.w = bufio.NewWriterSize(connWriter{c}, 4<<10)
}

// Peer is the address of the other end, IPv4 where it is mapped into IPv6. It
// is invalid where the connection has none.
func (c *Conn) Peer() netip.Addr { return c.peer }

// Hello is the name that the client gave in EHLO or HELO: printable ASCII, and
// else whatever it liked. It is "" before that.
func (c *Conn) Hello() string { return c.hello }

// Hostname is the name that we gave.
func (c *Conn) Hostname() string { return c.server.opt.Hostname() }

// TLS gives the state of the TLS that the connection is in, or nil.
func (c *Conn) TLS() *tls.ConnectionState {
	if t := c.Channel(); t != nil {
		state := t.ConnectionState()
		return &state
	}
	return nil
}

// Channel gives the TLS that the connection is in, or nil. It is not for reading
// and writing.
func (c *Conn) Channel() *tls.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, _ := c.conn.(*tls.Conn)
	return t
}

// Record writes what is said from now on to t, secrets left out.
func (c *Conn) Record(t *Transcript) { c.transcript = t }

// Trace gives what the connection knows of the Received field for a message in
// the open transaction. ID and For are the caller's to fill in.
func (c *Conn) Trace() Trace {
	t := Trace{Hello: c.hello, Peer: c.peer, By: c.Hostname(), With: c.protocol(), At: time.Now()}
	if state := c.TLS(); state != nil {
		t.TLS = tls.CipherSuiteName(state.CipherSuite)
	}
	return t
}

// protocol gives the "with" type (RFC 3848, RFC 6531 4.3).
func (c *Conn) protocol() string {
	if !c.extended {
		return "SMTP"
	}
	s := "ESMTP"
	if c.utf8 {
		s = "UTF8SMTP"
	}
	if c.TLS() != nil {
		s += "S"
	}
	if c.authorized {
		s += "A"
	}
	return s
}

// connReader reads from the peer. Answers leave when there is nothing more to
// read, so that a pipelined group gets its answers in one piece (RFC 2920
// 3.2), and each read has its own deadline.
type connReader struct{ c *Conn }

func (r connReader) Read(p []byte) (int, error) {
	if err := r.c.w.Flush(); err != nil {
		return 0, err
	}
	conn, err := r.c.arm()
	if err != nil {
		return 0, err
	}
	n, err := conn.Read(p)
	r.c.mu.Lock()
	r.c.pace.octets += int64(n)
	r.c.mu.Unlock()
	return n, err
}

type connWriter struct{ c *Conn }

func (w connWriter) Write(p []byte) (int, error) {
	w.c.mu.Lock()
	conn := w.c.conn
	w.c.mu.Unlock()
	if err := conn.SetWriteDeadline(time.Now().Add(waitForWrite)); err != nil {
		return 0, err
	}
	return conn.Write(p)
}

// begin starts the clock for a command or a message.
func (c *Conn) begin(data bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pace = pace{data: data, since: time.Now()}
}

// paused and resume carry the clock of a message over the commands between two
// of its chunks: the time they take is the message's too.
func (c *Conn) paused() pace {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pace
}

func (c *Conn) resume(p pace) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pace = p
}

// arm sets the deadline of the next read.
func (c *Conn) arm() (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := c.pace.since.Add(waitForCommand)
	switch {
	case c.pace.data:
		until = time.Now().Add(waitForData)
		owed := time.Duration(c.pace.octets) * time.Second / dataFloor
		if slow := c.pace.since.Add(dataGrace + owed); slow.Before(until) {
			until = slow
		}
	case c.draining:
		until = time.Unix(1, 0)
	}
	return c.conn, c.conn.SetReadDeadline(until)
}

// drain ends the connection at the next command.
func (c *Conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if !c.pace.data {
		_ = c.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

func (c *Conn) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// cut ends the connection now, under the TLS, whose goodbye could block.
func (c *Conn) cut() {
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	conn.Close()
}

var (
	errBye     = Reply{421, Enhanced{4, 3, 2}, "Going down; try again later"}
	errTimeout = Reply{421, Enhanced{4, 4, 2}, "Waited too long"}
)

// serve runs the connection to its end.
func (c *Conn) serve(ctx context.Context) {
	log := c.server.opt.Log
	defer func() {
		if p := recover(); p != nil {
			log.Error("panic in a connection", "peer", c.peer, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
		if c.session != nil {
			c.session.Reset(ctx)
		}
		c.conn.Close()
	}()
	var told bool
	if c.peer, told = client(c.conn); !told {
		log.Warn("a proxy did not tell for whom it speaks", "proxy", c.conn.RemoteAddr())
		return
	}
	admitted := c.server.admit(c.peer)
	if admitted {
		defer c.server.leave(c.peer)
	}
	if t, ok := c.conn.(*tls.Conn); ok {
		if !admitted {
			return
		}
		if err := c.handshake(ctx, t); err != nil {
			log.Debug("no TLS", "peer", c.peer, "err", err)
			return
		}
	}
	if !admitted {
		c.say(Reply{421, Enhanced{4, 7, 0}, "Too many connections from your address"})
		_ = c.w.Flush()
		return
	}
	var err error
	if c.session, err = c.server.opt.NewSession(ctx, c); err != nil {
		c.say(c.replyFor("connect", err))
		_ = c.w.Flush()
		return
	}
	c.say(Reply{Code: 220, Text: c.Hostname() + " ESMTP Roost"})
	for err == nil {
		err = c.step(ctx)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if c.isDraining() {
			c.say(errBye)
		} else {
			c.say(errTimeout)
		}
	}
	_ = c.w.Flush()
}

// handshake makes the connection one over TLS.
func (c *Conn) handshake(ctx context.Context, t *tls.Conn) error {
	if err := t.SetDeadline(time.Now().Add(waitForHandshake)); err != nil {
		return err
	}
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	return t.SetDeadline(time.Time{})
}

// say puts a reply in the buffer. A write error shows at the next flush, and
// stays.
func (c *Conn) say(r Reply) {
	start := c.w.AvailableBuffer()
	b := r.append(start)
	if c.transcript != nil {
		c.transcript.Add(FromServer, r.Error())
	}
	_, _ = c.w.Write(b)
}

// replyFor is the one place where an error that is no Reply becomes 451 and a
// line in the log.
func (c *Conn) replyFor(verb string, err error) Reply {
	var r Reply
	if !errors.As(err, &r) {
		c.server.opt.Log.Error("command failed", "verb", verb, "peer", c.peer, "err", err)
	}
	return ReplyFor(err)
}
