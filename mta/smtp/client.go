package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What a Client fails with beside a Reply and the errors of its connection.
var (
	// ErrLineEnding is a message with a bare CR or LF, which is not sent.
	ErrLineEnding = errors.New("smtp: the message has a bare CR or LF")
	// ErrProtocol is an answer that is not SMTP. Nothing can be said after it.
	ErrProtocol = errors.New("smtp: the server does not speak SMTP")
	// ErrNotOffered is an extension that is needed and that the server has not:
	// STARTTLS, AUTH, SMTPUTF8, REQUIRETLS.
	ErrNotOffered = errors.New("smtp: the server does not offer it")
)

// How long an answer is waited for (RFC 5321 4.5.3.2).
const (
	waitGreeting  = 5 * time.Minute
	waitCommand   = 5 * time.Minute // EHLO, MAIL, RCPT and the rest
	waitDataReply = 2 * time.Minute
	waitDataBlock = 3 * time.Minute
	waitDataEnd   = 10 * time.Minute
	waitQuit      = 10 * time.Second
)

// Client is one connection to a server, from the greeting on. A negative
// answer is a Reply; after any other error the connection is of no more use.
// A Client is for one goroutine. Every method gives up when its context is
// done.
type Client struct {
	conn       net.Conn
	r          *bufio.Reader
	w          *bufio.Writer
	transcript *Transcript
	ext        map[string]string
}

// NewClient takes a connection, plain or TLS, and waits for the greeting, at
// most five minutes. A transcript may be nil. A greeting that is not 220 is a
// Reply as error; the connection is left to the caller to close then.
func NewClient(ctx context.Context, conn net.Conn, t *Transcript) (*Client, error) {
	c := &Client{transcript: t}
	c.use(conn)
	var greeting Reply
	err := c.during(ctx, waitGreeting, func() (err error) {
		greeting, err = readReply(c.r, c.transcript)
		return err
	})
	if err == nil && greeting.Code != 220 {
		err = greeting
	}
	if err != nil {
		return nil, fmt.Errorf("greeting: %w", err)
	}
	return c, nil
}

func (c *Client) use(conn net.Conn) {
	c.conn = conn
	c.r = bufio.NewReaderSize(conn, 4096)
	c.w = bufio.NewWriterSize(conn, 16<<10)
}

// Record puts what is said from now on into another transcript, which may be nil.
func (c *Client) Record(t *Transcript) { c.transcript = t }

// Hello says EHLO with a name, and HELO where EHLO is not known. It is said
// again after StartTLS.
func (c *Client) Hello(ctx context.Context, name string) error {
	c.ext = nil
	r, err := c.command(ctx, waitCommand, "EHLO "+name)
	if err != nil {
		return fmt.Errorf("EHLO: %w", err)
	}
	if r.Code == 250 {
		c.ext = extensions(r.Text)
		return nil
	}
	if r.Permanent() {
		if r, err = c.command(ctx, waitCommand, "HELO "+name); err != nil {
			return fmt.Errorf("HELO: %w", err)
		}
	}
	if r.Code != 250 {
		return fmt.Errorf("HELO: %w", r)
	}
	return nil
}

func extensions(text string) map[string]string {
	ext := map[string]string{}
	for i, line := range strings.Split(text, "\n") {
		if i == 0 {
			continue
		}
		key, param, _ := strings.Cut(line, " ")
		key = strings.ToUpper(key)
		// "AUTH=PLAIN" is how servers said it before RFC 2554 was settled.
		if old, ok := strings.CutPrefix(key, "AUTH="); ok && ext["AUTH"] == "" {
			key, param = "AUTH", old+" "+param
		}
		ext[key] = param
	}
	return ext
}

// Extension gives the parameters that the server announced an extension with,
// and whether it did. The name is in upper case.
func (c *Client) Extension(name string) (params string, ok bool) {
	params, ok = c.ext[name]
	return params, ok
}

