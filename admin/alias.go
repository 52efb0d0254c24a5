package admin

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"roost/mailbox"
)

// Alias is an alias as the office shows it.
type Alias struct {
	Address string    `json:"address" table:"ALIAS"`
	To      []string  `json:"to" table:"TO"`
	Expires time.Time `json:"expires,omitzero" table:"EXPIRES"` // zero: never
}

// Text tells what was made.
func (a Alias) Text(w io.Writer, _ any) error {
	until := ""
	if !a.Expires.IsZero() {
		until = " until " + a.Expires.Format(time.DateTime) + " UTC"
	}
	_, err := fmt.Fprintf(w, "Mail to %s goes to %s%s.\n", a.Address, strings.Join(a.To, ", "), until)
	return err
}

func shownAlias(a mailbox.Alias) Alias {
	shown := Alias{Address: string(a.Address), Expires: a.Expires}
	for _, t := range a.To {
		shown.To = append(shown.To, string(t))
	}
	return shown
}

type aliasAddArgs struct {
	Address string   `json:"address" arg:"" help:"The new address."`
	To      []string `json:"to" arg:"" help:"Where its mail goes: one or more addresses, of this server or elsewhere."`
	Expires string   `json:"expires" placeholder:"DATE" help:"The last day that mail to it is taken, as 2027-12-31, in UTC."`
}

func aliasAdd(ctx context.Context, o *Office, a *aliasAddArgs) (Alias, error) {
	addr, err := mailbox.ParseAddress(a.Address)
	if err != nil {
		return Alias{}, err
	}
	made := mailbox.Alias{Address: addr}
	if made.To, err = targets(a.To); err != nil {
		return Alias{}, err
	}
	if made.Expires, err = after(a.Expires); err != nil {
		return Alias{}, err
	}
	have, err := o.alias(addr)
	switch {
	case err == nil:
		return Alias{}, errorf(Exists, "%s exists already and goes to %s; remove it first, or change it: roost alias set", addr, strings.Join(shownAlias(have).To, ", "))
	case Explain(err).Kind != NotFound:
		return Alias{}, err
	}
	return shownAlias(made), o.Store.SetAlias(ctx, made)
}

type aliasSetArgs struct {
	Address string   `json:"address" arg:"" help:"The address of the alias."`
	To      []string `json:"to" arg:"" optional:"" help:"Where its mail goes from now on; without any, where it went."`
	Expires string   `json:"expires" placeholder:"DATE" help:"The last day that mail to it is taken, as 2027-12-31, in UTC, or never. Without it that stays as it is."`
}

func aliasSet(ctx context.Context, o *Office, a *aliasSetArgs) (Alias, error) {
	addr, err := mailbox.ParseAddress(a.Address)
	if err != nil {
		return Alias{}, err
	}
	changed, err := o.alias(addr)
	if err != nil {
		return Alias{}, err
	}
	if len(a.To) > 0 {
		if changed.To, err = targets(a.To); err != nil {
			return Alias{}, err
		}
	}
	switch a.Expires {
	case "":
	case "never":
		changed.Expires = time.Time{}
	default:
		if changed.Expires, err = after(a.Expires); err != nil {
			return Alias{}, err
		}
	}
	return shownAlias(changed), o.Store.SetAlias(ctx, changed)
}

// alias finds an alias.
func (o *Office) alias(addr mailbox.Address) (mailbox.Alias, error) {
	all, err := o.Store.Aliases()
	for _, a := range all {
		if a.Address == addr {
			return a, err
		}
	}
	if err == nil {
		err = errorf(NotFound, "there is no alias %s", addr)
	}
	return mailbox.Alias{}, err
}

// targets reads addresses that mail can go to, here or elsewhere.
func targets(texts []string) ([]mailbox.Address, error) {
	var to []mailbox.Address
	for _, text := range texts {
		t, err := mailbox.ParseTarget(text)
		if err != nil {
			return nil, err
		}
		to = append(to, t)
	}
	return to, nil
}

// after is the moment that a day is over, in UTC; of no day zero.
func after(day string) (time.Time, error) {
	if day == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return t, errorf(Invalid, "%q is not a day; write it as 2027-12-31", day)
	}
	return t.AddDate(0, 0, 1), nil
}

func aliasList(_ context.Context, o *Office, _ *struct{}) ([]Alias, error) {
	all, err := o.Store.Aliases()
	var list []Alias
	for _, a := range all {
		list = append(list, shownAlias(a))
	}
	return list, err
}

type aliasArgs struct {
	Address string `json:"address" arg:"" help:"The address of the alias."`
}

func aliasRemove(ctx context.Context, o *Office, a *aliasArgs) (Done, error) {
	addr, err := mailbox.ParseAddress(a.Address)
	if err != nil {
		return Done{}, err
	}
	return done("The alias %s is removed.", addr), o.Store.RemoveAlias(ctx, addr)
}
