package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	acmeproto "github.com/mholt/acmez/v3/acme"
)

// lookEvery is how soon a change of the names is seen.
const lookEvery = 10 * time.Second

// Options say which certificates are wanted and where they come from. Either Store and
// Names are given, or CertFile and KeyFile.
type Options struct {
	Store Store

	// Names are the host names (A-labels) to keep a certificate for, the host's own
	// first: it is shown to clients that ask for no name, or for one that has none yet.
	// It is called every ten seconds and should return what is wanted now.
	Names func(ctx context.Context) ([]string, error)

	// Directory is the https URL of an ACME server (RFC 8555); "" is Let's Encrypt.
	// Its terms of service are agreed to.
	Directory string

	// Rehearsal is a directory that is tried first after a failure, until it succeeds,
	// so that failures do not count at the real one. With Directory "" it is Let's
	// Encrypt's staging server; otherwise "" is none.
	Rehearsal string

	// Roots are trusted to identify the ACME server; nil is what the system trusts.
	Roots *x509.CertPool

	// Email is where the authority may write about the account; it may be empty.
	Email string

	// NoHTTP and NoTLSALPN say that HTTPHandler is not served on port 80, and
	// HTTPSConfig not on port 443.
	NoHTTP, NoTLSALPN bool

	// Fallback is asked while there is no certificate; nil refuses the handshake.
	Fallback func(*tls.ClientHelloInfo) (*tls.Certificate, error)

	// CertFile and KeyFile are PEM files that somebody else renews, a chain with the
	// leaf first and its key. They are used instead of an ACME server, for all names,
	// and read again when they change.
	CertFile, KeyFile string

	Log *slog.Logger // nil discards
}

// Locksmith keeps certificates and shows them. It is safe for use by several
// goroutines; a new certificate is used by the next handshake, and connections that
// are open stay as they are.
type Locksmith struct {
	names      func(context.Context) ([]string, error)
	public     bool // the authority is one that signs public names only
	fallback   func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	log        *slog.Logger
	own        *files // nil: an authority signs
	storage    *storage
	challenges *challenges
	authority  *authority
	ring       *ring
	again      chan struct{}
}

// New loads the certificates that were stored before, so that they are there for the
// first handshake, and talks to nobody. It fails when the options cannot be used: a
// Directory that is no https URL, files that are no certificate with its key, a Store
// that cannot be read.
func New(ctx context.Context, o Options) (*Locksmith, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Locksmith{
		names: o.Names, public: o.Directory == "", fallback: o.Fallback, log: o.Log,
		challenges: newChallenges(), ring: new(ring), again: make(chan struct{}, 1),
	}
	var err error
	if o.CertFile != "" || o.KeyFile != "" {
		if o.CertFile == "" || o.KeyFile == "" {
			return nil, errors.New("certificate files: one of the certificate and its key is named, but not the other")
		}
		if l.own, err = openFiles(o.CertFile, o.KeyFile, o.Log); err != nil {
			return nil, err
		}
		return l, nil
	}
	l.storage = newStorage(o.Store)
	if l.authority, err = newAuthority(o, l.challenges, l.storage, l.ring); err != nil {
		return nil, err
	}
	if _, _, err := l.look(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// ReadRoots reads a PEM file of root certificates for Options.Roots.
func ReadRoots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return roots, nil
}

// TLSConfig returns a server configuration for SMTP and IMAP, TLS 1.2 or later (RFC
// 8997 section 3). The caller owns it and may change it.
func (l *Locksmith) TLSConfig() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: l.GetCertificate}
}

// HTTPSConfig returns a server configuration for HTTP/1.1 and HTTP/2 on port 443, which
// also answers an authority's TLS-ALPN-01 challenges (RFC 8737). A server that gets a
// connection with the protocol "acme-tls/1" closes it, as net/http does.
func (l *Locksmith) HTTPSConfig() *tls.Config {
	c := l.TLSConfig()
	c.NextProtos = []string{"h2", "http/1.1"}
	if l.authority != nil && l.authority.solvers[acmeproto.ChallengeTypeTLSALPN01] != nil {
		c.NextProtos = append(c.NextProtos, acmez.ACMETLS1Protocol)
		c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if isChallenge(hello) {
				return l.challenges.certificate(hello)
			}
			return l.GetCertificate(hello)
		}
	}
	return c
}

// HTTPHandler answers an authority's HTTP-01 challenges (RFC 8555 section 8.3) on port
// 80, without a redirect, and leaves everything else to next.
func (l *Locksmith) HTTPHandler(next http.Handler) http.Handler { return l.challenges.handler(next) }

// GetCertificate returns the certificate for the name that the client asks for, else
// that of the first name, else what Fallback says.
func (l *Locksmith) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if l.own != nil {
		return l.own.certificate(), nil
	}
	if cert := l.ring.find(hello.ServerName); cert != nil {
		return cert, nil
	}
	if l.fallback != nil {
		return l.fallback(hello)
	}
	return nil, errors.New("there is no certificate yet")
}

// Status tells of each certificate, in the order of the names.
func (l *Locksmith) Status() []Certificate {
	if l.own != nil {
		return []Certificate{l.own.status()}
	}
	return l.ring.status()
}

// Retry makes Run look at the names and try at once what failed before, and what the
// authority wants renewed. It does not wait.
func (l *Locksmith) Retry() {
	select {
	case l.again <- struct{}{}:
	default:
	}
}

// Run gets certificates and renews them until ctx is done, and returns nil when
// nothing of it is under way anymore. Failures are in Status and in the log, and are
// tried again after a minute, then less and less often up to every six hours; a
// renewal begins when a third of the lifetime is left or the authority says so. To be
// called once.
func (l *Locksmith) Run(ctx context.Context) error {
	if l.own != nil {
		<-ctx.Done()
		return nil
	}
	r := newRound(l)
	defer r.end()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for _, name := range l.ring.where(func(*key) bool { return true }) {
		r.begin(ctx, name)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			r.look(ctx)
		case <-l.again:
			r.look(ctx)
			r.retry(ctx)
		}
	}
}

// look reads the names and loads what is stored for new ones.
func (l *Locksmith) look(ctx context.Context) (added, gone []string, err error) {
	names, err := l.names(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("which names need a certificate: %w", err)
	}
	var want []string
	for _, name := range names {
		if name = normal(name); name != "" && !slices.Contains(want, name) {
			want = append(want, name)
		}
	}
	added, gone = l.ring.rename(want)
	for _, name := range added {
		if err := l.load(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return added, gone, err
		}
	}
	return added, gone, nil
}

// load puts on the ring what is stored for name.
func (l *Locksmith) load(ctx context.Context, name string) error {
	at := l.authority.IssuerKey()
	certPEM, err := l.storage.Load(ctx, certmagic.StorageKeys.SiteCert(at, name))
	if err != nil {
		return err
	}
	keyPEM, err := l.storage.Load(ctx, certmagic.StorageKeys.SitePrivateKey(at, name))
	if err != nil {
		return err
	}
	pair, err := parsePair(certPEM, keyPEM)
	if err != nil {
		// A new key is stored before its certificate, and the power may fail between.
		// Certmagic would complain of the pair for ever.
		l.log.Warn("stored certificate is of no use and is dropped", "name", name, "err", err)
		return l.storage.Delete(ctx, certmagic.StorageKeys.CertsSitePrefix(at, name))
	}
	l.ring.change(name, func(k *key) { *k = key{cert: pair} })
	return nil
}
