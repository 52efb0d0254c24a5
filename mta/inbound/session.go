package inbound

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"time"

	"roost/mailbox"
	"roost/mta/dns"
	"roost/mta/smtp"
)

// session is one connection's transactions.
type session struct {
	*Options
	probes *probes
	rates  *rates
	lists  *listTrouble
	conn   *smtp.Conn

	from    smtp.Path
	params  smtp.MailParams
	to      []recipient
	refused []refusal // recipients, for the journal
	more    int       // of them that are not kept
	told    bool      // the journal has a refused MAIL of this connection
}

// recipient is a forward-path that was taken.
type recipient struct {
	path smtp.Path
	wish smtp.RcptParams
	mailbox.Route
}

// refusal is a forward-path that was not.
type refusal struct {
	path  smtp.Path
	reply smtp.Reply
}

var (
	errRelay     = smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "Not an address here, and this port does not relay; to send mail, log in on the submission port, 465 or 587"}
	errNoUser    = smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Text: "No such mailbox here"}
	errNoForward = smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "The address leads to another domain, and sending is not set up here"}
	errQuota     = smtp.Reply{Code: 452, Enhanced: smtp.Enhanced{4, 2, 2}, Text: "The mailbox is full"}
	errExpired   = smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Text: "This address was good until a date that is over"}
	errDisabled  = smtp.Reply{Code: 450, Enhanced: smtp.Enhanced{4, 2, 1}, Text: "The mailbox is closed for now"}
	errDiskFull  = smtp.Reply{Code: 452, Enhanced: smtp.Enhanced{4, 3, 1}, Text: "No room left here; try again later"}
	errTooBig    = smtp.Reply{Code: 552, Enhanced: smtp.Enhanced{5, 3, 4}, Text: "The message is larger than what is taken here"}
	errNullMX    = smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 7, 27}, Text: "The sender's domain takes no mail (null MX), so nobody could answer"}
	errMessages  = smtp.Reply{Code: 451, Enhanced: smtp.Enhanced{4, 7, 1}}
	errMany      = smtp.Reply{Code: 452, Enhanced: smtp.Enhanced{4, 5, 3}} // RFC 5321 4.5.3.1.10
	errLoop      = smtp.Reply{Code: 554, Enhanced: smtp.Enhanced{5, 4, 6}, Text: "The message runs in a circle: it has more than 100 Received fields"}
)

// Mail opens a transaction for anybody who can be answered.
func (s *session) Mail(ctx context.Context, from smtp.Path, p smtp.MailParams) error {
	if e := s.rates.mail(s.conn.Peer()); e != nil {
		return s.tooMany(ctx, e, from, errMessages)
	}
	if err := s.Store.Room(p.Size); err != nil {
		return reply(err) // RFC 1870 6.1
	}
	if s.RefuseNullMX && s.nullMX(ctx, from) {
		return s.refuse(ctx, from, p, errNullMX)
	}
	s.from, s.params = from, p
	return nil
}

// TooLarge notes a message that its size keeps out.
func (s *session) TooLarge(ctx context.Context, from smtp.Path, p smtp.MailParams, r smtp.Reply) {
	_ = s.refuse(ctx, from, p, r)
}

// refuse writes down a message that is refused for good at MAIL, before it is known
// whom it is for: the first of a connection, as a line for each would be a flood.
func (s *session) refuse(ctx context.Context, from smtp.Path, p smtp.MailParams, r smtp.Reply) error {
	s.Log.Info("refused", "from", from, "reply", r, "peer", s.conn.Peer())
	if s.told {
		return r
	}
	s.told = true
	l := s.line(mailbox.Refused)
	l.From, l.To, l.Size, l.Reply = from.String(), nil, p.Size, r.Error()
	if err := s.Store.Log(ctx, l); err != nil {
		s.Log.Error("a refused message is not in the journal", "err", err)
	}
	return r
}

// maxAsk bounds how long a client waits for an answer to MAIL.
const maxAsk = 3 * time.Second

// nullMX says whether the sender's domain takes no mail at all (RFC 7505), so
// that no answer to the message and no report of its fate could be sent. What
// can't be found out in time is no.
func (s *session) nullMX(ctx context.Context, from smtp.Path) bool {
	addr, err := mailbox.ParseAddress(from.String())
	if s.Resolver == nil || from.IsNull() || err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, maxAsk)
	defer cancel()
	_, err = s.Resolver.MX(ctx, addr.Domain())
	return errors.Is(err, dns.ErrNullMX)
}

// Rcpt resolves a recipient.
func (s *session) Rcpt(ctx context.Context, to smtp.Path, p smtp.RcptParams) error {
	route, err := s.resolve(to)
	if err == nil {
		s.probes.right(s.conn.Peer())
		if e := s.rates.rcpt(s.conn.Peer()); e != nil {
			return s.tooMany(ctx, e, s.from, errMany)
		}
		s.to = append(s.to, recipient{to, p, route})
		return nil
	}
	var r smtp.Reply
	if errors.As(err, &r) {
		s.note(to, r)
	}
	if r == errNoUser || r == errRelay {
		pause, blocked := s.probes.wrong(s.conn.Peer())
		rest(ctx, pause)
		if blocked {
			s.Log.Warn("sent away for asking after addresses that are not here", "peer", s.conn.Peer())
			return errProbing
		}
	}
	return err
}

