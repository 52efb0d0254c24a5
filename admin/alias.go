package admin

import (
	"context"
	"fmt"
	"io"
	"strings"

	"roost/mailbox"
)

// Alias is an alias as the office shows it.
type Alias struct {
	Address string   `json:"address" table:"ALIAS"`
	To      []string `json:"to" table:"TO"`
}

// Text tells what was made.
func (a Alias) Text(w io.Writer, _ any) error {
	_, err := fmt.Fprintf(w, "Mail to %s goes to %s.\n", a.Address, strings.Join(a.To, ", "))
	return err
}

type aliasAddArgs struct {
	Address string   `json:"address" arg:"" help:"The new address."`
	To      []string `json:"to" arg:"" help:"Where its mail goes: one or more addresses of this server."`
}

func aliasAdd(ctx context.Context, o *Office, a *aliasAddArgs) (Alias, error) {
	addr, err := mailbox.ParseAddress(a.Address)
	if err != nil {
		return Alias{}, err
	}
	var to []mailbox.Address
	made := Alias{Address: string(addr)}
	for _, text := range a.To {
		t, err := mailbox.ParseAddress(text)
		if err != nil {
			return Alias{}, err
		}
		if _, err := o.Store.Domain(t.Domain()); err != nil {
			return Alias{}, errorf(Invalid, "there is no account or alias %s here, and mail can't be forwarded to outside yet", t)
		}
		to, made.To = append(to, t), append(made.To, string(t))
	}
	have, err := aliasList(ctx, o, nil)
	if err != nil {
		return Alias{}, err
	}
	for _, h := range have {
		if h.Address == made.Address {
			return Alias{}, errorf(Exists, "%s exists already and goes to %s; remove it first", addr, strings.Join(h.To, ", "))
		}
	}
	return made, o.Store.SetAlias(ctx, mailbox.Alias{Address: addr, To: to})
}

func aliasList(_ context.Context, o *Office, _ *struct{}) ([]Alias, error) {
	all, err := o.Store.Aliases()
	var list []Alias
	for _, a := range all {
		shown := Alias{Address: string(a.Address)}
		for _, t := range a.To {
			shown.To = append(shown.To, string(t))
		}
		list = append(list, shown)
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
