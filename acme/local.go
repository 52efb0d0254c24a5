// Package acme is the locksmith: it keeps the certificate that every TLS
// listener shows. What it hands out is a tls.Config whose GetCertificate is
// asked per handshake, so that a renewed certificate is used without a restart
// and without anybody being told.
//
// A Locksmith has its certificates from an ACME server (RFC 8555), through
// certmagic, which knows when to renew and when to try again; or from files that
// somebody else renews. The challenges are answered on our own ports 80 and 443
// (HTTP-01, TLS-ALPN-01), and certificates are kept in a corner of the store.
//
// Until a domain has a certificate from a public authority, Local makes one: in
// `roost local` signed by an authority of its own, whose root a person can hand
// to a client, and in `roost serve` signed by itself, so that STARTTLS works
// from the first minute.
//
// It refuses to know what the certificate is for: it imports nothing of ours,
// opens no listener and reads no mail setting. Its own authority can sign for
// names of this machine alone, which the root itself says, so that a root that
// somebody trusts cannot be turned against them.
package acme

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

const (
	rootLife = 10 * 365 * 24 * time.Hour
	// Apple's clients refuse server certificates valid for more than 398 days
	// when the root ships with the system, and 825 days otherwise.
	leafLife = 397 * 24 * time.Hour
	// renewBefore is also what a leaf has at least left when it is shown.
	renewBefore = 30 * 24 * time.Hour
	// backdate forgives clients whose clock is behind.
	backdate = time.Hour

	rootFile = "ca.pem"
	rootKey  = "ca.key"
	leafFile = "tls.pem"
)

// Local hands out a certificate that it made itself. It is safe for use by
// several goroutines.
type Local struct {
	dir   string
	names func() []string
	root  *tls.Certificate // nil: the leaf signs itself

	mu   sync.Mutex
	leaf *tls.Certificate
}

// NewLocal opens the certificate authority in dir, or makes one: the root in
// dir/ca.pem, its key in dir/ca.key (mode 0600), and a leaf for names in
// dir/tls.pem (mode 0600). Names may be host names below localhost and loopback
// addresses: the root is constrained to these. The root is valid for ten years,
// the leaf for 397 days; a leaf with less than 30 days left, or made for other
// names, is made anew when next asked for, and so is a root that lost its key. Files that exist but cannot be read
// as what they should be are an error, never overwritten.
func NewLocal(dir string, names ...string) (*Local, error) {
	root, err := loadPair(filepath.Join(dir, rootFile), filepath.Join(dir, rootKey))
	if errors.Is(err, fs.ErrNotExist) {
		root, err = makeRoot(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("local certificate authority: %w", err)
	}
	return newLocal(dir, root, func() []string { return names })
}

// NewSelfSigned keeps a self-signed certificate in dir/tls.pem (mode 0600), valid for
// 397 days and made anew when less than 30 are left or when names returns something
// else than it was made for. A client that pinned it keeps it over a restart. Names is
// called once per handshake and must not block; when it returns nothing the
// certificate is for localhost.
func NewSelfSigned(dir string, names func() []string) (*Local, error) {
	return newLocal(dir, nil, names)
}

func newLocal(dir string, root *tls.Certificate, names func() []string) (*Local, error) {
	l := &Local{dir: dir, root: root, names: names}
	leaf, err := loadPair(filepath.Join(dir, leafFile), filepath.Join(dir, leafFile))
	switch {
	case err == nil && l.signed(leaf.Leaf):
		l.leaf = leaf
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("certificate: %w", err)
	}
	// Made now, so that a directory that cannot be written is found at the start.
	if _, err := l.GetCertificate(nil); err != nil {
		return nil, err
	}
	return l, nil
}

// TLSConfig returns a server configuration that asks l for the certificate at every
// handshake: TLS 1.2 or later (RFC 8997 section 3), Go's own choice of cipher suites.
// The caller owns it and may change it.
func (l *Local) TLSConfig() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: l.GetCertificate}
}

// GetCertificate returns the leaf, made anew when it is due. The server name that the
// client asks for does not matter: there is one certificate. It fails only when a new
// leaf is due and cannot be written.
func (l *Local) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	names := l.names()
	if len(names) == 0 {
		names = []string{"localhost"}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leaf != nil && time.Until(l.leaf.Leaf.NotAfter) > renewBefore && sameNames(l.leaf.Leaf, names) {
		return l.leaf, nil
	}
	leaf, err := l.makeLeaf(names)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	l.leaf = leaf
	return leaf, nil
}

// signed tells whether leaf comes from the authority that l uses now: a directory
// may have been used by `roost serve` and `roost local` in turn.
func (l *Local) signed(leaf *x509.Certificate) bool {
	if l.root == nil {
		return leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil
	}
	return leaf.CheckSignatureFrom(l.root.Leaf) == nil
}

func (l *Local) makeLeaf(names []string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0]},
		NotBefore:   time.Now().Add(-backdate),
		NotAfter:    time.Now().Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	parent, signer, chain := template, crypto.Signer(key), []byte(nil)
	if l.root != nil {
		parent, signer = l.root.Leaf, l.root.PrivateKey.(crypto.Signer)
		chain = encodeCertificate(l.root.Leaf.Raw)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(encodeCertificate(der), chain, keyPEM)
	if err := writeFile(filepath.Join(l.dir, leafFile), all, 0o600); err != nil {
		return nil, err
	}
	return parsePair(all, all)
}

func makeRoot(dir string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Roost local authority", Organization: []string{"Roost on this machine only"}},
		NotBefore:             time.Now().Add(-backdate),
		NotAfter:              time.Now().Add(rootLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		// RFC 5280 section 4.2.1.10. RFC 6761 section 6.3: names below localhost never leave the machine.
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         []string{"localhost"},
		PermittedIPRanges: []*net.IPNet{
			{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)},
			{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
		},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	// The key first: a root without its key would be an error at every later start.
	if err := writeFile(filepath.Join(dir, rootKey), keyPEM, 0o600); err != nil {
		return nil, err
	}
	certPEM := encodeCertificate(der)
	if err := writeFile(filepath.Join(dir, rootFile), certPEM, 0o644); err != nil {
		return nil, err
	}
	return parsePair(certPEM, keyPEM)
}

func sameNames(leaf *x509.Certificate, names []string) bool {
	have := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		have = append(have, ip.String())
	}
	want := make([]string, len(names))
	for i, name := range names {
		if want[i] = name; net.ParseIP(name) != nil {
			want[i] = net.ParseIP(name).String()
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	return slices.Equal(have, want)
}

func loadPair(certFile, keyFile string) (*tls.Certificate, error) {
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	pair, err := parsePair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	return pair, nil
}

// parsePair also fills Leaf, which everybody here reads; a GODEBUG setting can make
// tls.X509KeyPair leave it out.
func parsePair(certPEM, keyPEM []byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
		return nil, err
	}
	return &pair, nil
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// writeFile puts data in place whole or not at all.
func writeFile(name string, data []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
