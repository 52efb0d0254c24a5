package mailbox

import (
	"slices"
	"strings"
	"time"
)

// Postmaster is the address without a domain that every SMTP server must take
// mail for (RFC 5321 4.5.1).
const Postmaster Address = "postmaster"

// Route is where the mail of one address goes.
type Route struct {
	Local   []Local
	Outside []Outside
	// Role says that this is a postmaster's or abuse's mail (RFC 5321 4.5.1, RFC
	// 2142), which is taken even where the mailboxes are full.
	Role bool
}

// Local is an account that an address leads to.
type Local struct {
	Account Account
	Detail  string // of the subaddress (RFC 5233), in lower case; often empty
}

// Outside is an address elsewhere that an alias of ours leads to.
type Outside struct {
	To    Address // its local part in the case that it was written in
	Alias Address // ours
}

// maxRouteSteps bounds the addresses that are looked at for one address, so
// that a recipient costs little, whatever aliases point to.
const maxRouteSteps = 1000

// Resolve tells where an address's mail goes: each account once, each address
// outside once, circles of aliases cut. An address is found by its own row; by
// that of the address without its subaddress, the longest first; if it is
// postmaster or abuse, with the administrators; by its domain's catch-all.
// Accounts and domains that are disabled, and aliases that have expired, are
// passed over as long as somebody is left.
//
// Errors: ErrForeign when the domain is not ours. When nobody is left:
// ErrDisabled when there is somebody whose account or domain is disabled,
// ErrExpired when an alias was good until a date, ErrNotFound when nobody has
// the address. ErrLimit when more than 1,000 addresses hang together.
func (s *Store) Resolve(addr Address) (Route, error) {
	var r *resolver
	err := s.view(func(tx *tx) (err error) {
		r, err = tx.resolve(addr)
		return err
	})
	if err != nil {
		return Route{}, err
	}
	return r.route, nil
}

// resolver is one walk from an address to those who get its mail.
type resolver struct {
	tx       *tx
	now      time.Time
	seen     map[Address]bool
	route    Route
	disabled bool // somebody was passed over
	expired  bool
}

func (tx *tx) resolve(addr Address) (*resolver, error) {
	r := &resolver{tx: tx, now: time.Now(), seen: make(map[Address]bool)}
	if addr == Postmaster {
		r.route.Role = true
	} else {
		d, err := tx.delivery(addr.Domain())
		if err != nil {
			return nil, err
		}
		if d == nil {
			return nil, faultf(ErrForeign, "the domain %s is not one of ours", addr.Domain())
		}
		r.route.Role = addr.isRole()
		if err := r.follow(addr, "", ""); err != nil {
			return nil, err
		}
	}
	if len(r.route.Local)+len(r.route.Outside) > 0 {
		return r, nil
	}
	switch {
	case r.route.Role:
		return r, r.administrators()
	case r.disabled:
		return nil, faultf(ErrDisabled, "%s is disabled", addr)
	case r.expired:
		return nil, faultf(ErrExpired, "the alias %s has expired", addr)
	}
	return nil, faultf(ErrNotFound, "there is no mailbox %s here", addr)
}

func (a Address) isRole() bool { return a.Local() == "postmaster" || a.Local() == "abuse" }

// follow walks on to addr, which alias leads to. The detail is what mail to the
// alias came with, and holds for those behind it too.
func (r *resolver) follow(addr Address, detail string, alias Address) error {
	if r.seen[addr] {
		return nil
	}
	if len(r.seen) == maxRouteSteps {
		return faultf(ErrLimit, "%s leads to more than %d addresses", alias, maxRouteSteps)
	}
	r.seen[addr] = true
	d, err := r.tx.delivery(addr.Domain())
	if err != nil {
		return err
	}
	if d == nil {
		r.route.Outside = append(r.route.Outside, Outside{addr, alias})
		return nil
	}
	if d.Disabled {
		r.disabled = true
		return nil
	}
	row, own, err := r.tx.lookup(addr.fold(), d.separators())
	if err != nil {
		return err
	}
	switch {
	case row == nil && addr.fold().isRole():
		return r.administrators()
	case row == nil && d.CatchAll != "":
		return r.follow(d.CatchAll, detail, addr)
	case row == nil:
		return nil
	case row.expired(r.now):
		r.expired = true
		return nil
	}
	if own != "" {
		detail = own
	}
	if row.Account != 0 {
		a, err := r.tx.account(row.Account)
		if err != nil {
			return err
		}
		return r.deliver(a, detail)
	}
	for _, t := range row.To {
		if err := r.follow(t, detail, addr); err != nil {
			return err
		}
	}
	return nil
}

