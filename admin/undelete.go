package admin

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"roost/mailbox"
)

// Expunged is an expunged message as the office shows it.
type Expunged struct {
	When    time.Time `json:"when" table:"EXPUNGED"`
	Mailbox string    `json:"mailbox" table:"MAILBOX"`
	UID     uint32    `json:"uid" table:"UID"`
	Date    time.Time `json:"date" table:"DATE"`
	From    string    `json:"from" table:"FROM"`
	Subject string    `json:"subject" table:"SUBJECT"`
	Size    int64     `json:"size"`
}

// undeleteListed is how many messages are listed, the last ones.
const undeleteListed = 1000

func undeleteList(_ context.Context, o *Office, a *accountArgs) ([]Expunged, error) {
	account, err := accountOf(o, a.Address)
	if err != nil {
		return nil, err
	}
	all, err := o.Store.Undeletable(account.ID, undeleteListed)
	var list []Expunged
	for _, m := range all {
		list = append(list, Expunged{m.When, m.Mailbox, uint32(m.UID), m.Date, plain(m.From), plain(m.Subject), m.Size})
	}
	return list, err
}

// plain keeps what strangers wrote from moving a terminal's cursor.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

func accountOf(o *Office, address string) (mailbox.Account, error) {
	addr, err := mailbox.ParseAddress(address)
	if err != nil {
		return mailbox.Account{}, err
	}
	return o.Store.Account(addr)
}

type undeleteArgs struct {
	accountArgs
	Mailbox string   `json:"mailbox,omitempty" placeholder:"NAME" help:"Only those that were in this mailbox."`
	Since   string   `json:"since,omitempty" placeholder:"DURATION" help:"Only those that were expunged in this time up to now, such as 2h."`
	UID     []string `json:"uid,omitempty" placeholder:"UID" help:"Only those with these UIDs, as the list shows them; with --mailbox."`
}

// Undeleted is the result of "undelete restore".
type Undeleted struct {
	Messages int `json:"messages"`
}

// Text is one line.
func (u Undeleted) Text(w io.Writer, _ any) error {
	_, err := fmt.Fprintf(w, "%s back where they were.\n", count(u.Messages, "message"))
	return err
}

func undeleteRestore(ctx context.Context, o *Office, a *undeleteArgs) (Undeleted, error) {
	account, err := accountOf(o, a.Address)
	if err != nil {
		return Undeleted{}, err
	}
	if len(a.UID) > 0 && a.Mailbox == "" {
		return Undeleted{}, errorf(Invalid, "UIDs mean something in one mailbox only: name it with --mailbox")
	}
	u := mailbox.Undeletion{Mailbox: a.Mailbox}
	if a.Since != "" {
		ago, err := time.ParseDuration(a.Since)
		if err != nil || ago < 0 {
			return Undeleted{}, errorf(Invalid, "%q is not a time such as 90m or 48h", a.Since)
		}
		u.Since = time.Now().Add(-ago)
	}
	for _, text := range a.UID {
		uid, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return Undeleted{}, errorf(Invalid, "%q is not a UID", text)
		}
		u.UIDs = append(u.UIDs, mailbox.UID(uid))
	}
	slices.Sort(u.UIDs)
	n, err := o.Store.Undelete(ctx, account.ID, u)
	return Undeleted{n}, err
}

// Retention is how long messages are kept that nobody wants.
type Retention struct {
	Undelete int `json:"undelete_days"` // 0 is not at all
	Junk     int `json:"junk_days"`     // 0 is for ever
	Trash    int `json:"trash_days"`
}

// Text is a line for each.
func (r Retention) Text(w io.Writer, _ any) error {
	days := func(n int, none string) string {
		if n == 0 {
			return none
		}
		return count(n, "day")
	}
	_, err := fmt.Fprintf(w, "expunged messages can be had back: %s\nmessages stay in \\Junk: %s\nmessages stay in \\Trash: %s\n",
		days(r.Undelete, "no"), days(r.Junk, "for ever"), days(r.Trash, "for ever"))
	return err
}

func retentionShow(_ context.Context, o *Office, _ *struct{}) (Retention, error) {
	v, err := o.Store.Settings()
	return Retention{v.DaysKept(), v.DaysIn(mailbox.UseJunk), v.DaysIn(mailbox.UseTrash)}, err
}

type retentionArgs struct {
	Undelete string `json:"undelete,omitempty" placeholder:"DAYS" help:"How long expunged messages can be had back; 0 is not at all."`
	Junk     string `json:"junk,omitempty" placeholder:"DAYS" help:"How long messages stay in the mailbox \\Junk; 0 is for ever."`
	Trash    string `json:"trash,omitempty" placeholder:"DAYS" help:"How long messages stay in the mailbox \\Trash; 0 is for ever."`
}

func retentionSet(ctx context.Context, o *Office, a *retentionArgs) (Retention, error) {
	err := o.Store.ChangeSettings(ctx, func(v *mailbox.Settings) error {
		for _, f := range []struct {
			text string
			days *int
		}{{a.Undelete, &v.UndeleteDays}, {a.Junk, &v.JunkDays}, {a.Trash, &v.TrashDays}} {
			if f.text == "" {
				continue
			}
			n, err := strconv.Atoi(f.text)
			if err != nil || n < 0 || n > 36500 {
				return errorf(Invalid, "%q is not a number of days: 0 to 36500", f.text)
			}
			if *f.days = n; n == 0 {
				*f.days = -1
			}
		}
		return nil
	})
	if err != nil {
		return Retention{}, err
	}
	return retentionShow(ctx, o, nil)
}
