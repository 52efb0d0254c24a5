package acme

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	acmeproto "github.com/mholt/acmez/v3/acme"
)

// authority is an ACME server that signs for us. Certmagic has one of its own, which
// opens listeners when it finds ports 80 or 443 free and keeps its state in globals;
// certmagic does the rest all the same: when to renew, when to try again, what to store.
type authority struct {
	directory *url.URL
	rehearsal *url.URL // nil: none
	email     string
	solvers   map[string]acmez.Solver
	client    *http.Client
	storage   *storage
	ring      *ring
	log       *slog.Logger
	gate      gate
}

var (
	_ certmagic.Issuer            = (*authority)(nil)
	_ certmagic.RenewalInfoGetter = (*authority)(nil)
)

func newAuthority(o Options, c *challenges, s *storage, r *ring) (*authority, error) {
	a := &authority{email: o.Email, solvers: make(map[string]acmez.Solver), storage: s, ring: r, log: o.Log}
	directory, rehearsal := o.Directory, o.Rehearsal
	if directory == "" {
		directory, rehearsal = certmagic.LetsEncryptProductionCA, certmagic.LetsEncryptStagingCA
	}
	var err error
	if a.directory, err = parseDirectory(directory); err != nil {
		return nil, err
	}
	if rehearsal != "" {
		if a.rehearsal, err = parseDirectory(rehearsal); err != nil {
			return nil, err
		}
	}
	if !o.NoHTTP {
		a.solvers[acmeproto.ChallengeTypeHTTP01] = c
	}
	if !o.NoTLSALPN {
		a.solvers[acmeproto.ChallengeTypeTLSALPN01] = c
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12}
	a.client = &http.Client{Transport: transport, Timeout: 30 * time.Second}
	return a, nil
}

func parseDirectory(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not the https URL of an ACME directory", s)
	}
	return u, nil
}

// slug names a directory in storage keys.
func slug(directory *url.URL) string {
	return strings.ReplaceAll(directory.Host+strings.TrimSuffix(directory.Path, "/"), "/", "-")
}

// IssuerKey is where certmagic keeps what this authority signed.
func (a *authority) IssuerKey() string { return slug(a.directory) }

// Issue gets a certificate for the name in csr, and writes on the ring how it went.
func (a *authority) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	ctx, leave, err := a.gate.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if len(csr.DNSNames) != 1 {
		return nil, fmt.Errorf("a certificate for one name is wanted, not for %d", len(csr.DNSNames))
	}
	name := csr.DNSNames[0]
	directory := a.directory
	var chain acmeproto.Certificate
	// Let's Encrypt stops a name for an hour after five failures, and then says so
	// instead of what is wrong. Its staging server counts apart.
	if a.rehearsal != nil && a.failures(name) > 0 {
		directory = a.rehearsal
		_, err = a.order(ctx, directory, csr)
	}
	if err == nil {
		directory = a.directory
		chain, err = a.order(ctx, directory, csr)
	}
	switch {
	case err == nil:
		return &certmagic.IssuedCertificate{Certificate: chain.ChainPEM, Metadata: chain}, nil
	case ctx.Err() != nil:
		// The end of the program, or of interest in the name, is no failure.
		return nil, fmt.Errorf("certificate for %s: %w", name, context.Cause(ctx))
	}
	a.failed(ctx, name, explain(directory.Host, name, err))
	return nil, err
}

// order runs the exchange of RFC 8555 section 7 with one directory.
func (a *authority) order(ctx context.Context, directory *url.URL, csr *x509.CertificateRequest) (acmeproto.Certificate, error) {
	if len(a.solvers) == 0 {
		return acmeproto.Certificate{}, errors.New("neither port 80 nor port 443 is served here, so no authority can see whose name it is: open one of them, or use a certificate of your own")
	}
	client := a.connect(directory)
	for again := false; ; again = true {
		account, err := a.account(ctx, client, directory)
		if err != nil {
			return acmeproto.Certificate{}, err
		}
		params, err := acmez.OrderParametersFromCSR(account, csr)
		if err != nil {
			return acmeproto.Certificate{}, err
		}
		chains, err := client.ObtainCertificate(ctx, params)
		var problem acmeproto.Problem
		if !again && errors.As(err, &problem) && problem.Type == acmeproto.ProblemTypeAccountDoesNotExist {
			// An authority that was set up anew has forgotten us.
			if err := a.storage.Delete(ctx, a.accountKey(directory)); err != nil {
				return acmeproto.Certificate{}, err
			}
			continue
		}
		if err == nil && len(chains) == 0 {
			err = errors.New("the authority finished the order without a certificate")
		}
		if err != nil {
			return acmeproto.Certificate{}, err
		}
		return chains[0], nil
	}
}