func (r *resolver) deliver(a *accountRow, detail string) error {
	off, err := r.tx.disabled(a)
	switch {
	case err != nil:
		return err
	case off != nil:
		r.disabled = true
	case !r.has(a.ID):
		r.route.Local = append(r.route.Local, Local{a.Account, detail})
	}
	return nil
}

func (r *resolver) has(id AccountID) bool {
	return slices.ContainsFunc(r.route.Local, func(l Local) bool { return l.Account.ID == id })
}

// administrators are who gets a role's mail where nobody is named for it: those
// who may log in, or else the first account that there is, since somebody has
// to.
func (r *resolver) administrators() error {
	before := len(r.route.Local)
	var first *accountRow
	err := r.tx.eachAccount(func(row *accountRow) error {
		if first == nil || row.Admin && !first.Admin {
			first = row
		}
		if !row.Admin {
			return nil
		}
		return r.deliver(row, "")
	})
	if err == nil && len(r.route.Local) == before && first != nil && !r.has(first.ID) {
		r.route.Local = append(r.route.Local, Local{first.Account, ""})
	}
	if err == nil && first == nil {
		err = faultf(ErrNotFound, "there is no account here")
	}
	return err
}

// lookup finds the row of an address of one of our domains, or the one of the
// address without its subaddress, whose detail it tells. Nil: there is none.
func (tx *tx) lookup(addr Address, separators string) (row *addressRow, detail string, err error) {
	if row, err = tx.address(addr); row != nil || err != nil {
		return row, "", err
	}
	local := addr.Local()
	for end := len(local); ; {
		end = strings.LastIndexAny(local[:end], separators)
		if end < 1 {
			return nil, "", nil
		}
		if row, err = tx.address(Address(local[:end] + "@" + addr.Domain())); row != nil || err != nil {
			return row, local[end+1:], err
		}
	}
}

// delivery is what a walk needs to know of a domain: not its keys.
type delivery struct {
	CatchAll   Address `json:"catch_all"`
	Separators *string `json:"separators"`
	Disabled   bool    `json:"disabled"`
}

func (d *delivery) separators() string {
	if d.Separators == nil {
		return defaultSeparators
	}
	return *d.Separators
}

// delivery reads a domain's; nil when it is not ours.
func (tx *tx) delivery(domain string) (*delivery, error) {
	v := tx.Bucket(bDomains).Get([]byte(domain))
	if v == nil {
		return nil, nil
	}
	d, err := tx.memos.domains.parse(v)
	return &d, err
}

// disabled gives the reason why an account gets no mail and may not log in.
func (tx *tx) disabled(a *accountRow) (reason, err error) {
	if a.Disabled {
		return faultf(ErrDisabled, "the account %s is disabled; an administrator can enable it", a.Address), nil
	}
	d, err := tx.delivery(a.Address.Domain())
	if err == nil && d != nil && d.Disabled {
		reason = faultf(ErrDisabled, "the domain %s is disabled; an administrator can enable it", a.Address.Domain())
	}
	return reason, err
}

// MaySendAs tells whether mail from an account may carry the address as its
// sender: it may if the address's mail comes to it.
func (s *Store) MaySendAs(id AccountID, addr Address) (bool, error) {
	var ok bool
	err := s.view(func(tx *tx) error {
		r, err := tx.resolve(addr)
		switch kind := errorKind(err); kind {
		case nil:
			ok = r.has(id)
		case ErrForeign, ErrNotFound, ErrDisabled, ErrExpired:
			return nil
		}
		return err
	})
	return ok, err
}

// Senders lists the addresses that an account may send from: its own, then the
// aliases that lead to it. Those with a subaddress, and those that a catch-all
// or a role brings it, are left out.
func (s *Store) Senders(id AccountID) ([]Address, error) {
	var all []Address
	err := s.view(func(tx *tx) error {
		a, err := tx.account(id)
		if err != nil {
			return err
		}
		all = []Address{a.Address}
		return tx.Bucket(bAddresses).ForEach(func(k, _ []byte) error {
			if Address(k) == a.Address {
				return nil
			}
			r, err := tx.resolve(Address(k))
			switch errorKind(err) {
			case nil:
				if r.has(id) {
					all = append(all, Address(k))
				}
			case ErrForeign, ErrNotFound, ErrDisabled, ErrExpired, ErrLimit:
			default:
				return err
			}
			return nil
		})
	})
	return all, err
}
