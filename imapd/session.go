package imapd

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/imapd/wire"
	"roost/mailbox"
)

// state is a set of the protocol's states (RFC 9051 section 3).
type state uint8

const (
	notAuthenticated state = 1 << iota
	authenticated
	selected
	loggedIn = authenticated | selected
	anyState = notAuthenticated | loggedIn
)

// A session is one connection, from greeting to end. Its methods run on one
// goroutine, but for the one that IDLE starts to wait for DONE.
type session struct {
	srv       *Server
	transport *transport
	dec       *wire.Decoder
	enc       *wire.Encoder
	log       *slog.Logger

	from     netip.Prefix
	peer     netip.Addr // invalid: inside the process
	loopback bool
	tls      bool
	begun    time.Time

	account *mailbox.Account // nil until login
	enabled map[imap.Cap]bool
	modSeqs bool          // FETCH responses show modseqs (RFC 7162)
	view    *view         // nil unless a mailbox is selected
	notify  *notification // nil before the first NOTIFY
	others  *others       // nil: nothing but the selected mailbox is watched

	entered bool                            // counted by the gate
	idling  bool                            // another goroutine reads; the encoder is not its
	reading atomic.Pointer[mailbox.Message] // whose octets are being written; nil is none
	bad     int                             // commands in a row that were refused with BAD
	failed  int                             // logins
}

// A call is one command as it came.
type call struct {
	tag  string
	name string // in upper case, with "UID " before it where the client wrote it
	uid  bool   // sets are of UIDs
}

func newSession(srv *Server, c net.Conn) *session {
	t := &transport{conn: c}
	s := &session{
		srv: srv, transport: t,
		enc:   wire.NewEncoder(t, &srv.buffers),
		log:   srv.log.With("remote", c.RemoteAddr().String()),
		begun: time.Now(),
	}
	t.slow = s.rest
	s.dec = wire.NewDecoder(s, wire.BeforeLogin(), s.askLiteral)
	s.from, s.loopback = client(c.RemoteAddr())
	if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		s.peer = tcp.AddrPort().Addr()
	}
	_, s.tls = c.(*tls.Conn)
	return s
}

// Read is the decoder's source. Before it waits for the client, the client gets
// what was written: a pipeline of commands is answered in few writes.
func (s *session) Read(p []byte) (int, error) {
	if !s.idling {
		if err := s.enc.Flush(); err != nil {
			return 0, err
		}
	}
	return s.transport.Read(p)
}

// rest is called when the client does not take what is written: a slow reader is not
// to cost more than a few KB.
func (s *session) rest() {
	if m := s.reading.Load(); m != nil {
		m.Rest()
	}
}

// askLiteral lets the client send the literal that it announced.
func (s *session) askLiteral() error {
	s.enc.Raw("+ go ahead\r\n")
	return s.enc.Err()
}

func (s *session) state() state {
	switch {
	case s.account == nil:
		return notAuthenticated
	case s.view == nil:
		return authenticated
	}
	return selected
}

// has reports whether an extension was enabled.
func (s *session) has(c imap.Cap) bool { return s.enabled[c] }

// serve greets the client and runs its commands until the connection ends.
// Its error says why, nil after LOGOUT.
func (s *session) serve(ctx context.Context) error {
	if s.tls {
		if err := s.transport.handshake(ctx, nil); err != nil {
			return err
		}
	}
	s.allow(patience)
	if s.entered = s.srv.gate.enter(s.from, s.loopback); !s.entered {
		return s.sayBye(bye("LIMIT", "too many connections"))
	}
	if err := s.greet(); err != nil {
		return err
	}
	for {
		if err := s.next(ctx); err != nil {
			return s.sayBye(err)
		}
	}
}

// close gives back what the session holds.
func (s *session) close() {
	s.transport.close()
	s.enc.Flush() // to the closed connection: gives the buffer back
	if s.entered {
		s.srv.gate.leave(s.from)
	}
	if s.account != nil {
		s.srv.gate.logout(s.account.ID)
	}
}

func (s *session) greet() error {
	host := ""
	if s.srv.opts.Hostname != nil {
		host = s.srv.opts.Hostname() + " "
	}
	s.writeResponse("*", &response{"OK", "CAPABILITY " + s.capabilities(), host + "Roost ready"})
	return s.enc.Flush()
}

