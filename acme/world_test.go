package acme_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"

	"roost/acme"
	"roost/mailbox"
	"roost/mta/dns/dnstest"
)

// within is how long a test waits for something that must happen.
const within = time.Minute

// authority is Pebble in this process. It finds the names of one zone, all of them on
// 127.0.0.1, and asks there on the ports of the doors it was made for.
type authority struct {
	*httptest.Server
	doors    *doors
	zone     *dnstest.Server
	validity time.Duration
	db       *db.MemoryStore
	roots    *x509.CertPool // of what it signs
	orders   atomic.Int32
	hold     atomic.Pointer[chan struct{}] // requests wait for it to be closed
	front    atomic.Pointer[http.Handler]
}

// newAuthority makes an authority that asks on the ports of the two doors.
func newAuthority(t *testing.T, d *doors, validity time.Duration) *authority {
	t.Helper()
	// Read when Pebble is made: no pause before it asks, no refused nonces to try our
	// patience, and every order is to be proven anew.
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	a := &authority{doors: d, validity: validity}
	a.zone = dnstest.New(t, `
*.example.org.  A  127.0.0.1
*.example.net.  A  127.0.0.1
`)
	a.found(t)
	a.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hold := a.hold.Load(); hold != nil {
			select {
			case <-*hold:
			case <-r.Context().Done():
			}
		}
		if strings.Contains(r.URL.Path, "order-plz") {
			a.orders.Add(1)
		}
		(*a.front.Load()).ServeHTTP(&forgetful{w}, r)
	}))
	t.Cleanup(a.Close)
	return a
}

// found sets the authority up. Done again, it has forgotten everything and signs with
// another key.
func (a *authority) found(t *testing.T) {
	t.Helper()
	quiet := log.New(io.Discard, "", 0)
	a.db = db.NewMemoryStore()
	profiles := map[string]ca.Profile{"default": {ValidityPeriod: uint64(a.validity / time.Second)}}
	signer := ca.New(quiet, a.db, "", "ecdsa", 0, 1, profiles)
	root, _ := pem.Decode(signer.GetRootCert(0).PEM())
	cert, err := x509.ParseCertificate(root.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	a.roots = x509.NewCertPool()
	a.roots.AddCert(cert)
	asker := va.New(quiet, a.doors.httpPort(), a.doors.httpsPort(), false, a.zone.Addr(), a.db)
	front := wfe.New(quiet, a.db, asker, signer, nil, false, false, 1, 1)
	handler := front.Handler()
	a.front.Store(&handler)
}

// forgetful drops Retry-After, so that a client asks for an order without waiting a
// second, and for renewal information whenever it looks.
type forgetful struct{ http.ResponseWriter }

func (f *forgetful) WriteHeader(code int) {
	f.Header().Del("Retry-After")
	f.ResponseWriter.WriteHeader(code)
}

func (f *forgetful) Write(b []byte) (int, error) {
	f.Header().Del("Retry-After")
	return f.ResponseWriter.Write(b)
}

func (a *authority) directory() string { return a.URL + wfe.DirectoryPath }

// trust is what identifies the authority itself.
func (a *authority) trust() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate())
	return pool
}

// doors are ports 80 and 443 of a server that does not serve them yet.
type doors struct {
	http, https net.Listener
	keeper      atomic.Pointer[acme.Locksmith]
}

func newDoors(t *testing.T) *doors {
	t.Helper()
	d := new(doors)
	for _, l := range []*net.Listener{&d.http, &d.https} {
		var err error
		if *l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*l).Close() })
	}
	return d
}

func (d *doors) httpPort() int  { return d.http.Addr().(*net.TCPAddr).Port }
func (d *doors) httpsPort() int { return d.https.Addr().(*net.TCPAddr).Port }

// open serves both as a Roost does that has l. A second time it hands them to another.
func (d *doors) open(t *testing.T, l *acme.Locksmith) {
	t.Helper()
	if d.keeper.Swap(l) != nil {
		return
	}
	pages := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "public "+r.URL.Path) })
	challenged := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.keeper.Load().HTTPHandler(pages).ServeHTTP(w, r)
	})
	secure := tls.NewListener(d.https, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return d.keeper.Load().HTTPSConfig(), nil
	}})
	for listener, handler := range map[net.Listener]http.Handler{d.http: challenged, secure: pages} {
		server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
		var done sync.WaitGroup
		done.Go(func() { server.Serve(listener) })
		t.Cleanup(func() { server.Close(); done.Wait() })
	}
}

