package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Limits of a command line, in octets with its CRLF. RFC 5321 4.5.3.1.4 has
// 512 and lets extensions add to it; RFC 4954 4 has 12288 for AUTH.
const (
	maxCommandLine = 2 << 10
	maxAuthLine    = 12 << 10
	maxLineFlood   = 1 << 20 // of a line without an end, before we hang up
)

// What a peer may do before we hang up.
const (
	maxOffences = 10
	maxIdling   = 100
	maxAuth     = 10 // steps of one exchange
)

// errClose ends a connection whose last word was said.
var errClose = errors.New("smtp: done")

var (
	errSyntax   = Reply{500, Enhanced{5, 5, 2}, "Not a command line: it ends in CRLF and has no control characters"}
	errLineLong = Reply{500, Enhanced{5, 5, 2}, "Line too long"}
	errSequence = Reply{503, Enhanced{5, 5, 1}, "Not now: EHLO, then MAIL, then RCPT, then DATA"}
	errNoArg    = Reply{501, Enhanced{5, 5, 4}, "No argument here"}
	errUnknown  = Reply{500, Enhanced{5, 5, 1}, "Command not known"}
	errTooMany  = Reply{421, Enhanced{4, 7, 0}, "Too many errors"}
	errNobody   = Reply{554, Enhanced{5, 5, 1}, "No recipient was taken"}
	errNeedTLS  = Reply{530, Enhanced{5, 7, 10}, "REQUIRETLS is for a connection in TLS: STARTTLS first"}
	errEnough   = Reply{421, Enhanced{4, 7, 0}, "Enough for one connection; come again"}
	errIdling   = Reply{421, Enhanced{4, 7, 0}, "Too many commands without a message"}
	replyOK     = Reply{250, Enhanced{2, 0, 0}, "OK"}
)

// step reads one command and answers it. An error ends the connection.
func (c *Conn) step(ctx context.Context) error {
	verb, arg, err := c.readCommand()
	if err == nil {
		err = c.do(ctx, verb, arg)
	}
	return c.answer(verb, err)
}

// readCommand reads a command line. A Reply as error is about the line.
func (c *Conn) readCommand() (verb, arg string, err error) {
	line, err := c.readLine(maxAuthLine)
	if err != nil {
		return "", "", err
	}
	verb, arg = command(line)
	if verb != "AUTH" && len(line) > maxCommandLine-2 {
		return "", "", errLineLong
	}
	if verb != "AUTH" {
		c.transcript.Add(FromClient, line)
	}
	if c.isDraining() {
		c.say(errBye)
		return verb, arg, errClose
	}
	return verb, arg, nil
}

// answer says what came of a command; nil is that it was said. An error ends
// the connection.
func (c *Conn) answer(verb string, err error) error {
	var r Reply
	switch {
	case err == nil:
		return nil
	case errors.As(err, &r):
	case verb == "", errors.Is(err, errClose), errors.Is(err, errBroken):
		return err
	default:
		r = c.replyFor(verb, err)
	}
	if r.Code >= 500 && r.Code <= 504 || r.Code == 530 || r.Code == 535 || r.Code == 538 || r.Code == 555 {
		if c.offences++; c.offences >= maxOffences {
			c.say(r)
			r = errTooMany
		}
	}
	c.say(r)
	if r.Code == 421 {
		return errClose
	}
	return nil
}

// errBroken wraps what a connection broke with inside a verb.
var errBroken = errors.New("smtp: connection broken")

func broken(err error) error { return fmt.Errorf("%w: %w", errBroken, err) }