// allow sets the time for one read. Before login all reads together are bounded.
func (s *session) allow(wait time.Duration) {
	var until time.Time
	if s.account == nil {
		until = s.begun.Add(loginTime)
	}
	s.transport.allow(wait, until)
}

// errLogout ends a session that LOGOUT ended in good order.
var errLogout = errors.New("logged out")

// errAnswered says that a command has written its tagged response itself.
var errAnswered = errors.New("answered")

// sayBye tells the client why the connection ends, where it can still be told.
func (s *session) sayBye(err error) error {
	var r *response
	switch {
	case err == errLogout:
		return nil
	case errors.As(err, &r):
	case errors.Is(err, errEnding):
		r = &response{"BYE", "UNAVAILABLE", "the server is stopping"}
	case errors.Is(err, os.ErrDeadlineExceeded):
		r = &response{"BYE", "", "no command for too long"}
	case errors.Is(err, wire.ErrOutOfStep):
		r = &response{"BYE", "", err.Error()}
	default:
		return err
	}
	if s.enc.Err() == nil {
		s.writeResponse("*", r)
		s.enc.Flush()
	}
	return err
}

// next reads and runs one command. An error ends the connection.
func (s *session) next(ctx context.Context) error {
	if err := s.await(ctx); err != nil {
		return err
	}
	s.allow(patience)
	if err := s.dec.Begin(); err != nil && !recoverable(err) {
		return err
	}
	c := &call{tag: s.dec.Tag()}
	if c.tag == "" {
		c.tag = "*"
	}
	err := s.run(ctx, c)
	if derr := s.dec.Err(); derr != nil && !recoverable(derr) {
		return derr
	}
	if derr := s.dec.Discard(); derr != nil {
		return derr
	}
	return s.finish(c, err)
}

// recoverable reports whether the connection is in step after an error of the
// decoder.
func recoverable(err error) bool {
	var syntax *wire.SyntaxError
	var r *response
	return errors.As(err, &syntax) || errors.As(err, &r) || errors.Is(err, wire.ErrTooBig)
}

// run finds the command and calls it.
func (s *session) run(ctx context.Context, c *call) error {
	s.dec.SP()
	c.name = s.dec.Keyword()
	if c.name == "UID" {
		s.dec.SP()
		c.name, c.uid = "UID "+s.dec.Keyword(), true
	}
	if err := s.dec.Err(); err != nil {
		return err
	}
	cmd, known := s.srv.tables.commands[c.name]
	switch {
	case !known:
		return bad("unknown command")
	case cmd.in&s.state() == 0 && s.account == nil:
		return bad("log in first")
	case cmd.in&s.state() == 0 && cmd.in == notAuthenticated:
		return bad("you are logged in already")
	case cmd.in&s.state() == 0:
		return bad("select a mailbox first")
	case cmd.counts && s.has(imap.CapUIDOnly):
		return uidRequired()
	}
	err := cmd.run(ctx, s, c)
	if !cmd.opens && (err == nil || !isFatal(err)) {
		atOnce := s.notify.listens() && !s.notify.delayed
		if uerr := s.update(ctx, !cmd.numbered || atOnce); uerr != nil {
			return uerr
		}
	}
	return err
}

func isFatal(err error) bool {
	var r *response
	return errors.Is(err, errLogout) || errors.As(err, &r) && r.kind == "BYE"
}

// finish writes how a command ended. An error ends the connection.
func (s *session) finish(c *call, err error) error {
	if err == errLogout {
		s.writeResponse(c.tag, &response{"OK", "", "LOGOUT completed"})
		if err := s.enc.Flush(); err != nil {
			return err
		}
		return errLogout
	}
	if werr := s.enc.Err(); werr != nil {
		return werr
	}
	if err == errAnswered {
		return nil
	}
	r := s.respond(c, err)
	if r.kind == "BYE" {
		return r
	}
	s.writeResponse(c.tag, r)
	if r.kind != "BAD" {
		s.bad = 0
		return nil
	}
	if s.bad++; s.bad >= s.srv.opts.Limits.BadCommands || s.account == nil && s.bad >= 5 {
		return bye("", "too many bad commands")
	}
	return nil
}
