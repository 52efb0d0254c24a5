package admin

import (
	"context"
	"time"

	"roost/mailbox"
)

// PanelPath is where the panel lies on the web listeners.
const PanelPath = "/panel/"

// EnterPath is where a browser shows the secret of a sign-in link.
const EnterPath = PanelPath + "enter"

// signInLinkGood is how long a sign-in link waits to be followed.
const signInLinkGood = 12 * time.Hour

// SignInLink makes a link that signs an account in once, within twelve hours. It is a
// path with a query; the caller puts the web listener's address before it. ErrNotFound.
func (o *Office) SignInLink(ctx context.Context, addr mailbox.Address) (string, error) {
	a, err := o.Store.Account(addr)
	if err != nil {
		return "", err
	}
	secret, err := o.Store.NewToken(ctx, mailbox.TokenSignIn, a.ID, signInLinkGood)
	return EnterPath + "?token=" + secret, err
}
