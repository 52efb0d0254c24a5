package acme

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/mholt/acmez/v3"
	acmeproto "github.com/mholt/acmez/v3/acme"
)

// challengePath is where an authority asks for a token (RFC 8555 section 8.3).
const challengePath = "/.well-known/acme-challenge/"

// challenges are the answers that an authority may ask for at this moment. It is what
// certmagic's own solvers would be, less their listeners: the answers are given on
// ports 80 and 443 by the servers that are there anyway.
type challenges struct {
	mu     sync.RWMutex
	tokens map[string]acmeproto.Challenge // by token (HTTP-01)
	certs  map[string]*tls.Certificate    // by name (TLS-ALPN-01)
}

var _ acmez.Solver = (*challenges)(nil)

func newChallenges() *challenges {
	return &challenges{tokens: make(map[string]acmeproto.Challenge), certs: make(map[string]*tls.Certificate)}
}

// Present makes the answer ready before the authority is told to ask.
func (c *challenges) Present(_ context.Context, chal acmeproto.Challenge) error {
	var cert *tls.Certificate
	if chal.Type == acmeproto.ChallengeTypeTLSALPN01 {
		var err error
		if cert, err = acmez.TLSALPN01ChallengeCert(chal); err != nil {
			return fmt.Errorf("make the challenge certificate: %w", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cert != nil {
		c.certs[strings.ToLower(chal.Identifier.Value)] = cert
	} else {
		c.tokens[chal.Token] = chal
	}
	return nil
}

// CleanUp forgets the answer.
func (c *challenges) CleanUp(_ context.Context, chal acmeproto.Challenge) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if chal.Type == acmeproto.ChallengeTypeTLSALPN01 {
		delete(c.certs, strings.ToLower(chal.Identifier.Value))
	} else {
		delete(c.tokens, chal.Token)
	}
	return nil
}

// handler answers what an authority asks for on port 80 and leaves the rest to next,
// also a question for a token or under a name that is not being proven now.
func (c *challenges) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.URL.Path, challengePath)
		if ok && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			c.mu.RLock()
			chal, ok := c.tokens[token]
			c.mu.RUnlock()
			if ok && strings.EqualFold(hostOf(r), chal.Identifier.Value) {
				w.Header().Set("Content-Type", "application/octet-stream")
				w.Header().Set("Cache-Control", "no-store")
				fmt.Fprint(w, chal.KeyAuthorization)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func hostOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return r.Host
}

// isChallenge tells the handshake by which an authority asks on port 443: RFC 8737
// section 3 has it offer one protocol only, and the name in SNI.
func isChallenge(hello *tls.ClientHelloInfo) bool {
	return slices.Equal(hello.SupportedProtos, []string{acmez.ACMETLS1Protocol})
}

func (c *challenges) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if cert := c.certs[strings.ToLower(hello.ServerName)]; cert != nil {
		return cert, nil
	}
	return nil, fmt.Errorf("there is no ACME challenge for %q", hello.ServerName)
}
