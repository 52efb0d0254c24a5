package mailbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Alias is an address whose mail goes to other addresses, here or elsewhere.
type Alias struct {
	Address Address   `json:"address"`
	To      []Address `json:"to"`
	Expires time.Time `json:"expires,omitzero"` // no mail is taken from then on; zero is never
}

// Expired tells whether the alias is over.
func (a *Alias) Expired(now time.Time) bool { return !a.Expires.IsZero() && !now.Before(a.Expires) }

// addressRow is what an address of ours stands for: an account, or an alias.
type addressRow struct {
	Account AccountID `json:"account,omitempty"`
	To      []Address `json:"to,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

func (r *addressRow) expired(now time.Time) bool {
	return !r.Expires.IsZero() && !now.Before(r.Expires)
}

const maxAliasTargets = 200

// SetAlias makes an alias, or gives it other targets and another end. Targets
// elsewhere keep the case of their local parts (see ParseTarget). Errors:
// ErrNotFound when its domain is not ours or nobody here has a target, ErrExists
// when an account has the address, ErrInvalid for no targets or more than 200.
func (s *Store) SetAlias(ctx context.Context, a Alias) error {
	to := slices.Clone(a.To)
	slices.Sort(to)
	to = slices.Compact(to)
	if len(to) == 0 || len(to) > maxAliasTargets {
		return faultf(ErrInvalid, "an alias has 1 to %d targets", maxAliasTargets)
	}
	return s.update(ctx, func(tx *tx) error {
		d, err := tx.delivery(a.Address.Domain())
		if err != nil {
			return err
		}
		if d == nil {
			return faultf(ErrNotFound, "the domain %s is not one of ours; add it first: roost domain add %[1]s", a.Address.Domain())
		}
		row, err := tx.address(a.Address)
		if err != nil {
			return err
		}
		if row != nil && row.Account != 0 {
			return faultf(ErrExists, "%s is an account", a.Address)
		}
		for _, t := range to {
			if t == a.Address {
				return faultf(ErrInvalid, "the alias %s can't lead to itself", a.Address)
			}
			if err := tx.checkTarget(t); err != nil {
				return err
			}
		}
		return tx.putJSON(bAddresses, []byte(a.Address), &addressRow{To: to, Expires: a.Expires.UTC()})
	})
}

// checkTarget holds against slips: a target in a domain of ours is there.
func (tx *tx) checkTarget(t Address) error {
	d, err := tx.delivery(t.Domain())
	if err != nil || d == nil {
		return err // elsewhere
	}
	row, _, err := tx.lookup(t.fold(), d.separators())
	if err == nil && row == nil && !t.isRole() {
		err = faultf(ErrNotFound, "there is no account or alias %s here", t)
	}
	return err
}

// ForwardingKey is the store's secret of 32 octets that proves a reverse-path to
// be one that Roost made for mail that it forwarded.
func (s *Store) ForwardingKey() ([]byte, error) {
	var key []byte
	err := s.view(func(tx *tx) error {
		key = bytes.Clone(tx.Bucket(bMeta).Get(kForwarding))
		if len(key) != 32 {
			return fmt.Errorf("the key for forwarding: %w", ErrCorrupt)
		}
		return nil
	})
	return key, err
}

// Aliases lists the aliases by address, also those that have expired.
func (s *Store) Aliases() ([]Alias, error) {
	var all []Alias
	err := s.view(func(tx *tx) error {
		return tx.Bucket(bAddresses).ForEach(func(k, v []byte) error {
			var a addressRow
			if err := json.Unmarshal(v, &a); err != nil {
				return err
			}
			if a.Account == 0 {
				all = append(all, Alias{Address(k), a.To, a.Expires})
			}
			return nil
		})
	})
	return all, err
}

// RemoveAlias removes an alias. ErrNotFound.
func (s *Store) RemoveAlias(ctx context.Context, addr Address) error {
	return s.update(ctx, func(tx *tx) error {
		a, err := tx.address(addr)
		if err != nil {
			return err
		}
		if a == nil || a.Account != 0 {
			return faultf(ErrNotFound, "there is no alias %s", addr)
		}
		return tx.delete(bAddresses, []byte(addr))
	})
}

// address reads an address's row; nil when there is none.
func (tx *tx) address(addr Address) (*addressRow, error) {
	v := tx.Bucket(bAddresses).Get([]byte(addr))
	if v == nil {
		return nil, nil
	}
	a := new(addressRow)
	return a, json.Unmarshal(v, a)
}