// resolve finds where a recipient's mail goes. Its refusals are Replies.
func (s *session) resolve(to smtp.Path) (mailbox.Route, error) {
	if isSRS(to) {
		return s.resolveBounce(to)
	}
	addr := mailbox.Postmaster
	if to.Domain != "" {
		var err error
		if addr, err = mailbox.ParseAddress(to.String()); err != nil {
			if s.ours(to.Domain) {
				return mailbox.Route{}, errNoUser // a local part that nobody here can have
			}
			return mailbox.Route{}, errRelay // an address literal, or a name that DNS can't have
		}
	}
	route, err := s.Store.Resolve(addr)
	switch {
	case errors.Is(err, mailbox.ErrForeign):
		return route, errRelay
	case errors.Is(err, mailbox.ErrNotFound):
		return route, errNoUser
	case errors.Is(err, mailbox.ErrExpired):
		return route, errExpired
	case errors.Is(err, mailbox.ErrDisabled):
		return route, errDisabled
	case err != nil:
		return route, err
	}
	if len(route.Outside) > 0 && !s.Forward {
		return route, errNoForward
	}
	for _, l := range route.Local {
		if err := s.hasRoom(l.Account); err != nil && !route.Role {
			return route, err
		}
	}
	return route, nil
}

// ours says whether a domain is one of this server.
func (s *session) ours(domain string) bool {
	addr, err := mailbox.ParseAddress("postmaster@" + domain)
	if err == nil {
		_, err = s.Store.Resolve(addr)
	}
	return err == nil
}

// hasRoom tells a full mailbox before the message comes. The commit counts
// again.
func (s *session) hasRoom(a mailbox.Account) error {
	if a.Quota == 0 {
		return nil
	}
	u, err := s.Store.AccountUsage(a.ID)
	if err == nil && u.Bytes+max(s.params.Size, 1) > a.Quota {
		err = errQuota
	}
	return err
}

// Data takes the message: all its steps, then the answer.
func (s *session) Data(ctx context.Context, message io.Reader) (string, error) {
	s.rates.data(s.conn.Peer())
	m := &reception{session: s, spool: s.Store.NewSpool(0)}
	defer m.spool.Close()
	err := m.run(ctx, message)
	if err == nil {
		if m.known() {
			s.rates.know(s.conn.Peer())
		}
		s.Log.Info("received", "message", m.accepted.ID, "from", s.from, "recipients", len(s.to), "size", m.spool.Size(), "peer", s.conn.Peer())
		return m.accepted.ID.String(), nil
	}
	err = reply(err)
	var r smtp.Reply
	if errors.As(err, &r) {
		s.Log.Info("refused", "from", s.from, "recipients", len(s.to), "reply", r, "peer", s.conn.Peer())
		l := m.line(mailbox.Refused)
		l.Message, l.Reply = m.spool.ID(), r.Error()
		if jerr := s.Store.Log(ctx, l); jerr != nil && !r.Temporary() {
			return "", jerr
		}
	}
	return "", err
}

// reply gives what a store's failure is told with, where that is not 451.
func reply(err error) error {
	switch {
	case errors.Is(err, mailbox.ErrOverQuota):
		return errQuota
	case errors.Is(err, mailbox.ErrFull):
		return errDiskFull
	case errors.Is(err, mailbox.ErrTooBig):
		return errTooBig
	}
	return err
}

// Reset forgets the transaction and writes down whom it was not for.
func (s *session) Reset(ctx context.Context) {
	if len(s.refused) > 0 {
		l := s.line(mailbox.Refused)
		l.To = nil
		l.Reply = s.refused[0].reply.Error()
		for _, r := range s.refused {
			l.To = append(l.To, r.path.String())
			l.Detail = append(l.Detail, r.path.String()+": "+r.reply.Error())
		}
		if s.more > 0 {
			l.Detail = append(l.Detail, "and more recipients, which are left out")
		}
		// The connection may be ending: the line is worth its commit anyway.
		if err := s.Store.Log(context.WithoutCancel(ctx), l); err != nil {
			s.Log.Error("refused recipients not in the journal", "err", err)
		}
	}
	s.from, s.params, s.to, s.refused, s.more = smtp.Path{}, smtp.MailParams{}, nil, nil, 0
}

// maxNoted bounds the refused recipients of a transaction that the journal
// tells of.
const maxNoted = 20

func (s *session) note(to smtp.Path, r smtp.Reply) {
	s.Log.Info("recipient refused", "from", s.from, "to", to, "reply", r, "peer", s.conn.Peer())
	if len(s.refused) == maxNoted {
		s.more++
		return
	}
	s.refused = append(s.refused, refusal{to, r})
}

// line begins a journal line about the transaction.
func (s *session) line(e mailbox.Event) mailbox.Line {
	l := mailbox.Line{Event: e, From: s.from.String(), Size: s.params.Size, Remote: s.conn.Peer().String() + " " + s.conn.Hello()}
	if state := s.conn.TLS(); state != nil {
		l.Remote += " " + tls.VersionName(state.Version)
	}
	for _, r := range s.to {
		l.To = append(l.To, r.path.String())
	}
	return l
}
