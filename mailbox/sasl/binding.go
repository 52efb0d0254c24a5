package sasl

import (
	"crypto"
	_ "crypto/sha256" // for hashes by name
	_ "crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"net"
	"sync/atomic"
)

// Binding is what both ends of a TLS connection know of it and nobody in between can
// make the same, by the registered name of its type (RFC 5056).
type Binding map[string][]byte

// Bind gives the bindings of a connection after its handshake:
//
//	tls-exporter          RFC 9266, from TLS 1.3 on
//	tls-unique            RFC 5929, before it, where the session is tied to its handshake
//	tls-server-end-point  RFC 5929, where Listen and Config saw which certificate was shown;
//	                      a resumed session shows none
func Bind(conn *tls.Conn) Binding {
	state := conn.ConnectionState()
	if !state.HandshakeComplete {
		return nil
	}
	b := make(Binding)
	if state.Version >= tls.VersionTLS13 {
		if key, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); err == nil {
			b["tls-exporter"] = key
		}
	} else if len(state.TLSUnique) > 0 {
		b["tls-unique"] = state.TLSUnique
	}
	if noted, ok := conn.NetConn().(*notedConn); ok && !state.DidResume {
		if hash := endPoint(noted.shown.Load()); hash != nil {
			b["tls-server-end-point"] = hash
		}
	}
	return b
}

// endPoint hashes a certificate as RFC 5929 4.1 has it: by the hash of its own
// signature, and by SHA-256 where that is a weaker one. Nil for one whose signature
// has no hash of its own, such as Ed25519: for it the RFC defines nothing.
func endPoint(shown *tls.Certificate) []byte {
	if shown == nil || len(shown.Certificate) == 0 {
		return nil
	}
	leaf, err := x509.ParseCertificate(shown.Certificate[0])
	if err != nil {
		return nil
	}
	hash := crypto.SHA256
	switch leaf.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		hash = crypto.SHA512
	case x509.PureEd25519, x509.UnknownSignatureAlgorithm:
		return nil
	}
	h := hash.New()
	h.Write(leaf.Raw)
	return h.Sum(nil)
}

// notedConn remembers which certificate was shown on it.
type notedConn struct {
	net.Conn
	shown atomic.Pointer[tls.Certificate]
}

// NetConn gives the connection inside.
func (c *notedConn) NetConn() net.Conn { return c.Conn }

// Listen gives a listener whose connections remember the certificate that Config
// shows on them. TLS from the first octet comes around it.
func Listen(l net.Listener) net.Listener { return noting{l} }

type noting struct{ net.Listener }

func (l noting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &notedConn{Conn: c}, nil
}

// Config is conf, and notes on each connection of Listen the certificate that its
// GetCertificate gives. A conf without GetCertificate comes back as it is.
func Config(conf *tls.Config) *tls.Config {
	if conf == nil || conf.GetCertificate == nil {
		return conf
	}
	noted := conf.Clone()
	noted.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := conf.GetCertificate(hello)
		if c, ok := hello.Conn.(*notedConn); ok && err == nil {
			c.shown.Store(cert)
		}
		return cert, err
	}
	return noted
}
