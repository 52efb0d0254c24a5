package smtp_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/tools/txtar"

	"roost/mta/smtp"
)

// TestDialogs plays testdata/*.txtar. A section is one dialog over a pipe, in
// a bubble with its own time. "C: " is a line that the client sends; lines in
// a row go out at once. "C= " is a quoted Go string, sent as it is. "S: " is
// what the server says; "..." at its end stands for anything. "EOF" is the end
// of the connection, "TLS" a handshake, "WAIT 5m" time that passes, "DRAIN"
// the end of the server, "M: " a message that was taken so far. A dialog that
// does not end in EOF ends in QUIT. The comment of a file sets options.
func TestDialogs(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no dialogs", err)
	}
	cert := testCertificate(t)
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar")+"/"+f.Name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					play(t, string(a.Comment), string(f.Data), cert)
				})
			})
		}
	}
}

func play(t *testing.T, options, script string, cert tls.Certificate) {
	box := &taken{}
	var opt smtp.Options
	opt.Hostname = func() string { return "mx.example" }
	auth := false
	for line := range strings.Lines(options) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.Atoi(value)
		switch key {
		case "tls":
			opt.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		case "auth":
			auth = true
		case "size":
			opt.MaxSize = int64(n)
		case "recipients":
			opt.MaxRecipients = n
		}
	}
	opt.NewSession = func(_ context.Context, c *smtp.Conn) (smtp.Session, error) {
		s := &session{box: box}
		if auth {
			return &authSession{s, c}, nil
		}
		return s, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := newPipeListener()
	done := make(chan error)
	go func() { done <- smtp.NewServer(opt).Serve(ctx, l) }()
	conn := l.dial(nil)
	defer func() {
		conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error("Serve:", err)
		}
	}()

	lines := strings.Split(strings.TrimRight(script, "\n"), "\n")
	if lines[len(lines)-1] != "EOF" {
		lines = append(lines, "C: QUIT", "S: 221 2.0.0 Bye", "EOF")
	}
	lines = append([]string{"S: 220 mx.example ESMTP Roost"}, lines...)
	r := bufio.NewReader(conn)
	var out strings.Builder
	send := func() {
		text := out.String()
		out.Reset()
		if text != "" {
			w := conn // a write fails when the server is gone; the reads tell
			go func() { io.WriteString(w, text) }()
		}
	}
	for i, line := range lines {
		mark, arg, _ := strings.Cut(line, " ")
		if mark != "C:" && mark != "C=" {
			send()
		}
		switch mark {
		case "", "#":
		case "C:":
			out.WriteString(arg + "\r\n")
		case "C=":
			for _, s := range strings.Split(arg, " * ") {
				out.WriteString(repeated(t, s))
			}
		case "S:":
			got, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("line %d: want %q, got %q and %v", i, arg, got, err)
			}
			got = strings.TrimSuffix(got, "\r\n")
			if prefix, ok := strings.CutSuffix(arg, "..."); got != arg && !(ok && strings.HasPrefix(got, prefix)) {
				t.Fatalf("line %d: want %q, got %q", i, arg, got)
			}
		case "EOF":
			if got, err := io.ReadAll(r); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) || len(got) > 0 {
				t.Fatalf("line %d: want the end, got %q and %v", i, got, err)
			}
		case "TLS":
			c := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
			if err := c.Handshake(); err != nil {
				t.Fatalf("line %d: %v", i, err)
			}
			conn, r = c, bufio.NewReader(c)
		case "WAIT":
			d, err := time.ParseDuration(arg)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(d)
			synctest.Wait()
		case "DRAIN":
			cancel()
		case "CLOSE":
			synctest.Wait()
			conn.Close()
			synctest.Wait()
			r = bufio.NewReader(strings.NewReader(""))
		case "M:":
			if got := box.next(); got != arg {
				t.Fatalf("line %d: taken\n %s, want\n %s", i, got, arg)
			}
		default:
			t.Fatalf("line %d: what is %q?", i, line)
		}
	}
	if got := box.next(); got != "nothing" {
		t.Fatal("a message more:", got)
	}
}

