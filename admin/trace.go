package admin

import (
	"context"
	"slices"
	"strings"
	"time"

	"roost/mailbox"
)

// Happening is a line of the journal as the office shows it.
type Happening struct {
	Time    time.Time `json:"time" table:"WHEN"`
	Event   string    `json:"event" table:"WHAT"`
	From    string    `json:"from" table:"FROM"` // empty: a notification, or nobody
	To      []string  `json:"to" table:"TO"`
	Subject string    `json:"subject,omitempty" table:"SUBJECT"`
	Said    string    `json:"said,omitempty" table:"SAID"` // the reply, or what else there is to say
	Remote  string    `json:"remote,omitempty" table:"BY"`
	Message string    `json:"message,omitempty" table:"MESSAGE"` // its number, which finds all of its lines
}

const (
	// traceLines are shown unless more are wanted, traceMost at the most, and
	// traceScan are looked through.
	traceLines = 50
	traceMost  = 1000
	traceScan  = 50_000
)

type traceArgs struct {
	Text  string `json:"text,omitempty" arg:"" optional:"" help:"Only what has this in an address, the subject, a reply or the number of the message."`
	Event string `json:"event,omitempty" placeholder:"WHAT" help:"Only what happened so: received, refused, submitted, delivered, deferred, failed, damaged, blocked."`
	Most  int    `json:"most,omitempty" placeholder:"NUMBER" help:"How many lines, 50 unless it is said, 1000 at the most."`
}

// trace gives the newest lines, the oldest of them first, as a terminal is read.
func trace(_ context.Context, o *Office, a *traceArgs) ([]Happening, error) {
	events := []mailbox.Event{"", mailbox.Received, mailbox.Refused, mailbox.Submitted, mailbox.Delivered, mailbox.Deferred, mailbox.Failed, mailbox.Damaged, mailbox.Blocked}
	if !slices.Contains(events, mailbox.Event(a.Event)) {
		return nil, errorf(Invalid, "%q is nothing that happens", a.Event)
	}
	most := a.Most
	if most == 0 {
		most = traceLines
	}
	if most < 1 || most > traceMost {
		return nil, errorf(Invalid, "from 1 to %d lines can be shown", traceMost)
	}
	list := []Happening{}
	seen := 0
	err := o.Store.Journal(func(l mailbox.Line) bool {
		if (a.Event == "" || l.Event == mailbox.Event(a.Event)) && Mentions(l, a.Text) {
			list = append(list, happening(l))
		}
		seen++
		return len(list) < most && seen < traceScan
	})
	slices.Reverse(list)
	return list, err
}

func happening(l mailbox.Line) Happening {
	h := Happening{
		Time: l.Time, Event: string(l.Event), From: printable(l.From), To: []string{},
		Subject: printable(l.Subject), Remote: printable(l.Remote),
	}
	for _, to := range l.To {
		h.To = append(h.To, printable(to))
	}
	if l.Message != 0 {
		h.Message = l.Message.String()
	}
	// A message's detail is long, and its page in the panel has it.
	said := []string{l.Reply}
	if l.Message == 0 {
		said = append(said, l.Detail...)
	}
	h.Said = printable(strings.Join(slices.DeleteFunc(said, func(s string) bool { return s == "" }), "; "))
	return h
}

// Mentions tells whether a line has a text in what people look for, in any case.
func Mentions(l mailbox.Line, text string) bool {
	text = strings.ToLower(text)
	for _, in := range append([]string{l.From, l.Subject, l.MessageID, l.Remote, l.Reply, l.Message.String()}, l.To...) {
		if strings.Contains(strings.ToLower(in), text) {
			return true
		}
	}
	return false
}

// printable takes from what strangers wrote whatever a terminal would obey.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
}
