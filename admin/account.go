package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"roost/mailbox"
)

// Done is the result of an operation that has nothing to show.
type Done struct {
	Message string `json:"message"`
}

func done(format string, args ...any) Done { return Done{fmt.Sprintf(format, args...)} }

// Text is the message.
func (d Done) Text(w io.Writer, _ any) error {
	_, err := fmt.Fprintln(w, d.Message)
	return err
}

// Account is an account as the office shows it.
type Account struct {
	Address  string    `json:"address" table:"ADDRESS"`
	Admin    bool      `json:"admin" table:"ADMIN"`
	Messages int64     `json:"messages" table:"MESSAGES"`
	Bytes    int64     `json:"bytes" table:"BYTES"`
	Created  time.Time `json:"created" table:"SINCE"`
	Disabled bool      `json:"disabled" table:"DISABLED"`
	AppOnly  bool      `json:"app_only" table:"APP ONLY"`
}

type accountArgs struct {
	Address string `json:"address" arg:"" help:"The address of the account."`
}

func (a accountArgs) subject() string { return a.Address }

type accountAddArgs struct {
	Address  string `json:"address" arg:"" help:"The address, which is also the login name."`
	Admin    bool   `json:"admin" help:"An administrator: may do everything, and gets mail to postmaster."`
	Password Secret `json:"password" name:"password-stdin" help:"Read the password from the first line of standard input."`
}

// Help is shown below the one line of the list.
func (accountAddArgs) Help() string {
	return "The first account is an administrator.\n\n" + passwordHelp
}

const passwordHelp = "At a terminal the password is asked for, twice. " +
	"Elsewhere, or when nothing is typed, one is made up and shown once."

// AccountAdded is the result of "account add" and "account password".
type AccountAdded struct {
	Address  string `json:"address"`
	Admin    bool   `json:"admin"`
	Password string `json:"password,omitempty"` // only one that was made up
	New      bool   `json:"new"`
}

