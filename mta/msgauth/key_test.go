package msgauth

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
)

// TestKeyring: a key is read once, a bad one every time, and never are more
// kept than the bound.
func TestKeyring(t *testing.T) {
	var k Keyring
	der := func() []byte {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		b, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for range 2 {
		if _, err := k.signer([]byte("no key")); !errors.Is(err, ErrKey) {
			t.Error(err)
		}
	}
	first := der()
	for range 3 {
		if _, err := k.signer(first); err != nil || len(k.known) != 1 {
			t.Errorf("%d keys, %v", len(k.known), err)
		}
	}
	for range maxKnownKeys + 10 {
		if _, err := k.signer(der()); err != nil || len(k.known) > maxKnownKeys {
			t.Fatalf("%d keys, %v", len(k.known), err)
		}
	}
}

// BenchmarkSign is one message signed with RSA and Ed25519, as every submission
// is, with keys that are read each time and once.
func BenchmarkSign(b *testing.B) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	var keys []Key
	for _, k := range []any{rsaKey, edKey} {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			b.Fatal(err)
		}
		keys = append(keys, Key{Selector: "s", PKCS8: der})
	}
	message := "From: joe@example.org\r\nTo: ann@example.net\r\nSubject: Dinner\r\n\r\n" + strings.Repeat("Are you hungry yet?\r\n", 100)
	var kept Keyring
	for name, sign := range map[string]func() error{
		"read": func() error { _, err := Sign(strings.NewReader(message), "example.org", keys); return err },
		"kept": func() error { _, err := kept.Sign(strings.NewReader(message), "example.org", keys); return err },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := sign(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
