package msgauth

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
)

// Algorithm is the kind of a DKIM key, as the k= tag of its record has it.
type Algorithm string

// The two kinds we make. A domain has one of each: RSA for those who know
// nothing else, Ed25519 (RFC 8463) for the rest.
const (
	RSA     Algorithm = "rsa"
	Ed25519 Algorithm = "ed25519"
)

const (
	// rsaBits: the longest key that fits one TXT record of any DNS provider;
	// RFC 8301 section 3.2 asks for 2048.
	rsaBits = 2048

	// maxRSABits: verifiers need not know longer ones (RFC 8301 section 3.2).
	maxRSABits = 4096
)

// ErrKey: not a private key that we can sign with.
var ErrKey = errors.New("not a usable DKIM key")

// NewKey makes a private key and returns it in PKCS #8 DER form. RSA keys
// have 2048 bits.
func NewKey(a Algorithm) ([]byte, error) {
	var key any
	var err error
	switch a {
	case RSA:
		key, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case Ed25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, fmt.Errorf("make a DKIM key of algorithm %q: %w", a, ErrKey)
	}
	if err != nil {
		return nil, fmt.Errorf("make a DKIM key: %w", err)
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

// Record returns the text of the TXT record that publishes the public half
// of a private key in PKCS #8 DER form (RFC 6376 section 3.6.1). For an RSA
// key it is longer than 255 octets, so that in the zone it takes more than
// one string.
func Record(pkcs8 []byte) (string, error) {
	signer, err := parseKey(pkcs8)
	if err != nil {
		return "", err
	}
	var a Algorithm
	var public []byte
	switch key := signer.Public().(type) {
	case *rsa.PublicKey:
		a = RSA
		if public, err = x509.MarshalPKIXPublicKey(key); err != nil {
			return "", fmt.Errorf("encode the public DKIM key: %w", err)
		}
	case ed25519.PublicKey:
		// RFC 8463 section 4.2: the bare 32 octets.
		a, public = Ed25519, key
	}
	return fmt.Sprintf("v=DKIM1; k=%s; p=%s", a, base64.StdEncoding.EncodeToString(public)), nil
}

// parseKey reads a private key and refuses what no verifier would take.
func parseKey(pkcs8 []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrKey, err)
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if bits := key.N.BitLen(); bits < rsaBits || bits > maxRSABits {
			return nil, fmt.Errorf("%w: RSA with %d bits", ErrKey, bits)
		}
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("%w: %T", ErrKey, key)
}
