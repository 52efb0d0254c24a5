package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"roost/mailbox"
	"roost/mta/dsn"
	"roost/mta/outbound"
	"roost/mta/smtp"
)

const (
	// attemptTime bounds one attempt, whatever the other side does.
	attemptTime = time.Hour

	// tailLines of the transcript go into the journal.
	tailLines = 12
)

// outcome is what an attempt came to, before that is committed.
type outcome struct {
	row    mailbox.Outgoing
	v      verdict
	took   time.Duration
	result mailbox.Result
}

// send makes an attempt at a row that is marked.
func (r *Runner) send(ctx context.Context, way *outbound.Courier, o *mailbox.Outgoing) outcome {
	limited, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	began := time.Now()
	report := way.Send(limited, r.message(o))
	v := judge(o.Recipients, report.Results, tooOld(began, o.Created))
	res := mailbox.Result{
		Waiting: recipients(v.waiting),
		Due:     nextDue(time.Now(), o.Created, o.Attempts),
		Reply:   v.lastReply(),
		Journal: v.journal(o, report.Transcript),
	}
	if tell := v.report(o, time.Now()); len(tell) > 0 && o.From != "" && (o.Account != 0 || o.Sender != "") {
		notice, err := r.notice(o, tell)
		if err != nil {
			// Not told is not done: they wait, and fail again.
			r.Log.Error("cannot write a notification", "outbox", o.ID.String(), "err", err)
			res.Waiting = append(res.Waiting, recipients(v.failed)...)
		} else {
			res.Notice = notice
			res.Waiting = recipients(v.waiting) // some were told that it takes long
		}
	}
	return outcome{*o, v, report.Took, res}
}

// finish commits what came of an attempt, and in the same commit begins the next,
// if there is one: false says that it has not begun.
func (r *Runner) finish(ctx context.Context, a outcome, next mailbox.Attempt) (begun mailbox.Outgoing, ok bool) {
	if a.result.Notice != nil {
		defer a.result.Notice.Body.Close()
	}
	log := r.Log.With("outbox", a.row.ID.String(), "domain", a.row.Domain)
	o, err := r.commit(ctx, &a, next)
	if err != nil {
		log.Error("cannot commit what came of an attempt: it will be made again", "err", err)
		return begun, false
	}
	log.Info("attempt made", "attempt", a.row.Attempts, "took", a.took.Round(time.Millisecond),
		"delivered", len(a.v.delivered), "deferred", len(a.v.waiting), "failed", len(a.v.failed), "reply", a.v.lastReply())
	if o == nil {
		return begun, false
	}
	return *o, true
}

// commit tries again as long as there is hope: what has been delivered must not
// be sent again.
func (r *Runner) commit(ctx context.Context, a *outcome, next mailbox.Attempt) (*mailbox.Outgoing, error) {
	id, res := a.row.ID, a.result
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		begun, err := r.Store.FinishAndBegin(context.WithoutCancel(ctx), id, res, next)
		switch {
		case err == nil:
			return begun, nil
		case errors.Is(err, mailbox.ErrBroken), errors.Is(err, mailbox.ErrClosed):
			return nil, err
		case errors.Is(err, mailbox.ErrNotFound):
			if _, gone := r.Store.Outgoing(id); errors.Is(gone, mailbox.ErrNotFound) {
				return nil, nil // dropped meanwhile
			}
			if res.Notice == nil {
				return nil, err
			}
			// The account is gone, and nobody is left to tell.
			res.Notice = nil
			continue
		case errors.Is(err, mailbox.ErrFull) && res.Notice != nil:
			// No room to tell of a failure: it will have to happen again.
			res.Notice = nil
			res.Waiting = append(res.Waiting, recipients(a.v.failed)...)
			continue
		}
		r.Log.Warn("cannot commit what came of an attempt yet", "outbox", id.String(), "err", err)
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// message is a row as outbound wants it.
func (r *Runner) message(o *mailbox.Outgoing) outbound.Message {
	m := outbound.Message{
		From: path(o.From), Domain: o.Domain,
		Size: o.Size, EightBit: o.EightBit, UTF8: o.UTF8,
		EnvelopeID: o.EnvelopeID, Return: smtp.Return(o.Return), RequireTLS: o.RequireTLS,
		Open: func() (io.ReadCloser, error) {
			body, err := r.Store.OutgoingBody(o)
			if err != nil {
				return nil, err
			}
			return io.NopCloser(body), nil
		},
	}
	for _, to := range o.Recipients {
		// The row was written by our own: what does not parse is none.
		notify, _ := smtp.ParseNotify(to.Notify)
		m.To = append(m.To, smtp.Forward{Path: path(to.Address), RcptParams: smtp.RcptParams{Notify: notify, Original: to.Original}})
	}
	return m
}

// path reads an address of the store, whose local part may stand without the
// quotes that it needs on the wire.
func path(s string) smtp.Path {
	if p, err := smtp.ParsePath(s); err == nil {
		return p
	}
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return smtp.Path{Local: s}
	}
	return smtp.Path{Local: s[:at], Domain: s[at+1:]}
}

