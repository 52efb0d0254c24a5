package admin

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"roost/mailbox"
)

// Queued is a message that waits to be sent to one domain.
type Queued struct {
	ID        string    `json:"id" table:"ID"`
	Created   time.Time `json:"created" table:"SINCE"`
	From      string    `json:"from" table:"FROM"` // empty: a notification
	To        []string  `json:"to" table:"TO"`
	Domain    string    `json:"domain"`
	Size      int64     `json:"size" table:"BYTES"`
	Attempts  int       `json:"attempts" table:"ATTEMPTS"`
	Next      time.Time `json:"next,omitzero" table:"NEXT TRY"` // zero: it is held
	Held      bool      `json:"held,omitempty"`
	LastReply string    `json:"last_reply,omitempty" table:"LAST REPLY"`
}

// QueuedMessage is a waiting message with all that is known of it.
type QueuedMessage struct {
	Queued
	Account    string              `json:"account,omitempty"` // whose it is
	Tried      time.Time           `json:"tried,omitzero"`    // when the last attempt began
	Recipients []mailbox.Recipient `json:"recipients"`
	Journal    []mailbox.Line      `json:"journal"` // oldest first
}

func queued(o mailbox.Outgoing) Queued {
	q := Queued{
		ID: o.ID.String(), Created: o.Created, From: o.From, Domain: o.Domain, Size: o.Size,
		Attempts: o.Attempts, Next: o.Due, Held: o.Held, LastReply: o.LastReply,
	}
	if o.Held {
		q.Next = time.Time{}
	}
	for _, r := range o.Recipients {
		q.To = append(q.To, r.Address)
	}
	return q
}

func queueList(_ context.Context, o *Office, _ *struct{}) ([]Queued, error) {
	all, err := o.Store.Outbox()
	var list []Queued
	for _, row := range all {
		list = append(list, queued(row))
	}
	return list, err
}

type queueArgs struct {
	ID string `json:"id" arg:"" help:"The number of the message, as \"queue list\" shows it."`
}

func (a queueArgs) number() (mailbox.OutboxID, error) {
	n, err := strconv.ParseUint(a.ID, 16, 64)
	if err != nil {
		return 0, errorf(Invalid, "%q is not the number of a message in the queue", a.ID)
	}
	return mailbox.OutboxID(n), nil
}

// maxJournal bounds what is shown of a message's life: some weeks of attempts.
const maxJournal = 100

func queueShow(_ context.Context, o *Office, a *queueArgs) (QueuedMessage, error) {
	id, err := a.number()
	if err != nil {
		return QueuedMessage{}, err
	}
	row, err := o.Store.Outgoing(id)
	if err != nil {
		return QueuedMessage{}, err
	}
	m := QueuedMessage{Queued: queued(row), Tried: row.Attempted, Recipients: row.Recipients, Journal: []mailbox.Line{}}
	if account, err := o.Store.AccountByID(row.Account); err == nil {
		m.Account = string(account.Address)
	}
	// The line of its acceptance has the time of that commit, a little after the row's.
	begin := row.Created.Add(-time.Minute)
	err = o.Store.Journal(func(l mailbox.Line) bool {
		if l.Outbox == id || l.Outbox == 0 && l.Message == row.Body && row.Body != 0 {
			m.Journal = append(m.Journal, l)
		}
		return l.Time.After(begin) && len(m.Journal) < maxJournal
	})
	slices.Reverse(m.Journal)
	return m, err
}

// Text is one line per thing, then the journal.
func (m QueuedMessage) Text(w io.Writer, _ any) error {
	when := func(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, value string) { fmt.Fprintf(tw, "%s\t%s\n", name, value) }
	line("message", m.ID)
	line("since", when(m.Created))
	line("from", "<"+m.From+">")
	if m.Account != "" && m.Account != m.From {
		line("account", m.Account)
	}
	for _, r := range m.Recipients {
		line("to", "<"+r.Address+">")
		if r.Reply != "" {
			line("", r.Reply)
		}
	}
	line("size", size(m.Size))
	line("attempts", strconv.Itoa(m.Attempts))
	if !m.Tried.IsZero() {
		line("last try", when(m.Tried))
	}
	if m.Held {
		line("next try", "held: roost queue retry "+m.ID)
	} else {
		line("next try", when(m.Next))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, l := range m.Journal {
		text := when(l.Time) + " " + string(l.Event)
		if l.Remote != "" {
			text += " " + l.Remote
		}
		if len(l.To) > 0 {
			text += " to " + strings.Join(l.To, ", ")
		}
		if l.Reply != "" {
			text += ": " + l.Reply
		}
		fmt.Fprintln(w, text)
		for _, d := range l.Detail {
			fmt.Fprintln(w, "    "+d)
		}
	}
	return nil
}

func queueRetry(ctx context.Context, o *Office, a *queueArgs) (Done, error) {
	id, err := a.number()
	if err != nil {
		return Done{}, err
	}
	return done("%s is due now.", id), o.Store.RetryOutgoing(ctx, id)
}

type queueDropArgs struct {
	queueArgs
	Yes bool `json:"-" help:"Do not ask."`
}

// Question is what a person at a terminal is asked first; empty when there is no need.
func (a queueDropArgs) Question() string {
	if a.Yes {
		return ""
	}
	return fmt.Sprintf("Remove the message %s for good? Nobody will be told.", a.ID)
}

func queueDrop(ctx context.Context, o *Office, a *queueDropArgs) (Done, error) {
	id, err := a.number()
	if err != nil {
		return Done{}, err
	}
	return done("%s is removed from the queue.", id), o.Store.DropOutgoing(ctx, id)
}
