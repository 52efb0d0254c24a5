package outbound_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/tools/txtar"

	"roost/mta/dns/dnstest"
	"roost/mta/outbound"
	"roost/mta/smtp"
)

// TestDialogs plays testdata/*.txtar, each a story of one attempt or more, in a
// bubble with its own time. The comment says what is sent: "to", "from",
// "domain", "relay", "noipv6", "utf8", "envid", "ret", "requiretls",
// before their recipient "notify" and "orcpt", "timeout" and "took", and lines with
// "#". "next" begins another message, the same but to nobody yet, that goes by the
// same Courier, and "pause" is time that passes before it. The section "zone" is a dnstest literal; "want" is what became of the
// recipients, "--" between messages. Every other section is one connection to the address that is
// its name, in order:
//
//	S: text     the server says it
//	C: text     the client must say it
//	DATA        the client's message, to the final dot
//	TLS         a handshake
//	NOTLS       an answer to the handshake that is none
//	HANG        nothing more until the client is gone
//	REFUSED     the connection is not taken at all
//
// After the last line the server hangs up.
func TestDialogs(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no dialogs", err)
	}
	cert, roots := certificate(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { play(t, a, cert, roots) })
		})
	}
}

const body = "Subject: hello\r\n\r\n.dot\r\nfarewell\r\n"

func play(t *testing.T, a *txtar.Archive, cert tls.Certificate, roots *x509.CertPool) {
	world := &world{t: t, cert: cert}
	var zone, want string
	for _, f := range a.Files {
		switch f.Name {
		case "zone":
			zone = string(f.Data)
		case "want":
			want = string(f.Data)
		default:
			world.scripts = append(world.scripts, script{f.Name, string(f.Data)})
		}
	}
	o := outbound.Options{
		Hostname: func() string { return "us.example.org" },
		Resolver: dnstest.NewMemory(t, zone).Resolver(),
		Dialer:   world,
		Roots:    roots,
	}
	type post struct {
		outbound.Message
		pause time.Duration
	}
	m := post{Message: outbound.Message{
		Domain: "example.net", Size: int64(len(body)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil },
	}}
	var posts []post
	ctx := t.Context()
	var relay *outbound.Relay
	var took time.Duration
	var wish smtp.RcptParams
	path := func(s string) smtp.Path {
		p, err := smtp.ParsePath(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for line := range strings.Lines(string(a.Comment)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		var err error
		switch key {
		case "", "#":
		case "next":
			posts = append(posts, m)
			m.To, m.pause = nil, 0
		case "pause":
			m.pause, err = time.ParseDuration(value)
		case "to":
			m.To = append(m.To, smtp.Forward{Path: path(value), RcptParams: wish})
		case "many":
			for i := range 150 {
				m.To = append(m.To, smtp.Forward{Path: path(fmt.Sprintf("u%d@example.net", i))})
			}
		case "from":
			m.From = path(value)
		case "domain":
			m.Domain = value
		case "relay":
			relay, err = outbound.ParseRelay(value)
		case "noipv6":
			o.NoIPv6 = true
		case "envid":
			m.EnvelopeID = value
		case "ret":
			m.Return = smtp.Return(value)
		case "notify":
			wish.Notify, err = smtp.ParseNotify(value)
		case "orcpt":
			wish.Original = value
		case "requiretls":
			m.RequireTLS = true
		case "utf8":
			m.UTF8 = true
		case "unreadable":
			m.Open = func() (io.ReadCloser, error) { return nil, errors.New("damaged data") }
		case "timeout":
			d, _ := time.ParseDuration(value)
			limited, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			ctx = limited
		case "took":
			took, err = time.ParseDuration(value)
		default:
			t.Fatalf("unknown %q", line)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	courier := outbound.New(o).Courier(relay)
	var got strings.Builder
	var transcript string
	var spent time.Duration
	for i, p := range append(posts, m) {
		time.Sleep(p.pause)
		if i > 0 {
			got.WriteString("--\n")
		}
		report := courier.Send(ctx, p.Message)
		spent += report.Took
		transcript += report.Transcript.String()
		describe(&got, report.Results)
	}
	courier.Close(ctx)
	world.wait.Wait()
	if got.String() != want {
		t.Errorf("got:\n%swant:\n%s", got.String(), want)
	}
	if took != spent && took != 0 {
		t.Errorf("took %v, want %v", spent, took)
	}
	for _, s := range world.scripts {
		t.Errorf("no connection to %s was made to play:\n%s", s.address, s.text)
	}
	if strings.Contains(transcript, "c2VjcmV0") || strings.Contains(transcript, "farewell") {
		t.Errorf("a secret or the message in the transcript:\n%s", transcript)
	}
	if t.Failed() {
		t.Logf("transcript:\n%s", transcript)
	}
}

// describe writes a line for each result, and those that are alike as a number.
func describe(w *strings.Builder, results []outbound.Result) {
	last, same := "", 0
	flush := func() {
		if same > 0 {
			fmt.Fprintf(w, "... and %d more\n", same)
		}
		same = 0
	}
	for _, r := range results {
		what := fmt.Sprintf("%s %s", r.Outcome, r.Reply.Error())
		if r.During != "" {
			what += " during " + r.During
		}
		if r.Host != "" {
			what += fmt.Sprintf(" from %s[%s]", r.Host, r.Addr.Addr())
		}
		if r.TLS != "" {
			what += " " + r.TLS
		}
		if r.Notifies {
			what += " and notifies"
		}
		if what == last {
			same++
			continue
		}
		flush()
		last = what
		fmt.Fprintf(w, "%s %s\n", r.To, what)
	}
	flush()
}

type script struct{ address, text string }

// world is the Internet: it dials scripted servers.
type world struct {
	t       *testing.T
	cert    tls.Certificate
	wait    sync.WaitGroup
	scripts []script
}

func (w *world) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" {
		w.t.Errorf("dialled over %s", network)
	}
	for i, s := range w.scripts {
		if s.address != address && s.address+":25" != address {
			continue
		}
		w.scripts = append(w.scripts[:i:i], w.scripts[i+1:]...)
		if strings.HasPrefix(s.text, "REFUSED") {
			return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
		}
		if strings.HasPrefix(s.text, "UNANSWERED") {
			<-ctx.Done()
			return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
		}
		client, pipe := net.Pipe()
		server := newSocket(pipe)
		w.wait.Go(func() {
			defer server.Close()
			w.serve(server, s)
		})
		return client, nil
	}
	w.t.Errorf("dialled %s", address)
	return nil, errors.New("nobody there")
}

func (w *world) serve(conn net.Conn, s script) {
	r := bufio.NewReader(conn)
	fail := func(line string, err error) {
		w.t.Errorf("%s: at %q: %v", s.address, line, err)
	}
	read := func() (string, error) {
		got, err := r.ReadString('\n')
		return strings.TrimSuffix(got, "\r\n"), err
	}
	for line := range strings.Lines(s.text) {
		line = strings.TrimSuffix(line, "\n")
		mark, text, _ := strings.Cut(line, " ")
		switch mark {
		case "S:":
			if _, err := io.WriteString(conn, text+"\r\n"); err != nil {
				fail(line, err)
				return
			}
		case "C:":
			got, err := read()
			if err != nil || got != text {
				fail(line, fmt.Errorf("the client says %q, %w", got, err))
				return
			}
		case "DATA":
			var got string
			for !strings.HasSuffix(got, "\r\n.\r\n") {
				l, err := r.ReadString('\n')
				if got += l; err != nil {
					fail(line, err)
					return
				}
			}
			if want := strings.Replace(body, "\r\n.", "\r\n..", 1) + ".\r\n"; got != want {
				fail(line, fmt.Errorf("message %q, want %q", got, want))
			}
		case "TLS":
			secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{w.cert}})
			if err := secure.Handshake(); err != nil {
				return // what the client makes of it is in the results
			}
			conn, r = secure, bufio.NewReader(secure)
		case "NOTLS":
			r.Discard(1)
			go io.Copy(io.Discard, r)
			io.WriteString(conn, "554 what was that?\r\n")
			return
		case "HANG":
			io.Copy(io.Discard, r)
		default:
			fail(line, errors.New("unknown line"))
		}
	}
}

