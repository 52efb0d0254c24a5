package inbound

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"roost/mailbox"
	"roost/mta/msgauth"
	"roost/mta/smtp"
)

var errNoAnswer = smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "Only notifications about mail, from <>, are taken for this address"}

// resolveBounce finds the sender whom a reverse-path of ours stands for. Such a path
// takes what is sent to reverse-paths, and it alone: else who saw one could send
// through us.
func (s *session) resolveBounce(to smtp.Path) (mailbox.Route, error) {
	key, err := s.Store.ForwardingKey()
	if err != nil {
		return mailbox.Route{}, err
	}
	sender, ok := srs(key).original(to, time.Now())
	if !ok {
		return mailbox.Route{}, errNoUser
	}
	if !s.from.IsNull() {
		return mailbox.Route{}, errNoAnswer
	}
	if !s.Forward {
		return mailbox.Route{}, errNoForward
	}
	if _, rewritten := firstHop(sender); rewritten {
		return s.toFirstHop(sender)
	}
	addr, err := mailbox.ParseTarget(sender.String())
	if err != nil {
		return mailbox.Route{}, errNoUser
	}
	folded, err := mailbox.ParseAddress(sender.String())
	if err != nil {
		return mailbox.Route{}, errNoUser
	}
	route, err := s.Store.Resolve(folded)
	switch {
	case errors.Is(err, mailbox.ErrForeign):
		return mailbox.Route{Outside: []mailbox.Outside{{To: addr}}}, nil
	case errors.Is(err, mailbox.ErrNotFound), errors.Is(err, mailbox.ErrExpired):
		err = errNoUser
	case errors.Is(err, mailbox.ErrDisabled):
		err = errDisabled
	}
	return route, err
}

// toFirstHop is the way of a notification back to the forwarder before us, whose
// rewritten path may have a longer local part than an address of ours.
func (s *session) toFirstHop(p smtp.Path) (mailbox.Route, error) {
	domain, err := mailbox.ParseDomain(p.Domain)
	if err != nil {
		return mailbox.Route{}, errNoUser
	}
	addr := mailbox.Address(p.Local + "@" + domain)
	route, err := s.Store.Resolve(addr)
	switch {
	case errors.Is(err, mailbox.ErrForeign):
		return mailbox.Route{Outside: []mailbox.Outside{{To: addr}}}, nil
	case err == nil && isSRS(p), errors.Is(err, mailbox.ErrNotFound), errors.Is(err, mailbox.ErrExpired), errors.Is(err, mailbox.ErrDisabled):
		err = errNoUser // if it is ours, it was too old: else it had stood for itself
	}
	return route, err
}

// circle finds an alias that the message is to be forwarded for, and was before: we
// have put it into Delivered-To then. All recipients share the one answer to the
// data, so those who are not in the circle don't get it either, and the sender is
// told.
func (m *reception) circle() (mailbox.Address, bool) {
	been := map[mailbox.Address]bool{}
	for _, value := range m.header.All("Delivered-To") {
		if addr, err := mailbox.ParseAddress(value); err == nil {
			been[addr] = true
		}
	}
	for _, r := range m.to {
		for _, o := range r.Outside {
			// A notification on its way back has no alias.
			if o.Alias != "" && been[o.Alias] {
				return o.Alias, true
			}
		}
	}
	return "", false
}

// forward gives the outbox rows for those who are elsewhere, one for each domain
// and alias's domain, since the reverse-path is in that. Their copy begins with a
// Delivered-To for every alias that led there, by which a circle is found.
func (m *reception) forward() ([]mailbox.Outgoing, error) {
	if !slices.ContainsFunc(m.to, func(r recipient) bool { return len(r.Outside) > 0 }) {
		return nil, nil
	}
	key, err := m.Store.ForwardingKey()
	if err != nil {
		return nil, err
	}
	eight := &eightBit{}
	if _, err := io.Copy(eight, m.spool.Reader()); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	var rows []mailbox.Outgoing
	at := map[[2]string]int{}
	for _, r := range m.to {
		for _, o := range r.Outside {
			to := smtp.Path{Local: o.To.Local(), Domain: o.To.Domain()}
			place := [2]string{to.Domain, o.Alias.Domain()}
			n, ok := at[place]
			if !ok {
				n = len(rows)
				at[place] = n
				from := srs(key).rewrite(m.from, o.Alias.Domain(), time.Now())
				rows = append(rows, mailbox.Outgoing{
					From: from.String(), Domain: to.Domain, EightBit: eight.found,
					UTF8:       m.params.UTF8 && (!from.ASCII() || eight.found),
					EnvelopeID: m.params.EnvelopeID, Return: string(m.params.Return), RequireTLS: m.params.RequireTLS,
					TLSOptional: !m.params.RequireTLS && m.header.TLSOptional(),
				})
				// A forger would have others told.
				if m.verdict != nil && m.verdict.MailFrom.Result == msgauth.Pass {
					rows[n].Sender = m.from.String()
				}
			}
			row := &rows[n]
			row.UTF8 = row.UTF8 || !to.ASCII()
			alias := smtp.Path{Local: o.Alias.Local(), Domain: o.Alias.Domain()}
			field := "Delivered-To: " + alias.String() + "\r\n"
			// Who can't take SMTPUTF8 gets what does not need it: without this too.
			if o.Alias != "" && (alias.ASCII() || row.UTF8) && !strings.Contains(row.Prefix, field) {
				row.Prefix += field
				row.EightBit = row.EightBit || !alias.ASCII()
			}
			if again := func(have mailbox.Recipient) bool { return have.Address == to.String() }; slices.ContainsFunc(row.Recipients, again) {
				continue
			}
			notify := r.wish.Notify
			if len(r.Local) > 0 && notify == smtp.NotifySuccess {
				notify = smtp.NotifyNever // those here are told of, which is enough
			} else if len(r.Local) > 0 {
				notify &^= smtp.NotifySuccess
			}
			row.Recipients = append(row.Recipients, mailbox.Recipient{
				Address: to.String(), Notify: notify.String(), Original: r.wish.Original,
			})
		}
	}
	return rows, nil
}

// eightBit notes whether what is written needs 8BITMIME (RFC 6152).
type eightBit struct{ found bool }

func (e *eightBit) Write(p []byte) (int, error) {
	e.found = e.found || slices.ContainsFunc(p, func(c byte) bool { return c >= 0x80 })
	return len(p), nil
}