// readLine reads a line that ends in CRLF, and gives it without. A Reply as
// error is about the line, which was consumed; any other is about the
// connection.
func (c *Conn) readLine(limit int) (string, error) {
	c.begin(false)
	var line []byte
	size := 0
	for {
		part, err := c.r.ReadSlice('\n')
		size += len(part)
		if size <= limit {
			line = append(line, part...)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
		if size > maxLineFlood {
			return "", errLineFlood
		}
	}
	if size > limit {
		return "", errLineLong
	}
	n := len(line) - 2
	if n < 0 || line[n] != '\r' {
		return "", errSyntax
	}
	for _, b := range line[:n] {
		if b < ' ' && b != '\t' || b == 0x7f {
			return "", errSyntax
		}
	}
	return string(line[:n]), nil
}

var errLineFlood = errors.New("smtp: a line without an end")

// do answers one command, or gives what to answer as a Reply.
func (c *Conn) do(ctx context.Context, verb, arg string) error {
	switch verb {
	case "MAIL":
		return c.doMail(ctx, arg)
	case "RCPT":
		return c.doRcpt(ctx, arg)
	case "DATA":
		return c.doData(ctx, arg)
	case "BDAT":
		return c.doChunk(ctx, arg)
	case "STARTTLS":
		return c.doStartTLS(ctx, arg)
	case "AUTH":
		return c.doAuth(ctx, arg)
	case "QUIT":
		c.say(Reply{221, Enhanced{2, 0, 0}, "Bye"})
		return errClose
	}
	if c.idling++; c.idling > maxIdling {
		return errIdling
	}
	switch verb {
	case "EHLO", "HELO":
		return c.doHello(ctx, verb == "EHLO", arg)
	case "RSET":
		if arg != "" {
			return errNoArg
		}
		c.reset(ctx)
		return replyOK
	case "NOOP":
		return replyOK
	case "VRFY":
		// RFC 5321 3.5.3: an answer that tells nothing about who is here.
		if arg == "" {
			return Reply{501, Enhanced{5, 5, 4}, "Verify whom?"}
		}
		return Reply{252, Enhanced{2, 0, 0}, "Not told; send a message and see"}
	case "EXPN":
		return Reply{502, Enhanced{5, 5, 1}, "Not done here"}
	case "HELP":
		return Reply{214, Enhanced{2, 0, 0}, "This is Roost. It takes EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\nand what EHLO announces. RFC 5321 tells the rest."}
	}
	return errUnknown
}

func (c *Conn) reset(ctx context.Context) {
	c.session.Reset(ctx)
	c.mail, c.utf8, c.recipients, c.chunks = false, false, 0, false
}

func (c *Conn) doHello(ctx context.Context, extended bool, name string) error {
	if name == "" || len(name) > maxDomain || !isGraphic(name) {
		return Reply{501, Enhanced{5, 5, 4}, "Say who you are: a domain, or an address in brackets"}
	}
	c.reset(ctx)
	c.hello, c.extended = name, extended
	if !extended {
		return Reply{Code: 250, Text: c.Hostname()}
	}
	lines := []string{
		c.Hostname(), "PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN",
		// RFC 9422 4.
		fmt.Sprintf("LIMITS MAILMAX=%d RCPTMAX=%d", c.server.opt.MaxMails, c.server.opt.MaxRecipients),
		"SIZE " + strconv.FormatInt(c.server.opt.MaxSize(), 10),
	}
	switch {
	case c.TLS() != nil:
		lines = append(lines, "REQUIRETLS") // RFC 8689 2: not before
	case c.server.opt.TLS != nil:
		lines = append(lines, "STARTTLS")
	}
	if a, ok := c.session.(Authenticator); ok && !c.authorized {
		if m := a.Mechanisms(); len(m) > 0 {
			lines = append(lines, "AUTH "+strings.Join(m, " "))
		}
	}
	// RFC 2034 4: no enhanced code in the answer to EHLO.
	return Reply{Code: 250, Text: strings.Join(lines, "\n")}
}

// isGraphic tells one word of printable ASCII. What real clients say is often
// no domain, and not worth losing their mail.
func isGraphic(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func (c *Conn) doMail(ctx context.Context, arg string) error {
	if c.hello == "" || c.mail {
		return errSequence
	}
	if c.mails++; c.mails > c.server.opt.MaxMails {
		return errEnough
	}
	from, p, err := parseMail(arg)
	if err != nil {
		return err
	}
	if p.RequireTLS && c.TLS() == nil {
		return errNeedTLS
	}
	if p.Size > c.server.opt.MaxSize() { // RFC 1870 6.1
		if s, ok := c.session.(Sized); ok {
			s.TooLarge(ctx, from, p, errTooLarge)
		}
		return errTooLarge
	}
	if err := c.session.Mail(ctx, from, p); err != nil {
		return err
	}
	c.mail, c.utf8 = true, p.UTF8
	return Reply{250, Enhanced{2, 1, 0}, "Sender OK"}
}

func (c *Conn) doRcpt(ctx context.Context, arg string) error {
	if !c.mail || c.chunks {
		return errSequence
	}
	to, p, err := parseRcpt(arg, c.utf8)
	if err != nil {
		return err
	}
	if c.recipients >= c.server.opt.MaxRecipients {
		return Reply{452, Enhanced{4, 5, 3}, "Too many recipients; send to the rest in another transaction"}
	}
	if err := c.session.Rcpt(ctx, to, p); err != nil {
		if c.refusals++; c.refusals > c.server.opt.MaxRecipients {
			return errTooMany
		}
		return err
	}
	c.recipients++
	return Reply{250, Enhanced{2, 1, 5}, "Recipient OK"}
}

func (c *Conn) doData(ctx context.Context, arg string) error {
	if arg != "" {
		return errNoArg
	}
	if !c.mail || c.chunks {
		return errSequence
	}
	if c.recipients == 0 {
		return errNobody
	}
	c.say(Reply{Code: 354, Text: "Go on, and end with a dot on a line of its own"})
	c.begin(true)
	d := &dataReader{r: c.r, max: c.server.opt.MaxSize()}
	id, err := c.session.Data(ctx, d)
	if err == nil && d.err != io.EOF {
		err = errors.New("smtp: the session took a part of the message for all of it")
	}
	refused, broke := d.drain(c.server.opt.MaxSize())
	c.transcript.Add(FromClient, "("+strconv.FormatInt(d.size, 10)+" octets of message)")
	c.reset(ctx)
	if broke != nil {
		// What follows is the rest of a message, never commands.
		var r Reply
		if errors.As(broke, &r) {
			c.say(r)
			return errClose
		}
		return broken(broke)
	}
	if refused != nil {
		err = refused
	}
	if err != nil {
		return err
	}
	c.idling, c.offences = 0, 0
	return Reply{250, Enhanced{2, 0, 0}, id}
}

func (c *Conn) doStartTLS(ctx context.Context, arg string) error {
	switch {
	case arg != "":
		return errNoArg
	case c.chunks:
		return errSequence
	case c.TLS() != nil:
		return Reply{503, Enhanced{5, 5, 1}, "TLS is on"}
	case c.server.opt.TLS == nil:
		return Reply{502, Enhanced{5, 5, 1}, "No TLS here"}
	}
	c.say(Reply{220, Enhanced{2, 0, 0}, "Go on with TLS"})
	if err := c.w.Flush(); err != nil {
		return broken(err)
	}
	c.session.Reset(ctx)
	c.mu.Lock()
	t := tls.Server(c.conn, c.server.opt.TLS)
	c.conn = t
	c.mu.Unlock()
	// CVE-2011-0411: what was sent in the clear behind STARTTLS goes with the
	// old buffer.
	c.buffers()
	if err := c.handshake(ctx, t); err != nil {
		c.server.opt.Log.Debug("no TLS", "peer", c.peer, "err", err)
		return broken(err)
	}
	state := t.ConnectionState()
	c.transcript.Add(FromServer, "("+tls.VersionName(state.Version)+" "+tls.CipherSuiteName(state.CipherSuite)+")")
	c.hello, c.extended, c.mail, c.utf8, c.recipients, c.chunks = "", false, false, false, 0, false
	session, err := c.server.opt.NewSession(ctx, c)
	if err != nil {
		c.say(c.replyFor("STARTTLS", err))
		return errClose
	}
	c.session = session
	return nil
}

func (c *Conn) doAuth(ctx context.Context, arg string) error {
	mechanism, initial, given := strings.Cut(arg, " ")
	mechanism = strings.ToUpper(mechanism)
	c.transcript.Add(FromClient, "AUTH "+mechanism+" (hidden)")
	a, ok := c.session.(Authenticator)
	switch {
	case !ok:
		return Reply{502, Enhanced{5, 5, 1}, "No logging in here"}
	case !c.extended, c.mail, c.authorized:
		return Reply{503, Enhanced{5, 5, 1}, "Not now: AUTH comes once, after EHLO and before MAIL"}
	case mechanism == "":
		return Reply{501, Enhanced{5, 5, 4}, "Syntax: AUTH mechanism [initial-response]"}
	}
	exchange, err := a.Auth(ctx, mechanism)
	if err != nil {
		return err
	}
	var response []byte
	if given {
		if response, err = decodeResponse(initial); err != nil {
			return err
		}
	}
	for range maxAuth {
		challenge, done, err := exchange.Next(ctx, response)
		if err != nil {
			return err
		}
		if done {
			c.authorized = true
			return Reply{235, Enhanced{2, 7, 0}, "Welcome"}
		}
		c.say(Reply{Code: 334, Text: base64.StdEncoding.EncodeToString(challenge)})
		line, err := c.readLine(maxAuthLine)
		if errors.Is(err, errLineLong) {
			return Reply{500, Enhanced{5, 5, 6}, errLineLong.Text}
		}
		if err != nil {
			var r Reply
			if errors.As(err, &r) {
				return err
			}
			return broken(err)
		}
		c.transcript.Add(FromClient, "(hidden)")
		if line == "*" {
			return Reply{501, Enhanced{5, 7, 0}, "Cancelled"}
		}
		if response, err = decodeResponse(line); err != nil {
			return err
		}
	}
	return Reply{535, Enhanced{5, 7, 8}, "No end of it"}
}

// decodeResponse undoes the base64 of a response, where "=" is an empty one
// (RFC 4954 4).
func decodeResponse(s string) ([]byte, error) {
	if s == "=" {
		return []byte{}, nil
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, Reply{501, Enhanced{5, 5, 2}, "Not base64"}
	}
	return append([]byte{}, b...), nil
}
