package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"roost/mta/smtp"
)

const (
	dialTimeout = 30 * time.Second

	// maxRecipients of one transaction: what every server takes (RFC 5321
	// section 4.5.3.1.8).
	maxRecipients = 100
)

// attempt is the state of one Courier.Send.
type attempt struct {
	Options
	message    Message
	relay      *Relay
	began      time.Time
	transcript *smtp.Transcript

	hosts    []string
	port     uint16
	implicit bool // the domain has no MX records

	target  target
	conn    *connection
	resumed bool        // conn is one from before, and has not answered yet
	kept    *connection // the one that the next attempt may use

	results []Result // of all recipients; those from done on are open
	done    int
}

// run finds the hosts and tries them in turn until one of them has answered
// for the recipients, whatever it answered.
func (a *attempt) run(ctx context.Context) error {
	if err := a.resolveMX(ctx); err != nil {
		return err
	}
	var worst error
	dials := 0
	for _, host := range a.hosts {
		targets, err := a.addresses(ctx, host)
		if err != nil {
			worst = hopeful(worst, err)
			continue
		}
		for _, a.target = range targets {
			if dials++; dials > maxDials || ctx.Err() != nil {
				break
			}
			err := a.deliver(ctx)
			if err == nil || errors.Is(err, errFinal) {
				return err
			}
			worst = hopeful(worst, err)
		}
	}
	if worst == nil || ctx.Err() != nil {
		return temporary("send", smtp.Enhanced{4, 4, 2}, "the attempt was broken off")
	}
	return worst
}

// hopeful picks what to tell of two hosts' failures: the one that may pass,
// and of two alike the later.
func hopeful(before, now error) error {
	var f, g *failure
	if errors.As(before, &f) && f.outcome == Temporary && errors.As(now, &g) && g.outcome == Permanent {
		return before
	}
	return now
}

// errFinal: another host is not to be tried in this attempt.
var errFinal = errors.New("final")

// deliver is the whole dialog with one host. An error says that the host did
// not answer for the recipients.
func (a *attempt) deliver(ctx context.Context) error {
	useTLS := true
	for {
		err := a.connect(ctx, useTLS)
		if errors.Is(err, errHandshake) {
			// RFC 7435 section 3: no authentication, and then no encryption,
			// rather than no mail.
			a.transcript.Add(smtp.FromClient, "(TLS failed: connecting again without)")
			useTLS = false
			err = a.connect(ctx, useTLS)
		}
		if err != nil {
			return err
		}
		err = a.send(ctx)
		if !errors.Is(err, errEnough) {
			a.leave(ctx, err)
			return err
		}
		a.leave(ctx, nil)
	}
}

// errEnough: the host takes no more transactions on this connection.
var errEnough = errors.New("enough transactions")

// send logs in and makes as many transactions as the recipients need.
func (a *attempt) send(ctx context.Context) error {
	if err := a.auth(ctx); err != nil {
		return err
	}
	size := maxRecipients
	if n := a.conn.Limit("RCPTMAX"); n > 0 {
		size = min(size, n) // RFC 9422 4.2
	}
	for a.done < len(a.results) {
		if a.conn.transactions > 0 && !a.conn.room() {
			return errEnough
		}
		if err := a.reset(ctx); err != nil {
			return a.broken("RSET", smtp.Enhanced{4, 4, 2}, err)
		}
		a.conn.transactions++
		batch := a.results[a.done:min(a.done+size, len(a.results))]
		if err := a.transaction(ctx, batch); err != nil {
			return err
		}
		a.done += len(batch)
	}
	return nil
}

// reset ends what a transaction left open.
func (a *attempt) reset(ctx context.Context) error {
	if !a.conn.unfinished {
		return nil
	}
	err := a.conn.Reset(ctx)
	a.conn.unfinished = err != nil
	return err
}

// leave keeps the connection for the next attempt where all went well, or ends
// it: with QUIT, where the host still listens.
func (a *attempt) leave(ctx context.Context, err error) {
	c := a.conn
	c.used = time.Now()
	var refused smtp.Reply
	switch {
	case err == nil && c.room():
		c.Record(nil) // the transcript is the caller's now
		a.kept = c
	case !c.over && (err == nil || errors.As(err, &refused) && refused.Code != 421):
		c.Quit(ctx)
	default:
		c.Close()
	}
}

// errHandshake: the host offers TLS that cannot be used, and need not be.
var errHandshake = errors.New("TLS handshake failed")

// connect dials, says hello and starts TLS.
func (a *attempt) connect(ctx context.Context, useTLS bool) error {
	if err := a.dial(ctx); err != nil {
		return err
	}
	err := a.hello(ctx)
	if err == nil && useTLS {
		err = a.startTLS(ctx)
	}
	if err == nil && a.message.RequireTLS {
		if _, ok := a.conn.Extension("REQUIRETLS"); !ok || a.conn.TLS() == nil {
			err = a.unfit("%s does not promise to keep the message under TLS (REQUIRETLS)", a.target.host)
		}
	}
	if err != nil {
		a.leave(ctx, err)
	}
	return err
}

