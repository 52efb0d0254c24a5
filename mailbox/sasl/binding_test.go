package sasl

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"
)

// certificate is signed by its own key.
func certificate(t *testing.T, key crypto.Signer, name string) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func ecKey(t *testing.T, c elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestBind holds that both ends of a connection have the same bindings, those that
// each version of TLS has, and that another connection has others.
func TestBind(t *testing.T) {
	p256, p384 := certificate(t, ecKey(t, elliptic.P256()), "a.example"), certificate(t, ecKey(t, elliptic.P384()), "b.example")
	_, edKey, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ed := certificate(t, edKey, "c.example")
	conf := Config(&tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return map[string]*tls.Certificate{"a.example": p256, "b.example": p384, "c.example": ed}[hello.ServerName], nil
	}})
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	l := Listen(raw)
	// shake gives both ends, after a handshake and an octet from server to client,
	// with which a client of TLS 1.3 gets its ticket.
	shake := func(client *tls.Config) (server, far *tls.Conn) {
		t.Helper()
		conn, err := net.Dial("tcp", raw.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		in, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		server, far = tls.Server(in, conf), tls.Client(conn, client)
		t.Cleanup(func() { server.Close(); far.Close() })
		if Bind(server) != nil {
			t.Error("bindings before the handshake")
		}
		sent := make(chan error)
		go func() { _, err := server.Write([]byte{1}); sent <- err }()
		if _, err := far.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		return server, far
	}
	equal := func(what string, b Binding, want map[string][]byte) {
		t.Helper()
		if len(b) != len(want) {
			t.Errorf("%s: %x, want %x", what, b, want)
		}
		for kind, w := range want {
			if len(w) == 0 || !bytes.Equal(b[kind], w) {
				t.Errorf("%s: %s is %x, want %x", what, kind, b[kind], w)
			}
		}
	}
	exported := func(c *tls.Conn) []byte {
		state := c.ConnectionState()
		b, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sum256 := sha256.Sum256(p256.Certificate[0])
	sum384 := sha512.Sum384(p384.Certificate[0])

	client := &tls.Config{InsecureSkipVerify: true, ServerName: "a.example", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	server, far := shake(client)
	equal("TLS 1.3", Bind(server), map[string][]byte{"tls-exporter": exported(far), "tls-server-end-point": sum256[:]})
	first := exported(far)
	server, far = shake(client)
	if !far.ConnectionState().DidResume {
		t.Fatal("not resumed")
	}
	equal("TLS 1.3 resumed", Bind(server), map[string][]byte{"tls-exporter": exported(far)})
	if bytes.Equal(first, exported(far)) {
		t.Error("two connections have the same binding")
	}

	server, far = shake(&tls.Config{InsecureSkipVerify: true, ServerName: "b.example", MaxVersion: tls.VersionTLS12})
	equal("TLS 1.2", Bind(server), map[string][]byte{"tls-unique": far.ConnectionState().TLSUnique, "tls-server-end-point": sum384[:]})
	server, far = shake(&tls.Config{InsecureSkipVerify: true, ServerName: "c.example"})
	equal("Ed25519", Bind(server), map[string][]byte{"tls-exporter": exported(far)})

	conn, err := net.Dial("tcp", raw.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := raw.Accept() // not by Listen
	if err != nil {
		t.Fatal(err)
	}
	server, far = tls.Server(in, conf), tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: "a.example"})
	defer far.Close()
	defer server.Close()
	done := make(chan error)
	go func() { done <- far.Handshake() }()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	equal("another listener", Bind(server), map[string][]byte{"tls-exporter": exported(far)})
}
