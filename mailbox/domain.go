package mailbox

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Domain is a domain that Roost takes mail for.
type Domain struct {
	Name    string    `json:"name"` // lower-case A-labels
	Keys    []DKIMKey `json:"keys"`
	Created time.Time `json:"created"`

	// CatchAll gets the mail to addresses that nobody has; empty: it is refused.
	CatchAll Address `json:"catch_all,omitempty"`
	// Separators are the characters that may each begin a subaddress (RFC 5233);
	// nil is "+", and "" is none.
	Separators *string `json:"separators,omitempty"`
	// Disabled: mail to the domain is put off, and nobody in it may log in.
	Disabled bool `json:"disabled,omitempty"`
}

const defaultSeparators = "+"

// maySeparate are the characters of RFC 5322 3.2.3's atext that are no letter
// or digit.
const maySeparate = "!#$%&'*+-/=?^_`{|}~"

// DKIMKey is a key that signs a domain's mail (RFC 6376).
type DKIMKey struct {
	Selector  string    `json:"selector"`
	Algorithm string    `json:"algorithm"` // "rsa" or "ed25519", as k= has it
	Private   []byte    `json:"private"`   // PKCS #8, DER
	Created   time.Time `json:"created"`
}

// newDKIMKeys makes a domain's first keys: RSA-2048, which everybody can
// verify, and Ed25519 (RFC 8463). Selectors carry the day, so that a later
// rotation finds other names.
func newDKIMKeys(now time.Time) ([]DKIMKey, error) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	var keys []DKIMKey
	for _, k := range []struct {
		letter, algorithm string
		key               crypto.Signer
	}{{"r", "rsa", rsaKey}, {"e", "ed25519", edKey}} {
		der, err := x509.MarshalPKCS8PrivateKey(k.key)
		if err != nil {
			return nil, err
		}
		keys = append(keys, DKIMKey{Selector: now.Format("20060102") + k.letter, Algorithm: k.algorithm, Private: der, Created: now})
	}
	return keys, nil
}

// Signer is the private key.
func (k *DKIMKey) Signer() (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(k.Private)
	if err != nil {
		return nil, fmt.Errorf("DKIM key %s: %w", k.Selector, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("DKIM key %s: %w", k.Selector, ErrCorrupt)
	}
	return signer, nil
}

// Record is the value of the TXT record at SELECTOR._domainkey.DOMAIN that
// publishes the key (RFC 6376 3.6.1, RFC 8463 4).
func (k *DKIMKey) Record() (string, error) {
	signer, err := k.Signer()
	if err != nil {
		return "", err
	}
	public, ok := signer.Public().(ed25519.PublicKey)
	der := []byte(public)
	if !ok {
		if der, err = x509.MarshalPKIXPublicKey(signer.Public()); err != nil {
			return "", err
		}
	}
	return "v=DKIM1; k=" + k.Algorithm + "; p=" + base64.StdEncoding.EncodeToString(der), nil
}

// AddDomain makes Roost take mail for a domain, and makes its DKIM keys.
// Errors: ErrInvalid for a name that is none, ErrExists.
func (s *Store) AddDomain(ctx context.Context, name string) (Domain, error) {
	name, err := ParseDomain(name)
	if err != nil {
		return Domain{}, err
	}
	if !strings.Contains(name, ".") && name != "localhost" {
		return Domain{}, faultf(ErrInvalid, "%q is not a mail domain: it has no dot", name)
	}
	now := time.Now().UTC().Truncate(time.Second)
	d := Domain{Name: name, Created: now}
	if d.Keys, err = newDKIMKeys(now); err != nil {
		return Domain{}, fmt.Errorf("make DKIM keys: %w", err)
	}
	return d, s.update(ctx, func(tx *tx) error {
		if tx.Bucket(bDomains).Get([]byte(name)) != nil {
			return faultf(ErrExists, "the domain %s exists already", name)
		}
		return tx.putJSON(bDomains, []byte(name), &d)
	})
}

// Domains lists the domains by name.
func (s *Store) Domains() ([]Domain, error) {
	var all []Domain
	err := s.view(func(tx *tx) error {
		return tx.Bucket(bDomains).ForEach(func(_, v []byte) error {
			var d Domain
			err := json.Unmarshal(v, &d)
			all = append(all, d)
			return err
		})
	})
	return all, err
}

// Domain finds a domain. ErrNotFound.
func (s *Store) Domain(name string) (Domain, error) {
	var d Domain
	name, err := ParseDomain(name)
	if err != nil {
		return d, err
	}
	err = s.view(func(tx *tx) error {
		v := tx.Bucket(bDomains).Get([]byte(name))
		if v == nil {
			return faultf(ErrNotFound, "the domain %s is not one of ours", name)
		}
		return json.Unmarshal(v, &d)
	})
	return d, err
}

// ChangeDomain lets f change the CatchAll, the Separators or Disabled of a domain
// in one commit. An error of f is returned, and nothing changes; f may run more
// than once. Errors: ErrNotFound; ErrInvalid for separators that can't be, and
// where no administrator could log in any more.
func (s *Store) ChangeDomain(ctx context.Context, name string, f func(*Domain) error) (Domain, error) {
	var d Domain
	name, err := ParseDomain(name)
	if err != nil {
		return d, err
	}
	return d, s.update(ctx, func(tx *tx) error {
		d = Domain{}
		v := tx.Bucket(bDomains).Get([]byte(name))
		if v == nil {
			return faultf(ErrNotFound, "the domain %s is not one of ours", name)
		}
		if err := json.Unmarshal(v, &d); err != nil {
			return err
		}
		before := d
		if err := f(&d); err != nil {
			return err
		}
		if d.Separators != nil {
			for _, c := range *d.Separators {
				if !strings.ContainsRune(maySeparate, c) {
					return faultf(ErrInvalid, "%q can't separate a subaddress; these can: %s", c, maySeparate)
				}
			}
		}
		if d.CatchAll != before.CatchAll && d.CatchAll != "" {
			if err := tx.checkTarget(d.CatchAll); err != nil {
				return err
			}
		}
		if d.Disabled && !before.Disabled {
			if err := tx.keepAdministrator(func(a *accountRow) bool { return a.Address.Domain() == name }); err != nil {
				return err
			}
			err := tx.dropTokensOf(func(a *accountRow) bool { return a.Address.Domain() == name })
			if err != nil {
				return err
			}
		}
		before.CatchAll, before.Separators, before.Disabled = d.CatchAll, d.Separators, d.Disabled
		d = before
		return tx.putJSON(bDomains, []byte(name), &d)
	})
}

// RemoveDomain stops taking mail for a domain. Errors: ErrNotFound, ErrInvalid
// while accounts or aliases have addresses in it.
func (s *Store) RemoveDomain(ctx context.Context, name string) error {
	name, err := ParseDomain(name)
	if err != nil {
		return err
	}
	return s.update(ctx, func(tx *tx) error {
		if tx.Bucket(bDomains).Get([]byte(name)) == nil {
			return faultf(ErrNotFound, "the domain %s is not one of ours", name)
		}
		err := tx.each(bAddresses, nil, func(k, _ []byte) error {
			if Address(k).Domain() == name {
				return faultf(ErrInvalid, "%s is still in use; remove the accounts and aliases of %s first", k, name)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return tx.delete(bDomains, []byte(name))
	})
}