// verdict is what becomes of the recipients of a row after an attempt.
type verdict struct {
	delivered, waiting, failed []fate
}

// fate is what becomes of one recipient.
type fate struct {
	outbound.Result
	row     mailbox.Recipient
	expired bool // given up only because of its age
}

// wants says whether the sender asked to be told of something.
func (f *fate) wants(of smtp.Notify) bool {
	n, _ := smtp.ParseNotify(f.row.Notify)
	return n.Wants(of)
}

// judge decides: a temporary failure waits, unless that was the last attempt.
// There is one result for each recipient, in their order.
func judge(to []mailbox.Recipient, results []outbound.Result, last bool) verdict {
	var v verdict
	for i, res := range results {
		f := fate{Result: res, row: to[i]}
		switch {
		case res.Outcome == outbound.Delivered:
			v.delivered = append(v.delivered, f)
		case res.Outcome == outbound.Permanent:
			v.failed = append(v.failed, f)
		case last:
			f.expired = true
			v.failed = append(v.failed, f)
		default:
			v.waiting = append(v.waiting, f)
		}
	}
	return v
}

func recipients(list []fate) []mailbox.Recipient {
	var out []mailbox.Recipient
	for _, f := range list {
		f.row.Reply = dsn.Plain(f.Reply.Error())
		out = append(out, f.row)
	}
	return out
}

// lastReply is the one to show for the whole row: why it waits, if it does.
func (v *verdict) lastReply() string {
	for _, list := range [][]fate{v.waiting, v.failed, v.delivered} {
		if len(list) > 0 {
			return dsn.Plain(list[0].Reply.Error())
		}
	}
	return ""
}

// journal gives one line for all recipients that fared alike.
func (v *verdict) journal(o *mailbox.Outgoing, t *smtp.Transcript) []mailbox.Line {
	tail := t.Lines()
	tail = tail[max(0, len(tail)-tailLines):]
	var detail []string
	for _, l := range tail {
		detail = append(detail, string(rune(l.From))+": "+l.Text)
	}
	var lines []mailbox.Line
	for _, group := range []struct {
		event mailbox.Event
		fates []fate
	}{{mailbox.Delivered, v.delivered}, {mailbox.Deferred, v.waiting}, {mailbox.Failed, v.failed}} {
		first := len(lines)
	fates:
		for _, f := range group.fates {
			l := mailbox.Line{
				Event: group.event, Account: o.Account, From: o.From, To: []string{f.row.Address},
				Size: o.Size, Remote: remote(f.Result), Reply: dsn.Plain(f.Reply.Error()), Detail: detail,
			}
			if f.expired {
				l.Detail = append([]string{fmt.Sprintf("given up after %d days", int(maxAge.Hours())/24)}, detail...)
			}
			for i := first; i < len(lines); i++ {
				if lines[i].Reply == l.Reply && lines[i].Remote == l.Remote {
					lines[i].To = append(lines[i].To, l.To...)
					continue fates
				}
			}
			lines = append(lines, l)
		}
	}
	return lines
}

// remote names the server that an answer came from, or "".
func remote(r outbound.Result) string {
	if r.Host == "" {
		return ""
	}
	s := r.Host
	if ip := r.Addr.Addr().String(); ip != r.Host {
		s += " [" + ip + "]"
	}
	if r.TLS != "" {
		s += " " + r.TLS
	}
	return s
}
