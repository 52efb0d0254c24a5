package admin

import (
	"context"
	"errors"
	"fmt"
	"io"

	"roost/mailbox"
)

// Reception is what one client, such as another server, may bring within an hour.
type Reception struct {
	Most           int `json:"most_messages"`   // 0: no limit
	MostRecipients int `json:"most_recipients"` // 0: no limit
}

// Text is a line for each.
func (r Reception) Text(w io.Writer, _ any) error {
	_, err := fmt.Fprintf(w, "messages in an hour from one address: %s\nrecipients in an hour from one address: %s\n", most(r.Most), most(r.MostRecipients))
	return err
}

func receptionShow(_ context.Context, o *Office, _ *struct{}) (Reception, error) {
	v, err := o.Store.Settings()
	l := v.ReceptionLimits()
	return Reception{max(l.Messages, 0), max(l.Recipients, 0)}, err
}

type receptionSetArgs struct {
	Messages   string `json:"messages,omitempty" placeholder:"NUMBER" help:"How many messages one address may bring in an hour; none is no limit, default what holds otherwise."`
	Recipients string `json:"recipients,omitempty" placeholder:"NUMBER" help:"For how many recipients in all; none and default as above."`
}

// Help is shown below the one line of the list.
func (receptionSetArgs) Help() string {
	return fmt.Sprintf("The limits keep one server from filling the disk. By default they are %d messages and %d recipients. "+
		"The network around an address may bring four times as much, and so may who lately brought mail of an author whom a recipient knows. "+
		"Mail beyond is put off, and the server that brings it is told until when. This machine itself has no limit.",
		mailbox.HourlyMessages, mailbox.HourlyRecipients)
}

func receptionSet(ctx context.Context, o *Office, a *receptionSetArgs) (Reception, error) {
	if a.Messages == "" && a.Recipients == "" {
		return Reception{}, errorf(Invalid, "say what to set: --messages, --recipients")
	}
	err := o.Store.ChangeSettings(ctx, func(v *mailbox.Settings) error {
		return errors.Join(setLimit(&v.Reception.Messages, a.Messages), setLimit(&v.Reception.Recipients, a.Recipients))
	})
	if err != nil {
		return Reception{}, err
	}
	return receptionShow(ctx, o, nil)
}
