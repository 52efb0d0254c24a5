// Package sasltest is a client of SCRAM-SHA-256 for tests, one that may also do
// wrong things. It refuses to be used outside tests.
package sasltest

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// Client is the client's side of one exchange.
type Client struct {
	Name, Password string
	Nonce          string
	Flag           string // gs2-cbind-flag: n, y or p=type; empty is n
	As             string // gs2's authzid
	Binding        []byte // of the type that Flag names

	message string
	server  []byte // ServerKey
}

func (c *Client) header() string {
	flag, as := c.Flag, c.As
	if flag == "" {
		flag = "n"
	}
	if as != "" {
		as = "a=" + escape(as)
	}
	return flag + "," + as + ","
}

func escape(name string) string { return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(name) }

func (c *Client) bare() string { return "n=" + escape(c.Name) + ",r=" + c.Nonce }

// First is client-first-message.
func (c *Client) First() string { return c.header() + c.bare() }

// Final answers server-first-message with client-final-message.
func (c *Client) Final(challenge string) (string, error) {
	nonce, rest, ok1 := strings.Cut(challenge, ",s=")
	salt, count, ok2 := strings.Cut(rest, ",i=")
	nonce, ok3 := strings.CutPrefix(nonce, "r="+c.Nonce)
	raw, err := base64.StdEncoding.DecodeString(salt)
	n, err2 := strconv.Atoi(count)
	if !ok1 || !ok2 || !ok3 || nonce == "" || len(raw) == 0 || n < 4096 || err != nil || err2 != nil {
		return "", fmt.Errorf("server-first-message %q", challenge)
	}
	salted, err := pbkdf2.Key(sha256.New, c.Password, raw, n, sha256.Size)
	if err != nil {
		return "", err
	}
	without := "c=" + base64.StdEncoding.EncodeToString(append([]byte(c.header()), c.Binding...)) + ",r=" + c.Nonce + nonce
	c.message = c.bare() + "," + challenge + "," + without
	key := mac(salted, "Client Key")
	stored := sha256.Sum256(key)
	subtle.XORBytes(key, key, mac(stored[:], c.message))
	c.server = mac(salted, "Server Key")
	return without + ",p=" + base64.StdEncoding.EncodeToString(key), nil
}

// Verify checks server-final-message.
func (c *Client) Verify(final string) error {
	if want := "v=" + base64.StdEncoding.EncodeToString(mac(c.server, c.message)); final != want {
		return fmt.Errorf("server-final-message %q, want %q", final, want)
	}
	return nil
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
