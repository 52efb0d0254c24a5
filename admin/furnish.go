package admin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"roost/mailbox"
)

// What `roost local` begins with: a domain that no mail can reach from outside (RFC 6761
// section 6.3), and the password of its two accounts, me, who is the administrator, and you.
const (
	LocalDomain   = "roost.localhost"
	LocalPassword = "roost"
)

// Furnish makes the domain and the accounts of `roost local` where there are no accounts
// yet, and otherwise changes nothing. It refuses the store of a server that was set up
// in another way.
func (o *Office) Furnish(ctx context.Context) error {
	domains, err := o.Store.Domains()
	if err != nil {
		return err
	}
	if len(domains) > 0 && !slices.ContainsFunc(domains, func(d mailbox.Domain) bool { return d.Name == LocalDomain }) {
		return errorf(Invalid, "%s is the data directory of a server for %s: name another with --data DIR", o.Store.Dir(), domains[0].Name)
	}
	accounts, err := o.Store.Accounts()
	if err != nil || len(accounts) > 0 {
		return err
	}
	if _, err := o.Store.AddDomain(ctx, LocalDomain); err != nil && !errors.Is(err, mailbox.ErrExists) {
		return err
	}
	err = o.Store.ChangeSettings(ctx, func(s *mailbox.Settings) error {
		s.Hostname = LocalDomain
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range []string{"you", "me"} {
		addr := mailbox.Address(name + "@" + LocalDomain)
		_, err := o.Store.CreateAccount(ctx, mailbox.NewAccount{Address: addr, Password: LocalPassword, Admin: name == "me"})
		if err != nil {
			return fmt.Errorf("make %s: %w", addr, err)
		}
	}
	return nil
}

// RefuseFurnished is an error when everybody knows the password of an account, because
// Furnish made it: such a store is not for the open world.
func (o *Office) RefuseFurnished(ctx context.Context) error {
	for _, name := range []string{"you", "me"} {
		if _, err := o.Store.Login(ctx, netip.Addr{}, name+"@"+LocalDomain, LocalPassword); err == nil {
			return errorf(Invalid, "%s was made by `roost local`, and everybody knows the password of %s@%s: name another data directory with --data DIR", o.Store.Dir(), name, LocalDomain)
		} else if !errors.Is(err, mailbox.ErrLogin) {
			return err
		}
	}
	return nil
}
