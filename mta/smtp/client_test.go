package smtp_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roost/mta/smtp"
)

// scripted is a server that plays a script: "S: " lines are sent, "C: " lines
// are what it must hear, "DATA" reads to the dot. It hangs up at the end.
func scripted(t *testing.T, script string) (net.Conn, func()) {
	server, client := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer server.Close()
		r := bufio.NewReader(server)
		for line := range strings.Lines(script) {
			mark, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch mark {
			case "S:":
				// The client may be gone.
				_, _ = io.WriteString(server, strings.ReplaceAll(arg, `\r\n`, "\r\n")+"\r\n")
			case "C:":
				got, err := r.ReadString('\n')
				if got != arg+"\r\n" {
					t.Errorf("heard %q and %v, want %q", got, err, arg)
				}
			case "WAIT":
				time.Sleep(20 * time.Minute)
			case "CLOSE":
				// A pipe whose other end is closed already takes no deadline.
				synctest.Wait()
				return
			}
		}
	}()
	return client, func() { client.Close(); <-done }
}

func mustPath(t *testing.T, s string) smtp.Path {
	t.Helper()
	p, err := smtp.ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestClientDialog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, end := scripted(t, `
S: 220-mx.example
S: 220 hello
C: EHLO us.example
S: 250-mx.example
S: 250-PIPELINING
S: 250-SIZE 1000
S: 250 8BITMIME
C: MAIL FROM:<a@b.example> SIZE=42 BODY=8BITMIME
C: RCPT TO:<one@mx.example>
C: RCPT TO:<two@mx.example>
S: 250 2.1.0 ok
S: 250 2.1.5 ok
S: 550-5.1.1 no such
S: 550 5.1.1 user
C: DATA
S: 354 go
C: Subject: x
C:
C: ..dot
C: .
S: 250 2.0.0 queued as 7
C: QUIT
S: 221 bye
`)
		defer end()
		var tr smtp.Transcript
		c, err := smtp.NewClient(t.Context(), conn, &tr)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Hello(t.Context(), "us.example"); err != nil {
			t.Fatal(err)
		}
		if p, ok := c.Extension("SIZE"); !ok || p != "1000" {
			t.Error("SIZE", p, ok)
		}
		answers, err := c.Envelope(t.Context(), mustPath(t, "a@b.example"),
			smtp.MailParams{Size: 42, Body: smtp.Body8BitMIME},
			[]smtp.Forward{{Path: mustPath(t, "one@mx.example")}, {Path: mustPath(t, "two@mx.example")}})
		if err != nil {
			t.Fatal(err)
		}
		want := smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Text: "no such\nuser"}
		if len(answers) != 2 || !answers[0].Positive() || answers[1] != want {
			t.Errorf("answers %v", answers)
		}
		r, err := c.Data(t.Context(), strings.NewReader("Subject: x\r\n\r\n.dot"))
		if err != nil || r.Text != "queued as 7" {
			t.Errorf("Data: %v, %v", r, err)
		}
		c.Quit(t.Context())
		if s := tr.String(); !strings.Contains(s, "C: RCPT TO:<two@mx.example>\nS: 250 2.1.0 ok\n") ||
			!strings.Contains(s, "octets of message") || strings.Contains(s, "dot") {
			t.Error("transcript:\n" + s)
		}
	})
}