// socket is a pipe whose writer need not wait for its reader, as with a real
// socket; a TLS handshake that fails half way needs it.
type socket struct {
	net.Conn
	mu     sync.Mutex
	change *sync.Cond
	queue  [][]byte
	closed bool
	pumped chan struct{}
}

func newSocket(pipe net.Conn) *socket {
	s := &socket{Conn: pipe, pumped: make(chan struct{})}
	s.change = sync.NewCond(&s.mu)
	go func() {
		defer close(s.pumped)
		for {
			s.mu.Lock()
			for len(s.queue) == 0 && !s.closed {
				s.change.Wait()
			}
			if len(s.queue) == 0 {
				s.mu.Unlock()
				return
			}
			b := s.queue[0]
			s.queue = s.queue[1:]
			s.mu.Unlock()
			pipe.Write(b)
		}
	}()
	return s
}

func (s *socket) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, bytes.Clone(b))
	s.change.Signal()
	return len(b), nil
}

func (s *socket) Close() error {
	s.mu.Lock()
	s.closed = true
	s.change.Signal()
	s.mu.Unlock()
	<-s.pumped
	return s.Conn.Close()
}

// certificate makes one for mail.example.com and the pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// A bubble's clock begins in 2000.
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.example.com"},
		DNSNames:  []string{"mail.example.com"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