// Text shows the password that was made up.
func (a AccountAdded) Text(w io.Writer, _ any) error {
	text := a.Address + " has a new password."
	if a.New {
		text = a.Address + " added."
		if a.Admin {
			text = a.Address + " added as an administrator."
		}
	}
	if a.Password != "" {
		text += "\nPassword, shown only now: " + a.Password
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// password returns the one given, or one that it makes up: 80 random bits, easily read
// out and typed.
func password(given Secret) (word, madeUp string) {
	if given != "" {
		return string(given), ""
	}
	text := strings.ToLower(rand.Text())
	madeUp = text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:16]
	return madeUp, madeUp
}

func accountAdd(ctx context.Context, o *Office, a *accountAddArgs) (AccountAdded, error) {
	addr, err := mailbox.ParseAddress(a.Address)
	if err != nil {
		return AccountAdded{}, err
	}
	all, err := o.Store.Accounts()
	if err != nil {
		return AccountAdded{}, err
	}
	word, madeUp := password(a.Password)
	// RFC 5321 section 4.5.1: postmaster must reach somebody.
	admin := a.Admin || len(all) == 0
	_, err = o.Store.CreateAccount(ctx, mailbox.NewAccount{Address: addr, Password: word, Admin: admin})
	return AccountAdded{string(addr), admin, madeUp, true}, err
}

func accountList(_ context.Context, o *Office, _ *struct{}) ([]Account, error) {
	all, err := o.Store.Accounts()
	if err != nil {
		return nil, err
	}
	var list []Account
	for _, a := range all {
		u, err := o.Store.AccountUsage(a.ID)
		if errors.Is(err, mailbox.ErrNotFound) {
			continue // removed a moment ago
		}
		if err != nil {
			return nil, err
		}
		list = append(list, Account{string(a.Address), a.Admin, u.Messages, u.Bytes, a.Created, a.Disabled, a.AppOnly})
	}
	return list, nil
}

// change lets f change an account.
func (a accountArgs) change(ctx context.Context, o *Office, text string, f func(*mailbox.Account)) (Done, error) {
	addr, err := mailbox.ParseAddress(a.Address)
	if err != nil {
		return Done{}, err
	}
	_, err = o.Store.ChangeAccount(ctx, addr, func(a *mailbox.Account) error { f(a); return nil })
	return done(text, addr), err
}

func accountPromote(ctx context.Context, o *Office, a *accountArgs) (Done, error) {
	return a.change(ctx, o, "%s is an administrator.", func(a *mailbox.Account) { a.Admin = true })
}

func accountDemote(ctx context.Context, o *Office, a *accountArgs) (Done, error) {
	return a.change(ctx, o, "%s is no administrator.", func(a *mailbox.Account) { a.Admin = false })
}

func accountDisable(ctx context.Context, o *Office, a *accountArgs) (Done, error) {
	return a.change(ctx, o, "%s is disabled.", func(a *mailbox.Account) { a.Disabled = true })
}

func accountEnable(ctx context.Context, o *Office, a *accountArgs) (Done, error) {
	return a.change(ctx, o, "%s is enabled.", func(a *mailbox.Account) { a.Disabled = false })
}

type accountRestrictArgs struct{ accountArgs }

// Help is shown below the one line of the list.
func (accountRestrictArgs) Help() string {
	return "Once this holds for every account that may log in, mail programs are offered SCRAM, " +
		"by which a password never leaves them, and which can only work with app passwords."
}

func accountRestrict(ctx context.Context, o *Office, a *accountRestrictArgs) (Done, error) {
	return a.change(ctx, o, "Mail programs log in to %s with app passwords only.", func(a *mailbox.Account) { a.AppOnly = true })
}

func accountRelax(ctx context.Context, o *Office, a *accountArgs) (Done, error) {
	return a.change(ctx, o, "Mail programs may log in to %s with its own password, too.", func(a *mailbox.Account) { a.AppOnly = false })
}

type accountHideArgs struct {
	accountArgs
	Capabilities []string `json:"capabilities" arg:"" help:"What is hidden from now on, such as QRESYNC; none: nothing is."`
}

// Help is shown below the one line of the list.
func (accountHideArgs) Help() string {
	return "A program that stumbles over a capability of IMAP does without it once it is hidden. " +
		"It is neither listed nor enabled from the next login on; its commands still work."
}

func accountHide(ctx context.Context, o *Office, a *accountHideArgs) (Done, error) {
	hidden := make([]string, 0, len(a.Capabilities))
	for _, c := range a.Capabilities {
		hidden = append(hidden, strings.ToUpper(c))
	}
	text := "%s does not see " + strings.Join(hidden, ", ") + "."
	if len(hidden) == 1 && strings.EqualFold(hidden[0], none) {
		hidden, text = nil, "%s sees all capabilities."
	}
	return a.change(ctx, o, text, func(a *mailbox.Account) { a.Hidden = hidden })
}

type passwordArgs struct {
	accountArgs
	Password Secret `json:"password" name:"password-stdin" help:"Read the password from the first line of standard input."`
}

// Help is shown below the one line of the list.
func (passwordArgs) Help() string { return passwordHelp }

func accountPassword(ctx context.Context, o *Office, a *passwordArgs) (AccountAdded, error) {
	addr, err := mailbox.ParseAddress(a.Address)
	if err != nil {
		return AccountAdded{}, err
	}
	account, err := o.Store.Account(addr)
	if err != nil {
		return AccountAdded{}, err
	}
	word, madeUp := password(a.Password)
	return AccountAdded{string(addr), account.Admin, madeUp, false}, o.Store.SetPassword(ctx, addr, word)
}

type accountRemoveArgs struct {
	accountArgs
	Yes bool `json:"-" help:"Do not ask."`
}

// Question is what a person at a terminal is asked first; empty when there is no need.
func (a accountRemoveArgs) Question() string {
	if a.Yes {
		return ""
	}
	return fmt.Sprintf("Remove %s and all mail in it for good?", a.Address)
}

func accountRemove(ctx context.Context, o *Office, a *accountRemoveArgs) (Done, error) {
	addr, err := mailbox.ParseAddress(a.Address)
	if err != nil {
		return Done{}, err
	}
	return done("%s and all its mail removed.", addr), o.Store.RemoveAccount(ctx, addr)
}
