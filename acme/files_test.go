package acme_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"roost/acme"
)

func privatePEM(t *testing.T) []byte {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// pair is a self-signed certificate for name and its key, in PEM.
func pair(t *testing.T, name string) (cert, private []byte, roots *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	l, err := acme.NewSelfSigned(dir, func() []string { return []string{name} })
	if err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadFile(filepath.Join(dir, "tls.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(all)
	made, _ := l.GetCertificate(nil)
	roots = x509.NewCertPool()
	roots.AddCert(made.Leaf)
	return pem.EncodeToMemory(block), rest, roots
}

func TestCertificateFilesAreReadAgain(t *testing.T) {
	dir, logs := t.TempDir(), newJournal(t)
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	put := func(file string, data []byte) {
		t.Helper()
		// As certbot and its like do; a file written in place has another time.
		if err := os.WriteFile(file+".new", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	cert1, key1, roots1 := pair(t, "mail.example.org")
	put(certFile, cert1)
	put(keyFile, key1)
	l, stop := start(t, acme.Options{CertFile: certFile, KeyFile: keyFile, Log: logs.logger()})
	defer stop()
	shown(t, l, roots1, "mail.example.org")
	if status := l.Status(); len(status) != 1 || status[0].Names[0] != "mail.example.org" || status[0].NotAfter.IsZero() || status[0].Problem != "" {
		t.Errorf("status %+v", status)
	}

	// The new certificate is there, its key is not yet.
	cert2, key2, roots2 := pair(t, "mail.example.org")
	put(certFile, cert2)
	shown(t, l, roots1, "mail.example.org")
	if status := l.Status()[0]; !strings.Contains(status.Problem, "private key does not match") || time.Since(status.Failed) > time.Minute {
		t.Errorf("status %+v", status)
	}
	put(keyFile, key2)
	shown(t, l, roots2, "mail.example.org")
	if status := l.Status()[0]; status.Problem != "" || !status.Failed.IsZero() {
		t.Errorf("status %+v", status)
	}
	logs.wait("WARN certificate files cannot be used")
	logs.wait("INFO certificate files read again")

	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	shown(t, l, roots2, "mail.example.org")
	if status := l.Status()[0]; !strings.Contains(status.Problem, "no such file") {
		t.Errorf("status %+v", status)
	}
	l.Retry() // harmless
}

func TestReadRoots(t *testing.T) {
	cert, private, _ := pair(t, "ca.example.org")
	file := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(file, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := acme.ReadRoots(file); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(file, private, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := acme.ReadRoots(file); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Error(err)
	}
}
