package admin

import (
	"context"
	"fmt"
	"io"
	"time"

	"roost/mailbox"
)

// Rule is what was said about mail from a sender, as the office shows it.
type Rule struct {
	Sender  string    `json:"sender" table:"SENDER"`
	Mail    string    `json:"mail" table:"MAIL"`                 // "let in" or "refused"
	Account string    `json:"account,omitempty" table:"ACCOUNT"` // empty: for all
	Created time.Time `json:"created" table:"SINCE"`
}

// Text tells what holds from now on.
func (r Rule) Text(w io.Writer, _ any) error {
	whom := "everybody here"
	if r.Account != "" {
		whom = r.Account
	}
	_, err := fmt.Fprintf(w, "From now on mail from %s to %s is %s.\n", r.Sender, whom, r.Mail)
	return err
}

type ruleArgs struct {
	Sender  string `json:"sender" arg:"" help:"An address, or a domain for all its addresses."`
	Account string `json:"account,omitempty" help:"Only for mail to this account; else to everybody here."`
}

func (a ruleArgs) subject() string { return a.Account }

// about finds whose rule is meant.
func (a ruleArgs) about(o *Office) (mailbox.Account, error) {
	if a.Account == "" {
		return mailbox.Account{}, nil
	}
	addr, err := mailbox.ParseAddress(a.Account)
	if err != nil {
		return mailbox.Account{}, err
	}
	return o.Store.Account(addr)
}

func (a ruleArgs) set(ctx context.Context, o *Office, block bool) (Rule, error) {
	who, err := a.about(o)
	if err != nil {
		return Rule{}, err
	}
	sender, err := mailbox.ParseSender(a.Sender)
	if err != nil {
		return Rule{}, err
	}
	r := mailbox.Rule{Account: who.ID, Sender: sender, Block: block, Created: time.Now().UTC().Truncate(time.Second)}
	return shownRule(r, string(who.Address)), o.Store.SetRule(ctx, r)
}

func shownRule(r mailbox.Rule, account string) Rule {
	shown := Rule{Sender: r.Sender, Mail: "let in", Account: account, Created: r.Created}
	if r.Block {
		shown.Mail = "refused"
	}
	return shown
}

func allow(ctx context.Context, o *Office, a *ruleArgs) (Rule, error) { return a.set(ctx, o, false) }

func block(ctx context.Context, o *Office, a *ruleArgs) (Rule, error) { return a.set(ctx, o, true) }

type ruleListArgs struct {
	Account string `json:"account,omitempty" help:"Only the rules of this account; else all rules."`
}

func (a ruleListArgs) subject() string { return a.Account }

func ruleList(_ context.Context, o *Office, a *ruleListArgs) ([]Rule, error) {
	who, err := ruleArgs{Account: a.Account}.about(o)
	if err != nil {
		return nil, err
	}
	all, err := o.Store.Rules()
	if err != nil {
		return nil, err
	}
	accounts, err := o.Store.Accounts()
	names := map[mailbox.AccountID]string{}
	for _, a := range accounts {
		names[a.ID] = string(a.Address)
	}
	var list []Rule
	for _, r := range all {
		if a.Account != "" && r.Account != who.ID {
			continue
		}
		list = append(list, shownRule(r, names[r.Account]))
	}
	return list, err
}

func ruleRemove(ctx context.Context, o *Office, a *ruleArgs) (Done, error) {
	who, err := a.about(o)
	if err != nil {
		return Done{}, err
	}
	return done("The rule about %s is removed.", a.Sender), o.Store.RemoveRule(ctx, who.ID, a.Sender)
}
