package msgauth

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
)

// minRSABits and maxRSABits: what verifiers must know of RSA, and what is
// still worth the name of a signature (RFC 8301 section 3.2).
const (
	minRSABits = 2048
	maxRSABits = 4096
)

// ErrKey: not a private key that we can sign with.
var ErrKey = errors.New("not a usable DKIM key")

// Keyring signs with keys that it has read before: to read and prepare an RSA key
// takes about a tenth of the time of a signature. It keeps few keys, in memory, and
// may be used by several at a time. The zero value is ready.
type Keyring struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]crypto.Signer // by the hash of the key's DER form
}

// maxKnownKeys bounds a Keyring: two keys each of many domains.
const maxKnownKeys = 256

func (k *Keyring) signer(pkcs8 []byte) (crypto.Signer, error) {
	sum := sha256.Sum256(pkcs8)
	k.mu.Lock()
	signer, ok := k.known[sum]
	k.mu.Unlock()
	if ok {
		return signer, nil
	}
	signer, err := parseKey(pkcs8)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil || len(k.known) >= maxKnownKeys {
		k.known = map[[sha256.Size]byte]crypto.Signer{}
	}
	k.known[sum] = signer
	return signer, nil
}

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
