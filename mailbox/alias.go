package mailbox

import (
	"context"
	"encoding/json"
	"slices"
)

// Alias is an address whose mail goes to other addresses.
type Alias struct {
	Address Address   `json:"address"`
	To      []Address `json:"to"`
}

// addressRow is what an address of ours stands for: an account, or an alias.
type addressRow struct {
	Account AccountID `json:"account,omitempty"`
	To      []Address `json:"to,omitempty"`
}

// Postmaster is the address without a domain that every SMTP server must take
// mail for (RFC 5321 4.5.1).
const Postmaster Address = "postmaster"

// Limits on aliases, so that a lookup stays small whatever points to whatever.
const (
	maxAliasTargets = 200
	maxAliasDepth   = 10
)

// SetAlias makes an alias, or gives it other targets. Errors: ErrNotFound when
// its domain or a target is not ours, ErrExists when an account has the
// address, ErrInvalid for no targets or more than 200.
func (s *Store) SetAlias(ctx context.Context, addr Address, to []Address) error {
	to = slices.Clone(to)
	slices.Sort(to)
	to = slices.Compact(to)
	if len(to) == 0 || len(to) > maxAliasTargets {
		return faultf(ErrInvalid, "an alias has 1 to %d targets", maxAliasTargets)
	}
	return s.update(ctx, func(tx *tx) error {
		if tx.Bucket(bDomains).Get([]byte(addr.Domain())) == nil {
			return faultf(ErrNotFound, "the domain %s is not one of ours; add it first: roost domain add %[1]s", addr.Domain())
		}
		a, err := tx.address(addr)
		if err != nil {
			return err
		}
		if a != nil && a.Account != 0 {
			return faultf(ErrExists, "%s is an account", addr)
		}
		for _, t := range to {
			if t == addr {
				return faultf(ErrInvalid, "the alias %s can't lead to itself", addr)
			}
			if a, err := tx.address(t.Base()); err != nil {
				return err
			} else if a == nil {
				return faultf(ErrNotFound, "there is no account or alias %s here, and mail can't be forwarded to outside yet", t)
			}
		}
		return tx.putJSON(bAddresses, []byte(addr), &addressRow{To: to})
	})
}

// Aliases lists the aliases by address.
func (s *Store) Aliases() ([]Alias, error) {
	var all []Alias
	err := s.view(func(tx *tx) error {
		return tx.Bucket(bAddresses).ForEach(func(k, v []byte) error {
			var a addressRow
			if err := json.Unmarshal(v, &a); err != nil {
				return err
			}
			if a.Account == 0 {
				all = append(all, Alias{Address(k), a.To})
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

// Resolve tells whose mail an address is: the accounts that it leads to, each
// once, by its own row, by that of the address without a subaddress, or, for
// postmaster and abuse (RFC 2142), the administrators. Errors: ErrForeign when
// the domain is not ours, ErrNotFound when it is and nobody has the address.
func (s *Store) Resolve(addr Address) ([]Account, error) {
	var found []Account
	err := s.view(func(tx *tx) (err error) {
		found, err = tx.resolve(addr)
		return err
	})
	return found, err
}

func (tx *tx) resolve(addr Address) ([]Account, error) {
	if addr != Postmaster && tx.Bucket(bDomains).Get([]byte(addr.Domain())) == nil {
		return nil, faultf(ErrForeign, "the domain %s is not one of ours", addr.Domain())
	}
	var found []Account
	err := tx.follow(addr, make(map[Address]bool), 0, &found)
	if err != nil {
		return nil, err
	}
	role := addr.Local()
	if addr == Postmaster {
		role = string(Postmaster)
	}
	if len(found) == 0 && (role == "postmaster" || role == "abuse") {
		err = tx.eachAccount(func(row *accountRow) error {
			if row.Admin && !row.Disabled {
				found = append(found, row.Account)
			}
			return nil
		})
	}
	if err == nil && len(found) == 0 {
		err = faultf(ErrNotFound, "there is no mailbox %s here", addr)
	}
	return found, err
}

func (tx *tx) follow(addr Address, seen map[Address]bool, depth int, found *[]Account) error {
	if seen[addr] || depth > maxAliasDepth {
		return nil
	}
	seen[addr] = true
	a, err := tx.address(addr)
	if err == nil && a == nil {
		a, err = tx.address(addr.Base())
	}
	if a == nil || err != nil {
		return err
	}
	if a.Account != 0 {
		row, err := tx.account(a.Account)
		if err == nil && !slices.ContainsFunc(*found, func(f Account) bool { return f.ID == row.ID }) {
			*found = append(*found, row.Account)
		}
		return err
	}
	for _, t := range a.To {
		if err := tx.follow(t, seen, depth+1, found); err != nil {
			return err
		}
	}
	return nil
}

// MaySendAs tells whether mail from an account may carry the address as its
// sender: it is its own, an alias that leads to it, or one of these with a
// subaddress.
func (s *Store) MaySendAs(id AccountID, addr Address) (bool, error) {
	var ok bool
	err := s.view(func(tx *tx) error {
		var found []Account
		err := tx.follow(addr, make(map[Address]bool), 0, &found)
		ok = slices.ContainsFunc(found, func(a Account) bool { return a.ID == id })
		return err
	})
	return ok, err
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
