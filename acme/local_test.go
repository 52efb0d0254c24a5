package acme

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

var localNames = []string{"roost.localhost", "localhost", "127.0.0.1", "::1"}

// handshake lets a client that trusts roots alone ask for name.
func handshake(t *testing.T, server *tls.Config, roots *x509.CertPool, name string) (*x509.Certificate, error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		tls.Server(b, server).Handshake()
		b.Close()
	}()
	client := tls.Client(a, &tls.Config{RootCAs: roots, ServerName: name})
	err := client.Handshake()
	a.Close()
	<-done
	if err != nil {
		return nil, err
	}
	return client.ConnectionState().PeerCertificates[0], nil
}

func rootsOf(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("ca.pem holds no certificate")
	}
	return roots
}

func TestLocal(t *testing.T) {
	dir := t.TempDir()
	l, err := NewLocal(dir, localNames...)
	if err != nil {
		t.Fatal(err)
	}
	roots := rootsOf(t, dir)
	for _, name := range localNames {
		if _, err := handshake(t, l.TLSConfig(), roots, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := handshake(t, l.TLSConfig(), roots, "roost.example"); err == nil {
		t.Error("a name that the certificate does not have was accepted")
	}
	for name, mode := range map[string]fs.FileMode{"ca.pem": 0o644, "ca.key": 0o600, "tls.pem": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v", name, info.Mode().Perm(), mode)
		}
	}
	if cfg := l.TLSConfig(); cfg.MinVersion != tls.VersionTLS12 {
		t.Errorf("minimum version %x", cfg.MinVersion)
	}
}

func TestLocalKeepsRootAndLeafOverRestart(t *testing.T) {
	dir := t.TempDir()
	first, err := NewLocal(dir, localNames...)
	if err != nil {
		t.Fatal(err)
	}
	second, err := NewLocal(dir, localNames...)
	if err != nil {
		t.Fatal(err)
	}
	if !first.leaf.Leaf.Equal(second.leaf.Leaf) {
		t.Error("a restart made another leaf")
	}
	more, err := NewLocal(dir, append(localNames, "mail.localhost")...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := handshake(t, more.TLSConfig(), rootsOf(t, dir), "mail.localhost"); err != nil {
		t.Errorf("a leaf for one more name: %v", err)
	}
}

// The root is something that people import into browsers: it must be worth nothing
// for the rest of the world.
func TestRootSignsForThisMachineOnly(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"example.org", "192.0.2.1"} {
		l, err := NewLocal(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = handshake(t, l.TLSConfig(), rootsOf(t, dir), name)
		var invalid x509.CertificateInvalidError
		if !errors.As(err, &invalid) || invalid.Reason != x509.CANotAuthorizedForThisName {
			t.Errorf("%s: %v, want a name constraint", name, err)
		}
	}
}

func TestLeafIsMadeAnewBeforeItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l, err := NewLocal(dir, localNames...)
		if err != nil {
			t.Fatal(err)
		}
		first, _ := l.GetCertificate(nil)
		time.Sleep(leafLife - renewBefore - time.Hour)
		if same, _ := l.GetCertificate(nil); same != first {
			t.Error("made anew too early")
		}
		time.Sleep(2 * time.Hour)
		next, err := l.GetCertificate(nil)
		if err != nil || next == first {
			t.Fatalf("still the old leaf with %v left, error %v", time.Until(first.Leaf.NotAfter), err)
		}
		again, err := NewLocal(dir, localNames...)
		if err != nil || !again.leaf.Leaf.Equal(next.Leaf) {
			t.Errorf("the new leaf is not the one on disk: %v", err)
		}
	})
}

func TestSelfSigned(t *testing.T) {
	dir := t.TempDir()
	names := []string(nil)
	l, err := NewSelfSigned(dir, func() []string { return names })
	if err != nil {
		t.Fatal(err)
	}
	names = []string{"mail.example.org"}
	cert, err := l.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	pinned := x509.NewCertPool()
	pinned.AddCert(cert.Leaf)
	if _, err := handshake(t, l.TLSConfig(), pinned, "mail.example.org"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ca.pem")); err == nil {
		t.Error("a self-signed certificate needs no authority")
	}
	again, err := NewSelfSigned(dir, func() []string { return names })
	if err != nil || !again.leaf.Leaf.Equal(cert.Leaf) {
		t.Errorf("a restart made another certificate: %v", err)
	}
	local, err := NewLocal(dir, localNames...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := handshake(t, local.TLSConfig(), rootsOf(t, dir), "localhost"); err != nil {
		t.Errorf("roost local in a directory that roost serve has used: %v", err)
	}
}

func TestDamagedFilesAreNotOverwritten(t *testing.T) {
	for _, name := range []string{"ca.pem", "ca.key", "tls.pem"} {
		dir := t.TempDir()
		if _, err := NewLocal(dir, localNames...); err != nil {
			t.Fatal(err)
		}
		bad := []byte("not PEM\n")
		if err := os.WriteFile(filepath.Join(dir, name), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := NewLocal(dir, localNames...); err == nil {
			t.Errorf("damaged %s: no error", name)
		}
		if got, _ := os.ReadFile(filepath.Join(dir, name)); !bytes.Equal(got, bad) {
			t.Errorf("damaged %s was overwritten", name)
		}
	}
}
