package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"roost/mailbox"
)

// Sending is what an account may send to other domains within 24 hours, and has sent.
type Sending struct {
	Account    string    `json:"account,omitempty"` // empty: it holds for all
	Messages   int       `json:"messages"`
	Recipients int       `json:"new_recipients"`
	Most       int       `json:"most_messages"`       // 0: no limit
	MostNew    int       `json:"most_new_recipients"` // 0: no limit
	Own        bool      `json:"own"`                 // the account has limits of its own
	Until      time.Time `json:"until,omitzero"`      // when the counting begins anew
	Frozen     []Frozen  `json:"frozen"`
}

// Frozen is a device that may not send, as it suddenly wanted to send much.
type Frozen struct {
	Account string    `json:"account"`
	Device  string    `json:"device"` // its id; empty: the account's own password
	Name    string    `json:"name"`
	Since   time.Time `json:"since"`
	Why     string    `json:"why"`
}

// Text is a line for each.
func (s Sending) Text(w io.Writer, _ any) error {
	var b strings.Builder
	if s.Account == "" {
		fmt.Fprintf(&b, "messages in 24 hours: %s\nnew recipients in 24 hours: %s\n", most(s.Most), most(s.MostNew))
		_, err := io.WriteString(w, b.String())
		return err
	}
	fmt.Fprintf(&b, "messages sent: %d (%s)\nnew recipients: %d (%s)\n", s.Messages, most(s.Most), s.Recipients, most(s.MostNew))
	if !s.Until.IsZero() {
		fmt.Fprintf(&b, "counted anew: %s\n", s.Until.Format("2006-01-02 15:04 UTC"))
	}
	for _, f := range s.Frozen {
		fmt.Fprintf(&b, "%s\n", f)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

type sendingShowArgs struct {
	Account string `json:"account" arg:"" optional:"" help:"The address of the account; without it, what holds for all."`
}

func (a sendingShowArgs) subject() string { return a.Account }

func sendingShow(_ context.Context, o *Office, a *sendingShowArgs) (Sending, error) {
	unlimited := func(n int) int { return max(n, 0) }
	v, err := o.Store.Settings()
	if err != nil {
		return Sending{}, err
	}
	if a.Account == "" {
		l := v.SendLimits(&mailbox.Account{})
		return Sending{Most: unlimited(l.Messages), MostNew: unlimited(l.Strangers)}, nil
	}
	account, err := accountOf(o, a.Account)
	if err != nil {
		return Sending{}, err
	}
	sent, err := o.Store.Sent(account.ID)
	if err != nil {
		return Sending{}, err
	}
	s := Sending{
		Account: string(account.Address), Messages: sent.Messages, Recipients: sent.Strangers,
		Most: unlimited(sent.Limits.Messages), MostNew: unlimited(sent.Limits.Strangers),
		Own: account.Sending != mailbox.SendLimits{}, Until: sent.Until,
	}
	s.Frozen, err = frozen(o, account)
	return s, err
}

// frozen lists the devices of an account that may not send.
func frozen(o *Office, account mailbox.Account) ([]Frozen, error) {
	all, err := o.Store.Frozen(account.ID)
	if err != nil {
		return nil, err
	}
	devices, err := o.Store.Devices(account.Address)
	list := []Frozen{}
	for _, f := range all {
		name := "the account's own password"
		for _, d := range devices {
			if d.ID == f.Device {
				name = d.Name
			}
		}
		list = append(list, Frozen{string(account.Address), f.Device, name, f.Since, f.Why})
	}
	return list, err
}

type sendingSetArgs struct {
	Account    string `json:"account" arg:"" optional:"" help:"The address of the account; without it, it is set for all that have no limit of their own."`
	Messages   string `json:"messages,omitempty" placeholder:"NUMBER" help:"How many messages may be sent in 24 hours; none is no limit, default what holds otherwise."`
	Recipients string `json:"new_recipients,omitempty" name:"new-recipients" placeholder:"NUMBER" help:"To how many addresses that were never written to, and never wrote; none and default as above."`
}

// Help is shown below the one line of the list.
func (sendingSetArgs) Help() string {
	return fmt.Sprintf("The limits keep a stolen password from ruining the name of this server. By default they are %d messages and %d new recipients. "+
		"Mail beyond is put off, and the sender is told until when. A device that suddenly sends much is frozen long before; without a limit it is not watched.",
		mailbox.DailyMessages, mailbox.DailyStrangers)
}

func sendingSet(ctx context.Context, o *Office, a *sendingSetArgs) (Sending, error) {
	change := func(l *mailbox.SendLimits) error {
		return errors.Join(setLimit(&l.Messages, a.Messages), setLimit(&l.Strangers, a.Recipients))
	}
	if a.Messages == "" && a.Recipients == "" {
		return Sending{}, errorf(Invalid, "say what to set: --messages, --new-recipients")
	}
	var err error
	if a.Account == "" {
		err = o.Store.ChangeSettings(ctx, func(v *mailbox.Settings) error { return change(&v.Sending) })
	} else {
		var addr mailbox.Address
		if addr, err = mailbox.ParseAddress(a.Account); err == nil {
			_, err = o.Store.ChangeAccount(ctx, addr, func(row *mailbox.Account) error { return change(&row.Sending) })
		}
	}
	if err != nil {
		return Sending{}, err
	}
	return sendingShow(ctx, o, &sendingShowArgs{a.Account})
}

// setLimit reads a limit as people give it, and leaves it where they do not: none is
// less than 0, default is 0.
func setLimit(n *int, text string) error {
	switch {
	case text == "":
	case strings.EqualFold(text, none):
		*n = -1
	case strings.EqualFold(text, "default"):
		*n = 0
	default:
		given, err := strconv.Atoi(text)
		if err != nil || given < 1 || given > 1_000_000 {
			return errorf(Invalid, "%q is not a number from 1 to 1000000, and neither none nor default", text)
		}
		*n = given
	}
	return nil
}

// most tells of a limit, 0 being none.
func most(n int) string {
	if n == 0 {
		return "no limit"
	}
	return "at most " + strconv.Itoa(n)
}

// String is the same wherever it is told.
func (f Frozen) String() string {
	return fmt.Sprintf("Sending is frozen for %s of %s since %s: %s", f.Name, f.Account, f.Since.Format("2006-01-02 15:04 UTC"), f.Why)
}

type unfreezeArgs struct {
	accountArgs
	Device string `json:"device" arg:"" optional:"" help:"The name or the id of the device; without it, the account's own password."`
}

func deviceUnfreeze(ctx context.Context, o *Office, a *unfreezeArgs) (Done, error) {
	account, err := accountOf(o, a.Address)
	if err != nil {
		return Done{}, err
	}
	all, err := frozen(o, account)
	if err != nil {
		return Done{}, err
	}
	for _, f := range all {
		if f.Device == a.Device || a.Device != "" && strings.EqualFold(f.Name, strings.TrimSpace(a.Device)) {
			return done("Mail can be sent with %s of %s again.", f.Name, account.Address), o.Store.Unfreeze(ctx, account.ID, f.Device)
		}
	}
	if a.Device == "" {
		return Done{}, errorf(NotFound, "sending is not frozen for the own password of %s", account.Address)
	}
	return Done{}, errorf(NotFound, "sending is not frozen for a device %s of %s", a.Device, account.Address)
}
