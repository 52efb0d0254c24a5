package mailbox

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// Rule is what an account, or the owner for all accounts, said about mail from
// one sender: it is let in whatever its domain's policy wants, or it is not.
type Rule struct {
	Account AccountID `json:"account,omitempty"` // 0: for all
	Sender  string    `json:"sender"`            // an Address, or a domain and all its addresses
	Block   bool      `json:"block,omitempty"`   // else it is let in
	Created time.Time `json:"created"`
}

// maxRules bounds the rules of one account, and those for all.
const maxRules = 1000

// ParseSender reads what a rule can be about: an address, or a domain with or
// without an "@" before it. ErrInvalid.
func ParseSender(s string) (string, error) {
	if domain, ok := strings.CutPrefix(s, "@"); ok || !strings.Contains(s, "@") {
		return ParseDomain(domain)
	}
	a, err := ParseAddress(s)
	return string(a), err
}

// SetRule makes a rule, in place of one about the same sender. Errors:
// ErrInvalid, ErrNotFound when there is no such account, ErrLimit at 1,000.
func (s *Store) SetRule(ctx context.Context, r Rule) error {
	sender, err := ParseSender(r.Sender)
	if err != nil {
		return err
	}
	r.Sender = sender
	if r.Created.IsZero() {
		r.Created = time.Now().UTC().Truncate(time.Second)
	}
	return s.update(ctx, func(tx *tx) error {
		if r.Account != 0 {
			if _, err := tx.account(r.Account); err != nil {
				return err
			}
		}
		key := nameKey(r.Account, r.Sender)
		if tx.Bucket(bRules).Get(key) == nil {
			n := 0
			if err := tx.each(bRules, be32(uint32(r.Account)), func(_, _ []byte) error { n++; return nil }); err != nil {
				return err
			}
			if n >= maxRules {
				return faultf(ErrLimit, "there are %d rules about senders already; remove some first", n)
			}
		}
		return tx.putJSON(bRules, key, &r)
	})
}

// RemoveRule takes a rule away. ErrNotFound, ErrInvalid.
func (s *Store) RemoveRule(ctx context.Context, id AccountID, sender string) error {
	sender, err := ParseSender(sender)
	if err != nil {
		return err
	}
	return s.update(ctx, func(tx *tx) error {
		if tx.Bucket(bRules).Get(nameKey(id, sender)) == nil {
			return faultf(ErrNotFound, "there is no rule about %s", sender)
		}
		return tx.delete(bRules, nameKey(id, sender))
	})
}

// Rules lists all rules: those for all accounts, then each account's.
func (s *Store) Rules() ([]Rule, error) {
	var all []Rule
	err := s.view(func(tx *tx) error {
		return tx.each(bRules, nil, func(_, v []byte) error {
			var r Rule
			err := json.Unmarshal(v, &r)
			all = append(all, r)
			return err
		})
	})
	return all, err
}

// RuleAbout finds the rule that applies to mail from the senders for an account;
// nil is that there is none. The account's own come before those for all, in each
// those about an address before those about its domain, and the first sender
// before the others.
func (s *Store) RuleAbout(id AccountID, senders ...Address) (*Rule, error) {
	var found *Rule
	err := s.view(func(tx *tx) error {
		b := tx.Bucket(bRules)
		for _, owner := range []AccountID{id, 0} {
			for _, name := range []func(Address) string{func(a Address) string { return string(a) }, Address.Domain} {
				for _, a := range senders {
					if v := b.Get(nameKey(owner, name(a))); v != nil {
						found = new(Rule)
						return json.Unmarshal(v, found)
					}
				}
			}
		}
		return nil
	})
	return found, err
}
