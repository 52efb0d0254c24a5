package panel

import (
	"errors"
	"slices"

	"roost/mailbox"
)

// offer is what can be said once about the sender of a message that was refused, or put
// into Junk: that such mail is to be let in.
type offer struct {
	Sender  string
	Refused bool       // else it is in Junk
	For     []offerFor // whose mail it would be let in to
	Already []string   // for whom it is let in already
}

type offerFor struct {
	Account string // empty: everybody here
	Whom    string
}

// maxOffers bounds the accounts that an administrator is asked about.
const maxOffers = 5

// offer finds what a visitor may say about the sender of a message; nil is nothing. A
// person speaks for the own account, an administrator for those that the message went
// to, and for all.
func (v *visit) offer(lines []mailbox.Line) (*offer, error) {
	i := slices.IndexFunc(lines, func(l mailbox.Line) bool { return l.Judged != "" && l.Author != "" })
	if i < 0 {
		return nil, nil
	}
	l := lines[i]
	sender, err := mailbox.ParseAddress(l.Author)
	if err != nil {
		return nil, nil // cut, as it was too long
	}
	o := &offer{Sender: string(sender), Refused: l.Event == mailbox.Refused}
	accounts := []mailbox.Account{v.account}
	if v.account.Admin {
		if accounts, err = v.recipients(l); err != nil {
			return nil, err
		}
		accounts = append(accounts, mailbox.Account{})
	}
	for _, a := range accounts {
		rule, err := v.store.RuleAbout(a.ID, sender)
		if err != nil {
			return nil, err
		}
		whom := string(a.Address)
		if a.ID == 0 {
			whom = "everybody here"
		}
		if rule != nil && !rule.Block {
			o.Already = append(o.Already, whom)
			continue
		}
		o.For = append(o.For, offerFor{string(a.Address), whom})
	}
	return o, nil
}

// recipients are the accounts that a message was for, as addresses lead now.
func (v *visit) recipients(l mailbox.Line) ([]mailbox.Account, error) {
	var all []mailbox.Account
	for _, to := range l.To {
		addr, err := mailbox.ParseAddress(to)
		if err != nil {
			continue
		}
		route, err := v.store.Resolve(addr)
		switch {
		case errors.Is(err, mailbox.ErrNotFound), errors.Is(err, mailbox.ErrForeign), errors.Is(err, mailbox.ErrDisabled), errors.Is(err, mailbox.ErrExpired):
			continue
		case err != nil:
			return nil, err
		}
		for _, r := range route.Local {
			if len(all) < maxOffers && !slices.ContainsFunc(all, func(a mailbox.Account) bool { return a.ID == r.Account.ID }) {
				all = append(all, r.Account)
			}
		}
	}
	return all, nil
}
