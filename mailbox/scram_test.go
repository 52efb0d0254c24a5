package mailbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"testing"
)

// checkScram holds a recorded exchange against the keys: ClientProof XOR
// ClientSignature must hash to StoredKey, and the server's signature follow
// from ServerKey.
func checkScram(t *testing.T, stored, server []byte, message, proof, signature string) {
	t.Helper()
	sign := func(key []byte) []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(message))
		return m.Sum(nil)
	}
	key, err := base64.StdEncoding.DecodeString(proof)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range sign(stored) {
		key[i] ^= b
	}
	if sum := sha256.Sum256(key); string(sum[:]) != string(stored) {
		t.Error("the proof does not fit the stored key")
	}
	if got := base64.StdEncoding.EncodeToString(sign(server)); got != signature {
		t.Errorf("server signature %s, want %s", got, signature)
	}
}
