package imapd_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"roost/imapd"
	"roost/mailbox"
)

const password = "correct horse"

// house is a store with a domain, and a server over it.
type house struct {
	store  *mailbox.Store
	server *imapd.Server
	tls    *tls.Config
	people atomic.Int32
}

func newHouse(t testing.TB, limits imapd.Limits) *house {
	t.Helper()
	store, err := mailbox.Open(t.TempDir(), mailbox.Options{MaxMessage: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		report, err := store.Check(context.Background())
		if err == nil {
			err = report.Err()
		}
		if err != nil {
			t.Errorf("check: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := store.AddDomain(t.Context(), "example.org"); err != nil {
		t.Fatal(err)
	}
	h := &house{store: store, tls: certificate(t)}
	h.server = imapd.New(imapd.Options{
		Store: store, TLS: h.tls, Limits: limits,
		Log:      slog.New(slog.NewTextHandler(testLog{t}, nil)),
		Hostname: func() string { return "imap.example.org" },
	})
	return h
}

type testLog struct{ testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "level=ERROR") {
		l.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

// person makes an account.
func (h *house) person(t testing.TB) mailbox.Account {
	t.Helper()
	addr := mailbox.Address(fmt.Sprintf("p%d@example.org", h.people.Add(1)))
	a, err := h.store.CreateAccount(t.Context(), mailbox.NewAccount{Address: addr, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// deliver puts a message into a mailbox.
func (h *house) deliver(t testing.TB, p mailbox.Placement, text string) {
	t.Helper()
	spool := h.store.NewSpool(0)
	defer spool.Close()
	if _, err := spool.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.store.Accept(t.Context(), mailbox.Intake{Body: spool, Place: []mailbox.Placement{p}}); err != nil {
		t.Fatal(err)
	}
}

// serve runs the server on a loopback port until the test ends.
func (h *house) serve(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- h.server.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// clientTLS trusts nobody but the test's server.
func (h *house) clientTLS() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(h.tls.Certificates[0].Leaf)
	return &tls.Config{RootCAs: pool, ServerName: "imap.example.org"}
}

func certificate(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "imap.example.org"}, DNSNames: []string{"imap.example.org"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
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
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}}}
}