// dial connects, through TLS where that comes first, and takes the greeting.
func (a *attempt) dial(ctx context.Context) error {
	a.conn = nil
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	a.transcript.Add(smtp.FromClient, fmt.Sprintf("(connect to %s at %s)", a.target.host, a.target.addr))
	conn, err := a.Dialer.DialContext(dialing, "tcp", a.target.addr.String())
	if err != nil {
		return a.broken("connect", smtp.Enhanced{4, 4, 1}, err)
	}
	if a.relay != nil && a.relay.Mode == ImplicitTLS {
		secure := tls.Client(conn, a.tlsConfig(true))
		if err := secure.HandshakeContext(dialing); err != nil {
			conn.Close()
			return a.broken("TLS handshake", smtp.Enhanced{4, 7, 0}, err)
		}
		conn = secure
	}
	client, err := smtp.NewClient(ctx, conn, a.transcript)
	if err != nil {
		conn.Close()
		return a.broken("greeting", smtp.Enhanced{4, 4, 2}, err)
	}
	a.conn = &connection{Client: client, target: a.target, hello: a.Hostname(),
		domain: a.message.Domain, requireTLS: a.message.RequireTLS, opened: time.Now()}
	return nil
}

func (a *attempt) hello(ctx context.Context) error {
	if err := a.conn.Hello(ctx, a.conn.hello); err != nil {
		return a.broken("EHLO", smtp.Enhanced{4, 4, 2}, err)
	}
	return nil
}

// startTLS encrypts the connection where the host offers it, and insists on
// it where there is something to protect.
func (a *attempt) startTLS(ctx context.Context) error {
	if a.conn.TLS() != nil {
		return nil
	}
	must := a.message.RequireTLS || a.relay != nil && a.relay.Mode == StartTLSRequired
	if _, offered := a.conn.Extension("STARTTLS"); !offered && !must {
		return nil
	}
	err := a.conn.StartTLS(ctx, a.tlsConfig(must))
	var refused smtp.Reply
	switch {
	case err == nil:
		return a.hello(ctx)
	case a.message.RequireTLS && (errors.Is(err, smtp.ErrNotOffered) || unproved(err)):
		a.broken("STARTTLS", smtp.Enhanced{}, err) // for the transcript
		return a.unfit("%s offers no TLS that proves who it is", a.target.host)
	case must || ctx.Err() != nil:
		return a.broken("STARTTLS", smtp.Enhanced{4, 7, 0}, err)
	case errors.As(err, &refused) && refused.Code != 421:
		return nil // the connection is as good as before
	}
	return fmt.Errorf("%w: %w", errHandshake, a.broken("STARTTLS", smtp.Enhanced{4, 7, 0}, err))
}

// unproved tells a certificate that is not the host's from a handshake that
// broke.
func unproved(err error) bool {
	var invalid *tls.CertificateVerificationError
	return errors.As(err, &invalid)
}

// unfit is the failure of a host that must not have a message with REQUIRETLS
// (RFC 8689 section 4.2.1). Another host may be better.
func (a *attempt) unfit(format string, args ...any) *failure {
	return permanent("REQUIRETLS", smtp.Enhanced{5, 7, 30}, format, args...)
}

func (a *attempt) tlsConfig(verify bool) *tls.Config {
	return &tls.Config{
		ServerName:         a.target.host,
		RootCAs:            a.Roots,
		InsecureSkipVerify: !verify,
		MinVersion:         tls.VersionTLS12,
	}
}

func (a *attempt) auth(ctx context.Context) error {
	if a.relay == nil || a.relay.User == "" || a.conn.authed {
		return nil
	}
	if a.conn.TLS() == nil && !a.target.addr.Addr().IsLoopback() {
		return temporary("AUTH", smtp.Enhanced{4, 7, 0}, "%s offers no TLS, and a password is not sent without", a.target.host)
	}
	if err := a.conn.Auth(ctx, a.relay.User, a.relay.Password); err != nil {
		return a.broken("AUTH", smtp.Enhanced{4, 7, 0}, err)
	}
	a.conn.authed = true
	return nil
}

