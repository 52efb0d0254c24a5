package acme

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	acmeproto "github.com/mholt/acmez/v3/acme"
)

// Certificate is what is to be said of a certificate: the one that is shown, and how
// the last attempt at a newer one went.
type Certificate struct {
	Names []string `json:"names"`

	// Who signed it and how long it holds; zero when there is none yet.
	Issuer    string    `json:"issuer,omitempty"`
	NotBefore time.Time `json:"notBefore,omitzero"`
	NotAfter  time.Time `json:"notAfter,omitzero"`

	// Problem is one sentence on why the last attempt failed, and empty after one that
	// succeeded. NextTry is zero where nothing is tried until something changes; a
	// renewal may come up to ten minutes after it.
	Problem string    `json:"problem,omitempty"`
	Failed  time.Time `json:"failed,omitzero"`
	NextTry time.Time `json:"nextTry,omitzero"`
}

func describe(leaf *x509.Certificate) Certificate {
	issuer := leaf.Issuer.CommonName
	if len(leaf.Issuer.Organization) > 0 {
		issuer = strings.TrimSpace(leaf.Issuer.Organization[0] + " " + issuer)
	}
	return Certificate{Names: namesOf(leaf), Issuer: issuer, NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter}
}

func namesOf(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// ring is what handshakes and the panel look at: the names in their order and what is
// known of each. A name that is not on it is not remembered.
type ring struct {
	mu    sync.RWMutex
	names []string
	keys  map[string]*key
}

type key struct {
	cert         *tls.Certificate // nil: none yet
	problem      string
	failures     int // since the last success
	failed, next time.Time
}

// rename makes names the ring's names and tells which are new and which are gone.
func (r *ring) rename(names []string) (added, gone []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := make(map[string]*key, len(names))
	for _, name := range names {
		if keys[name] = r.keys[name]; keys[name] == nil {
			keys[name] = new(key)
			added = append(added, name)
		}
	}
	for _, name := range r.names {
		if keys[name] == nil {
			gone = append(gone, name)
		}
	}
	r.names, r.keys = slices.Clone(names), keys
	return added, gone
}

// find returns the certificate for name, or else the one for the first name: a client
// that asks for nothing means the host, and one that asks for a name which has none
// yet is better served by ours than by none.
func (r *ring) find(name string) *tls.Certificate {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if k := r.keys[normal(name)]; k != nil && k.cert != nil {
		return k.cert
	}
	if len(r.names) > 0 {
		return r.keys[r.names[0]].cert
	}
	return nil
}

// change does nothing when name is no longer on the ring.
func (r *ring) change(name string, do func(*key)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.keys[name]; k != nil {
		do(k)
	}
}

// failing are the names whose last attempt failed.
func (r *ring) failing() []string {
	return r.where(func(k *key) bool { return k.failures > 0 })
}

// overdue are those of them that should have been tried again so long ago.
func (r *ring) overdue(by time.Duration) []string {
	return r.where(func(k *key) bool { return k.failures > 0 && time.Since(k.next) > by })
}

func (r *ring) where(is func(*key) bool) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var found []string
	for _, name := range r.names {
		if is(r.keys[name]) {
			found = append(found, name)
		}
	}
	return found
}

func (r *ring) status() []Certificate {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]Certificate, len(r.names))
	for i, name := range r.names {
		k := r.keys[name]
		all[i].Names = []string{name}
		if k.cert != nil {
			all[i] = describe(k.cert.Leaf)
		}
		all[i].Problem, all[i].Failed, all[i].NextTry = k.problem, k.failed, k.next
	}
	return all
}

// normal is the form in which names are compared.
func normal(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// explain says in one sentence why the authority at host gave no certificate for name.
func explain(host, name string, err error) string {
	var problem acmeproto.Problem
	if !errors.As(err, &problem) {
		var unreached *url.Error
		if errors.As(err, &unreached) {
			return fmt.Sprintf("cannot talk to the certificate authority %s: %v", host, unreached.Err)
		}
		return err.Error()
	}
	detail := problem.Detail
	for _, sub := range problem.Subproblems {
		detail += "; " + sub.Detail
	}
	return fmt.Sprintf("%s %s: %s", host, reason(problem.Type, name), detail)
}

// reason puts an error type of RFC 8555 section 6.7 in words that follow "the authority".
func reason(kind, name string) string {
	switch kind {
	case acmeproto.ProblemTypeConnection:
		return "could not connect to " + name
	case acmeproto.ProblemTypeDNS:
		return "could not look up " + name
	case acmeproto.ProblemTypeUnauthorized, acmeproto.ProblemTypeIncorrectResponse, acmeproto.ProblemTypeTLS:
		return "did not find this server behind " + name
	case acmeproto.ProblemTypeCAA:
		return "may not sign for " + name + " because of a CAA record"
	case acmeproto.ProblemTypeRateLimited:
		return "has been asked too often"
	case acmeproto.ProblemTypeRejectedIdentifier, acmeproto.ProblemTypeUnsupportedIdentifier:
		return "does not sign for " + name
	case acmeproto.ProblemTypeInvalidContact, acmeproto.ProblemTypeUnsupportedContact:
		return "does not take the e-mail address"
	case acmeproto.ProblemTypeExternalAccountRequired:
		return "wants an account made elsewhere, which Roost cannot give it"
	}
	return "gave no certificate for " + name
}