// StartTLS asks for TLS and shakes hands with cfg. It is ErrNotOffered if the
// server did not announce it. After nil, say Hello again; after an error that
// is no Reply the connection is of no more use.
func (c *Client) StartTLS(ctx context.Context, cfg *tls.Config) error {
	if _, ok := c.ext["STARTTLS"]; !ok {
		return fmt.Errorf("STARTTLS: %w", ErrNotOffered)
	}
	r, err := c.command(ctx, waitCommand, "STARTTLS")
	if err != nil {
		return fmt.Errorf("STARTTLS: %w", err)
	}
	if r.Code != 220 {
		return fmt.Errorf("STARTTLS: %w", r)
	}
	// CVE-2011-0411 from the other side: what came before the handshake is not
	// said by the one the handshake proves.
	if c.r.Buffered() > 0 {
		return fmt.Errorf("STARTTLS: %w: it went on in plain text", ErrProtocol)
	}
	conn := tls.Client(c.conn, cfg)
	err = c.during(ctx, waitCommand, func() error { return conn.HandshakeContext(ctx) })
	if err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.use(conn)
	c.ext = nil
	state := conn.ConnectionState()
	c.transcript.Add(FromClient, "("+tls.VersionName(state.Version)+" "+tls.CipherSuiteName(state.CipherSuite)+")")
	return nil
}

// TLS gives the state of the TLS that the connection is in, or nil.
func (c *Client) TLS() *tls.ConnectionState {
	if conn, ok := c.conn.(*tls.Conn); ok {
		state := conn.ConnectionState()
		return &state
	}
	return nil
}

