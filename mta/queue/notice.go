package queue

import (
	"fmt"
	"time"

	"roost/mailbox"
	"roost/mailbox/message"
	"roost/mta/dsn"
	"roost/mta/smtp"
)

// delayAfter is how old mail is when a sender who asked for it is told that it
// takes long: once.
const delayAfter = 4 * time.Hour

// report picks of whom the sender is to be told (RFC 3461 section 5.2, 6.2):
// failures unless they were not wanted, and where they were asked for, delays
// and what was handed to a server that does not take over the telling. It
// marks those that wait, so that a delay is told once.
func (v *verdict) report(o *mailbox.Outgoing, now time.Time) []dsn.Recipient {
	var tell []dsn.Recipient
	add := func(f *fate, a dsn.Action) *dsn.Recipient {
		tell = append(tell, dsn.Recipient{
			Address: f.To, Original: f.row.Original, Action: a,
			Reply: f.Reply, Host: f.Host, Last: o.Attempted,
		})
		return &tell[len(tell)-1]
	}
	for i := range v.failed {
		if f := &v.failed[i]; f.wants(smtp.NotifyFailure) {
			r := add(f, dsn.Failed)
			if f.expired {
				r.Days = int(maxAge.Hours()) / 24
			}
		}
	}
	for i := range v.waiting {
		if f := &v.waiting[i]; f.wants(smtp.NotifyDelay) && !f.row.Delayed && now.Sub(o.Created) >= delayAfter {
			f.row.Delayed = true
			add(f, dsn.Delayed).Until = o.Created.Add(maxAge)
		}
	}
	for i := range v.delivered {
		if f := &v.delivered[i]; f.wants(smtp.NotifySuccess) && !f.Notifies {
			add(f, dsn.Relayed)
		}
	}
	return tell
}

// notice writes the notification that tells the sender of a row of some of its
// recipients, ready to go into the account's INBOX, or, of mail that was forwarded,
// to where it came from. The caller closes its Body.
func (r *Runner) notice(o *mailbox.Outgoing, tell []dsn.Recipient) (*mailbox.Intake, error) {
	sender := path(o.From)
	if o.Account == 0 {
		sender = path(o.Sender)
	}
	n := dsn.New(sender, r.Hostname())
	n.Stranger = o.Account == 0
	n.EnvelopeID, n.Arrival, n.Recipients, n.EightBit = o.EnvelopeID, o.Created, tell, o.EightBit
	// A body that cannot be read must not keep the sender from being told.
	if body, err := r.Store.OutgoingBody(o); err == nil {
		if h, err := message.ReadHeader(body); err == nil {
			n.Header = h
			if o.Return == string(smtp.ReturnFull) {
				if _, err := body.Seek(0, 0); err == nil {
					n.Full, n.FullSize = body, o.Size
				}
			}
		}
	}
	spool := r.Store.NewSpool(0)
	if err := n.Write(spool); err != nil {
		spool.Close()
		return nil, fmt.Errorf("write the notification: %w", err)
	}
	if o.Account == 0 {
		return &mailbox.Intake{Body: spool, Queue: []mailbox.Outgoing{{
			Domain: sender.Domain, Recipients: []mailbox.Recipient{{Address: o.Sender}},
			EightBit: true, UTF8: !sender.ASCII() || n.International(),
			RequireTLS: o.RequireTLS, // RFC 8689 5
		}}}, nil
	}
	return &mailbox.Intake{
		Body: spool,
		Place: []mailbox.Placement{{
			Account: o.Account,
			// RFC 5321 section 4.4: final delivery puts the reverse-path in front.
			Prefix:    []byte("Return-Path: <>\r\n"),
			Uncounted: true,
		}},
		Journal: []mailbox.Line{{
			Event: mailbox.Received, Account: o.Account, To: []string{o.From}, Size: spool.Size(),
			Subject: n.Subject(), MessageID: n.MessageID(), Detail: []string{"a notification of our own, about " + o.Body.String()},
		}},
	}, nil
}