// TestClientFails holds what the caller sees when a server misbehaves.
func TestClientFails(t *testing.T) {
	hello := func(ctx context.Context, c *smtp.Client) error { return c.Hello(ctx, "us.example") }
	envelope := func(ctx context.Context, c *smtp.Client) error {
		if err := hello(ctx, c); err != nil {
			return err
		}
		_, err := c.Envelope(ctx, smtp.Path{}, smtp.MailParams{}, []smtp.Forward{{Path: smtp.Path{Local: "a", Domain: "b.example"}}})
		return err
	}
	tests := []struct {
		name, script string
		do           func(context.Context, *smtp.Client) error
		want         error // in the chain
	}{
		{"greeting 554", "S: 554 5.7.1 no", nil, smtp.Reply{Code: 554, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "no"}},
		{"greeting is HTTP", "S: HTTP/1.1 400 Bad Request", nil, smtp.ErrProtocol},
		{"greeting without an end", "S: 220-" + strings.Repeat("x", 5000), nil, smtp.ErrProtocol},
		{"greeting of 300 lines", strings.Repeat("S: 220-x\n", 200), nil, smtp.ErrProtocol},
		{"two codes", "S: 220-x\nS: 250 y", nil, smtp.ErrProtocol},
		{"hangs up", "CLOSE", nil, io.ErrUnexpectedEOF},
		{"silent", "WAIT", nil, context.DeadlineExceeded},
		{"EHLO 421", "S: 220 x\nC: EHLO us.example\nS: 421 4.3.2 down", hello, smtp.Reply{Code: 421, Enhanced: smtp.Enhanced{4, 3, 2}, Text: "down"}},
		{"HELO", "S: 220 x\nC: EHLO us.example\nS: 500 what\nC: HELO us.example\nS: 250 ok", hello, nil},
		{"421 in a pipeline", "S: 220 x\nC: EHLO us.example\nS: 250-x\nS: 250 PIPELINING\nC: MAIL FROM:<>\nC: RCPT TO:<a@b.example>\nS: 421 4.7.0 bye", envelope,
			smtp.Reply{Code: 421, Enhanced: smtp.Enhanced{4, 7, 0}, Text: "bye"}},
		{"MAIL refused", "S: 220 x\nC: EHLO us.example\nS: 250-x\nS: 250 PIPELINING\nC: MAIL FROM:<>\nC: RCPT TO:<a@b.example>\nS: 550 no\nS: 503 no", envelope,
			smtp.Reply{Code: 550, Text: "no"}},
		{"MAIL refused, no pipelining", "S: 220 x\nC: EHLO us.example\nS: 250 x\nC: MAIL FROM:<>\nS: 550 no", envelope,
			smtp.Reply{Code: 550, Text: "no"}},
		{"no STARTTLS", "S: 220 x\nC: EHLO us.example\nS: 250 x", func(ctx context.Context, c *smtp.Client) error {
			if err := hello(ctx, c); err != nil {
				return err
			}
			return c.StartTLS(ctx, &tls.Config{})
		}, smtp.ErrNotOffered},
		{"plain text behind STARTTLS", "S: 220 x\nC: EHLO us.example\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\\r\\n250 injected", func(ctx context.Context, c *smtp.Client) error {
			if err := hello(ctx, c); err != nil {
				return err
			}
			return c.StartTLS(ctx, &tls.Config{})
		}, smtp.ErrProtocol},
		{"no SMTPUTF8", "S: 220 x\nC: EHLO us.example\nS: 250 x", func(ctx context.Context, c *smtp.Client) error {
			if err := hello(ctx, c); err != nil {
				return err
			}
			_, err := c.Envelope(ctx, smtp.Path{}, smtp.MailParams{UTF8: true}, nil)
			return err
		}, smtp.ErrNotOffered},
		{"a line ending in a name", "S: 220 x", func(ctx context.Context, c *smtp.Client) error {
			return c.Hello(ctx, "us\r\nMAIL FROM:<>")
		}, smtp.ErrLineEnding},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				if tt.name == "silent" {
					ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
				}
				defer cancel()
				conn, end := scripted(t, tt.script)
				defer end()
				c, err := smtp.NewClient(ctx, conn, nil)
				if err == nil && tt.do != nil {
					err = tt.do(ctx, c)
				}
				if !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
			})
		})
	}
}