func (a *authority) connect(directory *url.URL) *acmez.Client {
	return &acmez.Client{
		Client: &acmeproto.Client{
			Directory:  directory.String(),
			HTTPClient: a.client,
			UserAgent:  "Roost",
			Logger:     slog.New(quiet{a.log.Handler()}),
		},
		ChallengeSolvers: a.solvers,
	}
}

// registration is the account at an authority as it is stored.
type registration struct {
	Account acmeproto.Account `json:"account"`
	Key     []byte            `json:"key"` // PKCS #8
}

// accountKey has the address in it, so that another address makes another account.
func (a *authority) accountKey(directory *url.URL) string {
	who := "nobody"
	if a.email != "" {
		who = certmagic.StorageKeys.Safe(a.email)
	}
	return path.Join("accounts", slug(directory), who+".json")
}

// account loads the account at the authority, or makes one.
func (a *authority) account(ctx context.Context, client *acmez.Client, directory *url.URL) (acmeproto.Account, error) {
	at := a.accountKey(directory)
	// The first orders of several names arrive together.
	if err := a.storage.Lock(ctx, at); err != nil {
		return acmeproto.Account{}, err
	}
	defer a.storage.Unlock(ctx, at)
	row, err := a.storage.Load(ctx, at)
	if err == nil {
		return parseAccount(row)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return acmeproto.Account{}, err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return acmeproto.Account{}, err
	}
	account := acmeproto.Account{PrivateKey: private, TermsOfServiceAgreed: true}
	if a.email != "" {
		account.Contact = []string{"mailto:" + a.email}
	}
	if account, err = client.NewAccount(ctx, account); err != nil {
		return acmeproto.Account{}, fmt.Errorf("make an account: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return acmeproto.Account{}, err
	}
	if row, err = json.Marshal(registration{account, der}); err != nil {
		return acmeproto.Account{}, err
	}
	if err := a.storage.Store(ctx, at, row); err != nil {
		return acmeproto.Account{}, fmt.Errorf("keep the account: %w", err)
	}
	a.log.Info("account made at certificate authority", "authority", directory.Host)
	return account, nil
}

func parseAccount(row []byte) (acmeproto.Account, error) {
	var r registration
	if err := json.Unmarshal(row, &r); err != nil {
		return acmeproto.Account{}, fmt.Errorf("stored account: %w", err)
	}
	private, err := x509.ParsePKCS8PrivateKey(r.Key)
	if err != nil {
		return acmeproto.Account{}, fmt.Errorf("key of the stored account: %w", err)
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return acmeproto.Account{}, fmt.Errorf("key of the stored account is a %T", private)
	}
	r.Account.PrivateKey = signer
	return r.Account, nil
}

// GetRenewalInfo asks the authority when it wants cert renewed (RFC 9773).
func (a *authority) GetRenewalInfo(ctx context.Context, cert certmagic.Certificate) (acmeproto.RenewalInfo, error) {
	ctx, leave, err := a.gate.enter(ctx)
	if err != nil {
		return acmeproto.RenewalInfo{}, err
	}
	defer leave()
	return a.connect(a.directory).GetRenewalInfo(ctx, cert.Leaf)
}

func (a *authority) failures(name string) (n int) {
	a.ring.change(name, func(k *key) { n = k.failures })
	return n
}

func (a *authority) failed(ctx context.Context, name, problem string) {
	a.ring.change(name, func(k *key) {
		k.failures++
		k.problem, k.failed = problem, time.Now()
		tries := k.failures
		if n, ok := ctx.Value(certmagic.AttemptsCtxKey).(*int); ok {
			tries = *n + 1
		}
		k.next = k.failed.Add(pause(tries))
		a.log.Warn("no certificate", "name", name, "problem", problem, "next", k.next)
	})
}

// pause is how long certmagic waits after so many attempts. It does not tell, so this
// is its table, and a test holds the one against the other.
func pause(tries int) time.Duration {
	minutes := []int{1, 2, 2, 5, 10, 10, 10, 20, 20, 20, 20, 30, 30, 30, 30, 30, 30, 60, 60, 60, 120, 120, 180, 180, 360}
	return time.Duration(minutes[min(tries, len(minutes))-1]) * time.Minute
}
