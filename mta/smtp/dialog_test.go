package smtp_test

import (
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
	"roost/mta/smtp/smtptest"
)

// TestDialogs plays testdata/*.txtar. A section is one dialog over a pipe, in
// a bubble with its own time, in the language of smtptest. More words: "WAIT
// 5m" is time that passes, "UNTIL text" skips answers up to this one, "DRAIN" the end of the server, "CLOSE" that of the
// client, "M: " a message that was taken so far. A dialog without EOF ends in
// QUIT. The comment of a file sets options.
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
			opt.MaxSize = func() int64 { return int64(n) }
		case "recipients":
			opt.MaxRecipients = n
		case "mails":
			opt.MaxMails = n
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

	p := &smtptest.Player{Conn: conn}
	p.Word = func(word, arg string) bool {
		switch word {
		case "WAIT":
			d, err := time.ParseDuration(arg)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(d)
			synctest.Wait()
		case "UNTIL":
			p.Until(t, arg)
		case "DRAIN":
			cancel()
		case "CLOSE":
			synctest.Wait()
			conn.Close()
			synctest.Wait()
		case "M:":
			if got := box.next(); got != arg {
				t.Fatalf("taken\n %s, want\n %s", got, arg)
			}
		default:
			return false
		}
		return true
	}
	p.Play(t, "S: 220 mx.example ESMTP Roost")
	if !strings.Contains("\n"+script, "\nEOF\n") {
		script += "C: QUIT\nS: 221 2.0.0 Bye\nEOF\n"
	}
	p.Play(t, script)
	if got := box.next(); got != "nothing" {
		t.Fatal("a message more:", got)
	}
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
	wish string // of the sender, by parameters
	to   []string
}

func (s *session) Mail(_ context.Context, from smtp.Path, p smtp.MailParams) error {
	if from.Local == "barred" {
		return smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "Not you"}
	}
	s.from, s.wish = from, ""
	if p.Return != "" || p.EnvelopeID != "" {
		s.wish += fmt.Sprintf("RET=%s ENVID=%q ", p.Return, p.EnvelopeID)
	}
	if p.RequireTLS {
		s.wish += "REQUIRETLS "
	}
	return nil
}

func (s *session) Rcpt(_ context.Context, to smtp.Path, p smtp.RcptParams) error {
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
	text := "<" + to.String() + ">"
	if p != (smtp.RcptParams{}) {
		text += fmt.Sprintf("(NOTIFY=%s ORCPT=%q)", p.Notify, p.Original)
	}
	s.to = append(s.to, text)
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
	s.box.list = append(s.box.list, fmt.Sprintf("<%s> %s%s %s", s.from, s.wish, strings.Join(s.to, ","), text))
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