// Auth logs in with PLAIN, or with LOGIN where the server offers only that. It
// is ErrNotOffered where neither is. Whether the connection is safe enough for
// a password is the caller's to judge.
func (c *Client) Auth(ctx context.Context, name, password string) error {
	var first string
	var answers []string
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	offered := strings.Fields(strings.ToUpper(c.ext["AUTH"]))
	switch {
	case contains(offered, "PLAIN"):
		first = "AUTH PLAIN " + encode("\x00"+name+"\x00"+password)
	case contains(offered, "LOGIN"):
		first, answers = "AUTH LOGIN", []string{encode(name), encode(password)}
	default:
		return fmt.Errorf("AUTH: %w", ErrNotOffered)
	}
	mechanism, _, _ := strings.Cut(first[len("AUTH "):], " ")
	r, err := c.secret(ctx, first, "AUTH "+mechanism+" (hidden)")
	for _, a := range answers {
		if err != nil || r.Code != 334 {
			break
		}
		r, err = c.secret(ctx, a, "(hidden)")
	}
	if err == nil && r.Code != 235 {
		err = r
	}
	if err != nil {
		return fmt.Errorf("AUTH %s: %w", mechanism, err)
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// Envelope opens a transaction: MAIL, and RCPT for each recipient, pipelined
// where the server can. It gives an answer for every recipient, in their
// order: the positive Reply or the refusal. err is the refusal of MAIL, or a
// broken connection, and then there are no answers. Parameters that the server
// did not announce are left out, except UTF8 and RequireTLS, without which a
// transaction that needs them is ErrNotOffered. If no recipient was taken, the transaction is
// still open: say Reset or Quit.
func (c *Client) Envelope(ctx context.Context, from Path, p MailParams, to []Forward) (answers []Reply, err error) {
	line, err := c.mailLine(from, p)
	if err != nil {
		return nil, err
	}
	for _, t := range to {
		if !p.UTF8 && !t.ASCII() {
			return nil, fmt.Errorf("RCPT %s: %w: SMTPUTF8", t.Path, ErrNotOffered)
		}
	}
	_, pipelining := c.ext["PIPELINING"]
	if !pipelining {
		r, err := c.command(ctx, waitCommand, line)
		if err == nil && !r.Positive() {
			err = r
		}
		if err != nil {
			return nil, fmt.Errorf("MAIL: %w", err)
		}
		for _, t := range to {
			if r, err = c.command(ctx, waitCommand, c.rcptLine(t)); err != nil {
				return nil, fmt.Errorf("RCPT: %w", err)
			}
			answers = append(answers, r)
		}
		return answers, nil
	}
	lines := []string{line}
	for _, t := range to {
		lines = append(lines, c.rcptLine(t))
	}
	answers, err = c.pipeline(ctx, lines)
	if err == nil && !answers[0].Positive() {
		err = answers[0]
	}
	if err != nil {
		return nil, fmt.Errorf("MAIL: %w", err)
	}
	return answers[1:], nil
}

func (c *Client) mailLine(from Path, p MailParams) (string, error) {
	line := "MAIL FROM:<" + from.String() + ">"
	if _, ok := c.ext["SIZE"]; ok && p.Size > 0 {
		line += " SIZE=" + strconv.FormatInt(p.Size, 10)
	}
	if _, ok := c.ext["8BITMIME"]; ok && p.Body != "" {
		line += " BODY=" + string(p.Body)
	}
	if p.UTF8 {
		if _, ok := c.ext["SMTPUTF8"]; !ok {
			return "", fmt.Errorf("MAIL: %w: SMTPUTF8", ErrNotOffered)
		}
		line += " SMTPUTF8"
	} else if !from.ASCII() {
		return "", fmt.Errorf("MAIL: %w: SMTPUTF8", ErrNotOffered)
	}
	if p.RequireTLS {
		if _, ok := c.ext["REQUIRETLS"]; !ok || c.TLS() == nil {
			return "", fmt.Errorf("MAIL: %w: REQUIRETLS", ErrNotOffered)
		}
		line += " REQUIRETLS"
	}
	if _, ok := c.ext["DSN"]; ok {
		if p.Return != "" {
			line += " RET=" + string(p.Return)
		}
		if p.EnvelopeID != "" {
			line += " ENVID=" + encodeXtext(p.EnvelopeID)
		}
	}
	return line, nil
}

func (c *Client) rcptLine(to Forward) string {
	line := "RCPT TO:<" + to.String() + ">"
	if _, ok := c.ext["DSN"]; ok {
		if to.Notify != 0 {
			line += " NOTIFY=" + to.Notify.String()
		}
		if to.Original != "" {
			line += " ORCPT=" + encodeORcpt(to.Original)
		}
	}
	return line
}

// Limit gives one of the limits that the server announced (RFC 9422), such as
// RCPTMAX, or 0 if it announced none that makes sense.
func (c *Client) Limit(name string) int {
	for field := range strings.FieldsSeq(c.ext["LIMITS"]) {
		key, value, _ := strings.Cut(field, "=")
		if !strings.EqualFold(key, name) || len(value) > 6 {
			continue
		}
		if n, err := strconv.Atoi(value); err == nil && n > 0 {
			return n
		}
	}
	return 0
}

// Data sends the message, whose lines end in CRLF, and gives the server's
// answer: the positive one, or a refusal as error too. Each block has three
// minutes, the answer ten. Once 354 was said, an error that is no Reply closes
// the connection, so that the server cannot take half a message for a whole
// one; one that comes after the last dot leaves open whether it was taken.
func (c *Client) Data(ctx context.Context, message io.Reader) (Reply, error) {
	r, err := c.command(ctx, waitDataReply, "DATA")
	if err == nil && r.Code != 354 {
		err = r
	}
	if err != nil {
		return r, fmt.Errorf("DATA: %w", err)
	}
	size, err := c.writeData(ctx, message)
	if err != nil {
		c.conn.Close()
		return Reply{}, fmt.Errorf("message: %w", err)
	}
	c.transcript.Add(FromClient, fmt.Sprintf("(%d octets of message)", size))
	c.transcript.Add(FromClient, ".")
	err = c.during(ctx, waitDataEnd, func() (err error) {
		r, err = readReply(c.r, c.transcript)
		return err
	})
	if err != nil {
		c.conn.Close()
	} else if !r.Positive() {
		err = r
	}
	if err != nil {
		return r, fmt.Errorf("after the message: %w", err)
	}
	return r, nil
}

func (c *Client) writeData(ctx context.Context, message io.Reader) (size int64, err error) {
	d := &dataWriter{w: c.w}
	buf := make([]byte, 16<<10)
	for {
		n, readErr := message.Read(buf)
		size += int64(n)
		err := c.during(ctx, waitDataBlock, func() error {
			_, err := d.Write(buf[:n])
			return err
		})
		if err != nil {
			return size, err
		}
		if readErr == io.EOF {
			return size, c.during(ctx, waitDataBlock, d.end)
		}
		if readErr != nil {
			return size, readErr
		}
	}
}

// Reset gives up the open transaction.
func (c *Client) Reset(ctx context.Context) error {
	r, err := c.command(ctx, waitCommand, "RSET")
	if err == nil && !r.Positive() {
		err = r
	}
	if err != nil {
		return fmt.Errorf("RSET: %w", err)
	}
	return nil
}

// Quit says goodbye, waits ten seconds at most for an answer, and closes the
// connection. What it meets on the way does not matter any more.
func (c *Client) Quit(ctx context.Context) {
	_, _ = c.command(ctx, waitQuit, "QUIT")
	c.Close()
}

// Close closes the connection without a word.
func (c *Client) Close() error { return c.conn.Close() }

func (c *Client) command(ctx context.Context, wait time.Duration, line string) (Reply, error) {
	return c.exchange(ctx, wait, line, line)
}

func (c *Client) secret(ctx context.Context, line, shown string) (Reply, error) {
	return c.exchange(ctx, waitCommand, line, shown)
}

func (c *Client) exchange(ctx context.Context, wait time.Duration, line, shown string) (r Reply, err error) {
	if strings.ContainsAny(line, "\r\n\x00") {
		return Reply{}, fmt.Errorf("%w: a command with a line ending in it", ErrLineEnding)
	}
	c.transcript.Add(FromClient, shown)
	err = c.during(ctx, wait, func() error {
		c.w.WriteString(line + "\r\n")
		if err := c.w.Flush(); err != nil {
			return err
		}
		r, err = readReply(c.r, c.transcript)
		return err
	})
	return r, err
}

// pipeline sends lines and reads an answer to each. It does both at a time, as
// neither side may stand with both windows full (RFC 2920 3.1).
func (c *Client) pipeline(ctx context.Context, lines []string) (replies []Reply, err error) {
	var group strings.Builder
	for _, l := range lines {
		if strings.ContainsAny(l, "\r\n\x00") {
			return nil, fmt.Errorf("%w: a command with a line ending in it", ErrLineEnding)
		}
		c.transcript.Add(FromClient, l)
		group.WriteString(l + "\r\n")
	}
	if err := c.conn.SetDeadline(time.Now().Add(waitCommand)); err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		// An error shows again where the answers are read.
		_, _ = io.WriteString(c.conn, group.String())
	})
	defer wg.Wait()
	for range lines {
		err := c.during(ctx, waitCommand, func() error {
			r, err := readReply(c.r, c.transcript)
			replies = append(replies, r)
			// After 421 the server is gone, and so are the other answers.
			if err == nil && r.Code == 421 {
				err = r
			}
			return err
		})
		if err != nil {
			_ = c.conn.SetDeadline(time.Unix(1, 0)) // frees the writer
			return nil, err
		}
	}
	return replies, nil
}

// during runs f with a deadline on the connection, and stops it when ctx is
// done.
func (c *Client) during(ctx context.Context, wait time.Duration, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.conn.SetDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	err := f()
	stop()
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}
