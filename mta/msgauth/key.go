package msgauth

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
)

// minRSABits and maxRSABits: what verifiers must know of RSA, and what is
// still worth the name of a signature (RFC 8301 section 3.2).
const (
	minRSABits = 2048
	maxRSABits = 4096
)

// ErrKey: not a private key that we can sign with.
var ErrKey = errors.New("not a usable DKIM key")

// parseKey reads a private key and refuses what no verifier would take.
func parseKey(pkcs8 []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrKey, err)
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return nil, fmt.Errorf("%w: RSA with %d bits", ErrKey, bits)
		}
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("%w: %T", ErrKey, key)
}