// repeated reads "text", or 3x"text".
func repeated(t *testing.T, s string) string {
	n := 1
	if count, rest, ok := strings.Cut(s, `x"`); ok && !strings.HasPrefix(s, `"`) {
		var err error
		if n, err = strconv.Atoi(count); err != nil {
			t.Fatal(err)
		}
		s = `"` + rest
	}
	text, err := strconv.Unquote(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return strings.Repeat(text, n)
}

// taken holds the messages that sessions took.
type taken struct {
	mu   sync.Mutex
	list []string
}

func (b *taken) next() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.list) == 0 {
		return "nothing"
	}
	m := b.list[0]
	b.list = b.list[1:]
	return m
}

// session takes mail for mx.example.
type session struct {
	box  *taken
	from smtp.Path
	to   []string
}

func (s *session) Mail(_ context.Context, from smtp.Path, _ smtp.MailParams) error {
	if from.Local == "barred" {
		return smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "Not you"}
	}
	s.from = from
	return nil
}

func (s *session) Rcpt(_ context.Context, to smtp.Path, _ smtp.RcptParams) error {
	switch to.Local {
	case "nobody":
		return smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Text: "No such user"}
	case "broken":
		return errors.New("the disk is on fire")
	case "panic":
		panic("session")
	case "bye":
		return smtp.Reply{Code: 421, Enhanced: smtp.Enhanced{4, 7, 0}, Text: "Go away"}
	}
	s.to = append(s.to, "<"+to.String()+">")
	return nil
}

func (s *session) Data(_ context.Context, message io.Reader) (string, error) {
	if s.from.Local == "lazy" {
		return "half", nil
	}
	b, err := io.ReadAll(message)
	if err != nil {
		return "", fmt.Errorf("spool: %w", err)
	}
	if strings.HasPrefix(string(b), "Subject: spam\r\n") {
		return "", smtp.Reply{Code: 554, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "No"}
	}
	text := strconv.Quote(string(b))
	if len(b) > 2000 {
		text = strconv.Itoa(len(b)) + " octets"
	}
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.list = append(s.box.list, fmt.Sprintf("<%s> %s %s", s.from, strings.Join(s.to, ","), text))
	return "id", nil
}

func (s *session) Reset(context.Context) { s.from, s.to = smtp.Path{}, nil }

// authSession knows one mechanism: the password, once, is "open".
type authSession struct {
	*session
	c *smtp.Conn
}

func (a *authSession) Mechanisms() []string {
	if a.c.TLS() == nil {
		return nil
	}
	return []string{"KNOCK"}
}

func (a *authSession) Auth(_ context.Context, mechanism string) (smtp.Exchange, error) {
	if mechanism != "KNOCK" {
		return nil, smtp.Reply{Code: 504, Enhanced: smtp.Enhanced{5, 5, 4}, Text: "Not that one"}
	}
	if a.c.TLS() == nil {
		return nil, smtp.Reply{Code: 538, Enhanced: smtp.Enhanced{5, 7, 11}, Text: "TLS first"}
	}
	return knock{}, nil
}

type knock struct{}

func (knock) Next(_ context.Context, response []byte) ([]byte, bool, error) {
	switch {
	case response == nil:
		return []byte("who?"), false, nil
	case string(response) == "more":
		return []byte("and?"), false, nil
	case string(response) == "open", len(response) > 8000:
		return nil, true, nil
	}
	return nil, false, smtp.Reply{Code: 535, Enhanced: smtp.Enhanced{5, 7, 8}, Text: "Wrong"}
}

// pipeListener is a listener of net.Pipe connections.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// dial connects; the server sees the address from, where there is one.
func (l *pipeListener) dial(from net.Addr) net.Conn {
	server, client := net.Pipe()
	if from != nil {
		server = fromConn{server, from}
	}
	l.conns <- server
	return client
}

type fromConn struct {
	net.Conn
	from net.Addr
}

func (c fromConn) RemoteAddr() net.Addr { return c.from }

func testCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"mx.example"},
		// A bubble begins in the year 2000.
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:  time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