// transaction sends the message to some recipients and notes the answer for
// each. An error says that they were not answered.
func (a *attempt) transaction(ctx context.Context, batch []Result) error {
	m := a.message
	params := smtp.MailParams{Size: m.Size, UTF8: m.UTF8, Body: smtp.Body7Bit,
		EnvelopeID: m.EnvelopeID, Return: m.Return, RequireTLS: m.RequireTLS}
	if m.EightBit {
		params.Body = smtp.Body8BitMIME
	}
	to := make([]smtp.Forward, len(batch))
	for i := range batch {
		to[i] = m.To[a.done+i]
	}
	answers, err := a.conn.Envelope(ctx, m.From, params, to)
	if err != nil {
		return a.envelopeFailed(ctx, err)
	}
	a.resumed = false
	taken := 0
	for i, r := range answers {
		a.note(&batch[i], "RCPT", r)
		if r.Positive() {
			taken++
		}
		a.conn.over = a.conn.over || r.Code == 421
	}
	if taken == 0 {
		a.conn.unfinished = true
		return nil
	}
	body, err := m.Open()
	if err != nil {
		return fmt.Errorf("%w: %w", errFinal, temporary("read the message", smtp.Enhanced{4, 3, 0}, "%v", err))
	}
	defer body.Close()
	reply, err := a.conn.Data(ctx, body)
	var refused smtp.Reply
	if errors.As(err, &refused) {
		a.conn.unfinished = true // if it was DATA itself, RSET helps, and else does no harm
		a.conn.over = a.conn.over || refused.Code == 421
	}
	failed := a.broken("DATA", smtp.Enhanced{4, 4, 2}, err)
	for i, r := range answers {
		switch {
		case !r.Positive():
		case err == nil:
			a.note(&batch[i], "DATA", reply)
		default:
			a.noteFailure(&batch[i], failed)
		}
	}
	if err != nil && refused.Code == 0 {
		// The connection is gone, and perhaps the message with it: another
		// host now might make it two.
		a.done += len(batch)
		return fmt.Errorf("%w: %w", errFinal, failed)
	}
	return nil
}

// envelopeFailed tells a refusal that holds for every host from one that may
// be this host's.
func (a *attempt) envelopeFailed(ctx context.Context, err error) error {
	var refused smtp.Reply
	final := errors.As(err, &refused) && refused.Permanent() && !a.unwelcome(refused)
	unfit := errors.Is(err, smtp.ErrNotOffered)
	switch {
	case a.resumed && unfit:
		a.conn.Quit(ctx) // another exchanger may be fit
		return a.stale(ctx, err)
	case a.resumed && !final:
		// The server may count what comes over a connection, or have ended it.
		a.leave(ctx, err)
		return a.stale(ctx, err)
	case unfit:
		// RFC 6531 section 3.6: never downgraded.
		return &failure{during: "MAIL", outcome: Permanent, cause: err,
			reply: smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 6, 7}, Text: a.target.host + " does not take internationalised addresses (SMTPUTF8)"}}
	case final:
		return fmt.Errorf("%w: %w", errFinal, &failure{during: "MAIL", outcome: Permanent, reply: refused, target: a.target, cause: err})
	}
	return a.broken("MAIL", smtp.Enhanced{4, 4, 2}, err)
}

// broken makes a failure of an error on the way to the transaction: the
// host's own words, or ours with the enhanced code given. A host's refusal
// to speak to us at all holds for the mail; a smart host's is a matter of
// settings, which will be mended before the mail is too old.
func (a *attempt) broken(during string, e smtp.Enhanced, err error) *failure {
	if err == nil {
		return nil
	}
	f := temporary(during, e, "%s at %s: %v", a.target.host, a.target.addr.Addr(), unwrapNet(err))
	f.cause = err
	if errors.As(err, &f.reply) {
		f.target = a.target
		if f.reply.Permanent() && (a.relay == nil || during == "DATA") {
			f.outcome = Permanent
		}
		return f
	}
	a.transcript.Add(smtp.FromClient, fmt.Sprintf("(%s: %v)", during, unwrapNet(err)))
	return f
}

// unwelcome reports whether a smart host wants another login than it got
// (RFC 4954 section 6), which is no verdict on the mail.
func (a *attempt) unwelcome(r smtp.Reply) bool {
	return a.relay != nil && (r.Code == 530 || r.Code == 535)
}

// unwrapNet says in plain words what a network error is, without what we say
// anyway.
func unwrapNet(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errors.New("the connection was lost")
	case !errors.As(err, &op):
		return err
	case op.Timeout():
		return errors.New("no answer in time")
	}
	return op.Err
}

// note records the host's answer for a recipient.
func (a *attempt) note(r *Result, during string, reply smtp.Reply) {
	r.Reply, r.Host, r.Addr, r.TLS, r.During = reply, a.target.host, a.target.addr, a.tlsVersion(), during
	switch {
	case reply.Positive() && during == "DATA":
		r.Outcome, r.During = Delivered, ""
		_, r.Notifies = a.conn.Extension("DSN")
	case reply.Permanent() && !a.unwelcome(reply):
		r.Outcome = Permanent
	default:
		r.Outcome = Temporary
	}
}

func (a *attempt) noteFailure(r *Result, f *failure) {
	r.Outcome, r.Reply, r.During = f.outcome, f.reply, f.during
	r.Host, r.Addr, r.TLS = f.target.host, f.target.addr, ""
	if f.target != (target{}) {
		r.TLS = a.tlsVersion()
	}
}

func (a *attempt) tlsVersion() string {
	if a.conn == nil {
		return ""
	}
	if state := a.conn.TLS(); state != nil {
		return tls.VersionName(state.Version)
	}
	return ""
}

// fail gives every recipient that has no answer the failure of the attempt.
func (a *attempt) fail(err error) {
	var f *failure
	if !errors.As(err, &f) {
		f = temporary("send", smtp.Enhanced{4, 3, 0}, "%v", err)
	}
	for i := a.done; i < len(a.results); i++ {
		a.noteFailure(&a.results[i], f)
	}
}
