package admin

import (
	"context"
	"fmt"
	"io"

	"roost/admin/canary"
	"roost/mailbox"
)

// Tested is the result of "test".
type Tested struct {
	To string `json:"to"`
	canary.Receipt
}

// Text tells where to look.
func (t Tested) Text(w io.Writer, _ any) error {
	_, err := fmt.Fprintf(w, "A message for %s was taken: %s\n", t.To, t.Reply)
	return err
}

func test(ctx context.Context, o *Office, a *accountArgs) (Tested, error) {
	addr, err := mailbox.ParseAddress(a.Address)
	if err != nil {
		return Tested{}, err
	}
	if _, err := o.Store.Account(addr); err != nil {
		return Tested{}, err
	}
	for _, l := range o.Listeners {
		if l.Name != "smtp" {
			continue
		}
		receipt, err := canary.Test{Address: l.Address, Host: o.Hostname(), To: string(addr)}.Send(ctx)
		return Tested{string(addr), receipt}, err
	}
	if !o.Running {
		return Tested{}, errorf(Invalid, "no server runs on %s: start `roost serve` first", o.Store.Dir())
	}
	return Tested{}, errorf(Invalid, "the door for mail from other servers is closed: start Roost without --smtp off")
}