// newStore is a data directory, which is checked when the test ends.
func newStore(t *testing.T) acme.Store {
	t.Helper()
	s, err := mailbox.Open(t.TempDir(), mailbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r, err := s.Check(context.Background()); err != nil || len(r.Problems) > 0 {
			t.Errorf("check: %v, %v", r, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.Corner("acme")
}

// selfSigned is what handshakes get while there is nothing better.
func selfSigned(t *testing.T) *acme.Local {
	t.Helper()
	l, err := acme.NewSelfSigned(t.TempDir(), func() []string { return []string{"mail.example.org"} })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func names(all ...string) func(context.Context) ([]string, error) {
	return func(context.Context) ([]string, error) { return all, nil }
}

// start makes a Locksmith and runs it until the test ends or stop is called.
func start(t *testing.T, o acme.Options) (l *acme.Locksmith, stop func()) {
	t.Helper()
	l, err := acme.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Error("Run:", err)
		}
	})
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return l, stop
}

// journal is a log that can be waited for.
type journal struct {
	t     *testing.T
	attrs []slog.Attr
	*lines
}

type lines struct {
	mu   sync.Mutex
	all  []string
	seen int // up to where wait has come
	more chan struct{}
}

func newJournal(t *testing.T) *journal {
	j := &journal{t: t, lines: &lines{more: make(chan struct{}, 1)}}
	t.Cleanup(func() {
		if t.Failed() {
			j.mu.Lock()
			defer j.mu.Unlock()
			t.Log("the log:\n" + strings.Join(j.all, "\n"))
		}
	})
	return j
}

func (j *journal) logger() *slog.Logger { return slog.New(j) }

func (j *journal) Enabled(context.Context, slog.Level) bool { return true }
func (j *journal) WithGroup(string) slog.Handler            { return j }
func (j *journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &journal{j.t, append(j.attrs[:len(j.attrs):len(j.attrs)], attrs...), j.lines}
}

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	for _, a := range j.attrs {
		line += " " + a.String()
	}
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	j.mu.Lock()
	j.all = append(j.all, line)
	j.mu.Unlock()
	select {
	case j.more <- struct{}{}:
	default:
	}
	return nil
}

// count is how many lines there are so far with part in them.
func (j *journal) count(part string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.all {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// wait returns the next line, since the last that was waited for, with all the parts.
func (j *journal) wait(parts ...string) string {
	j.t.Helper()
	timeout := time.After(within)
	for {
		j.mu.Lock()
		for j.seen < len(j.all) {
			line := j.all[j.seen]
			j.seen++
			found := true
			for _, part := range parts {
				found = found && strings.Contains(line, part)
			}
			if found {
				j.mu.Unlock()
				return line
			}
		}
		j.mu.Unlock()
		select {
		case <-j.more:
		case <-timeout:
			j.t.Fatalf("no line with %q in the log", parts)
		}
	}
}

// shake makes a connection as a mail client would and returns it, still open.
func shake(t *testing.T, config *tls.Config, client *tls.Config) (*tls.Conn, error) {
	t.Helper()
	a, b := net.Pipe()
	conn := tls.Client(a, client)
	var served sync.WaitGroup
	served.Go(func() {
		server := tls.Server(b, config)
		io.Copy(server, server)
		b.Close()
	})
	t.Cleanup(func() { a.Close(); served.Wait() })
	if err := conn.Handshake(); err != nil {
		return nil, err
	}
	return conn, nil
}

// shown is the leaf that a client gets that asks for name and trusts roots alone.
func shown(t *testing.T, l *acme.Locksmith, roots *x509.CertPool, name string) *x509.Certificate {
	t.Helper()
	conn, err := shake(t, l.TLSConfig(), &tls.Config{RootCAs: roots, ServerName: name})
	if err != nil {
		t.Fatalf("handshake for %s: %v", name, err)
	}
	return conn.ConnectionState().PeerCertificates[0]
}