// TestClientHalfMessage holds that a message with a bare LF ends the
// connection before the final dot.
func TestClientHalfMessage(t *testing.T) {
	for _, message := range []string{"a\nb\r\n", "a\rb\r\n", "a\r", "\n"} {
		synctest.Test(t, func(t *testing.T) {
			box, l, stop := serve(t, smtp.Options{})
			defer stop()
			c := connect(t, l.dial(nil))
			if _, err := c.Envelope(t.Context(), smtp.Path{}, smtp.MailParams{}, []smtp.Forward{{Path: smtp.Path{Local: "b", Domain: "mx.example"}}}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Data(t.Context(), strings.NewReader(message)); !errors.Is(err, smtp.ErrLineEnding) {
				t.Errorf("%q: %v", message, err)
			}
			synctest.Wait()
			if m := box.next(); m != "nothing" {
				t.Error("taken:", m)
			}
		})
	}
}

// TestClientServer sends through our own server: over TLS, logged in, to more
// recipients than one pipelined group has.
func TestClientServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := &taken{}
		opt := smtp.Options{TLS: &tls.Config{Certificates: []tls.Certificate{testCertificate(t)}}}
		opt.NewSession = func(_ context.Context, c *smtp.Conn) (smtp.Session, error) {
			var tr smtp.Transcript
			c.Record(&tr)
			return &trace{session: &session{box: box}, c: c, t: &tr}, nil
		}
		_, l, stop := serve(t, opt)
		defer stop()
		c := connect(t, l.dial(nil))
		if err := c.StartTLS(t.Context(), &tls.Config{InsecureSkipVerify: true}); err != nil {
			t.Fatal(err)
		}
		if err := c.Hello(t.Context(), "us.example"); err != nil {
			t.Fatal(err)
		}
		if c.TLS() == nil {
			t.Error("no TLS")
		}
		var to []smtp.Forward
		for range 350 {
			to = append(to, smtp.Forward{Path: smtp.Path{Local: "b", Domain: "mx.example"}})
		}
		to[300].Local = "nobody"
		answers, err := c.Envelope(t.Context(), smtp.Path{}, smtp.MailParams{UTF8: true}, to)
		if err != nil || len(answers) != 350 || answers[299].Code != 250 || answers[300].Code != 550 || answers[301].Code != 250 {
			t.Fatal(len(answers), err)
		}
		r, err := c.Data(t.Context(), bytes.NewReader(bytes.Repeat([]byte(".line\r\n"), 10000)))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(r.Text, "with UTF8SMTPS ") || !strings.Contains(r.Text, "from us.example (") {
			t.Error(r.Text)
		}
		c.Quit(t.Context())
		if m := box.next(); !strings.HasSuffix(m, " 70000 octets") {
			t.Error(m)
		}
	})
}

// trace answers DATA with the Received field, and looks at the transcript.
type trace struct {
	*session
	c *smtp.Conn
	t *smtp.Transcript
}

func (s *trace) Data(ctx context.Context, m io.Reader) (string, error) {
	if _, err := s.session.Data(ctx, m); err != nil {
		return "", err
	}
	if n := len(s.t.Lines()); n < 100 || n > 300 {
		return "", errors.New("the transcript has no bounds, or nothing in it")
	}
	tr := s.c.Trace()
	tr.Peer, tr.ID = mustAddr("192.0.2.1"), "id"
	return string(bytes.ReplaceAll(tr.AppendReceived(nil), []byte("\r\n"), nil)), nil
}

// serve runs a server for mx.example on a pipe listener.
func serve(t *testing.T, opt smtp.Options) (*taken, *pipeListener, func()) {
	t.Helper()
	box := &taken{}
	if opt.NewSession == nil {
		opt.NewSession = func(context.Context, *smtp.Conn) (smtp.Session, error) { return &session{box: box}, nil }
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := newPipeListener()
	done := make(chan error)
	go func() { done <- smtp.NewServer(opt).Serve(ctx, l) }()
	return box, l, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error("Serve:", err)
		}
	}
}

func connect(t *testing.T, conn net.Conn) *smtp.Client {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	c, err := smtp.NewClient(t.Context(), conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Hello(t.Context(), "us.example"); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClientAuth(t *testing.T) {
	tests := []struct{ name, script string }{
		{"PLAIN", "S: 250 AUTH LOGIN PLAIN\nC: AUTH PLAIN AG1lAHNlY3JldA==\nS: 235 ok"},
		{"LOGIN", "S: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: bWU=\nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\nS: 235 ok"},
		{"old spelling", "S: 250 AUTH=LOGIN\nC: AUTH LOGIN\nS: 334 x\nC: bWU=\nS: 334 x\nC: c2VjcmV0\nS: 235 ok"},
		{"wrong", "S: 250 AUTH PLAIN\nC: AUTH PLAIN AG1lAHNlY3JldA==\nS: 535 5.7.8 no"},
		{"none", "S: 250 AUTH GSSAPI"},
	}
	want := map[string]error{
		"wrong": smtp.Reply{Code: 535, Enhanced: smtp.Enhanced{5, 7, 8}, Text: "no"},
		"none":  smtp.ErrNotOffered,
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn, end := scripted(t, "S: 220 x\nC: EHLO us.example\nS: 250-x\n"+tt.script)
			defer end()
			var tr smtp.Transcript
			c, err := smtp.NewClient(t.Context(), conn, &tr)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Hello(t.Context(), "us.example"); err != nil {
				t.Fatal(err)
			}
			if err := c.Auth(t.Context(), "me", "secret"); !errors.Is(err, want[tt.name]) {
				t.Errorf("got %v", err)
			}
			for _, secret := range []string{"AG1l", "bWU=", "c2Vj"} {
				if strings.Contains(tr.String(), secret) {
					t.Error("a secret in the transcript:\n" + tr.String())
				}
			}
		})
	}
}
