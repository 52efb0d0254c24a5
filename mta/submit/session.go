package submit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"

	"roost/mailbox"
	"roost/mta/msgauth"
	"roost/mta/smtp"
)

// session is one connection: who logged in, and its transaction.
type session struct {
	*Options
	keyring *msgauth.Keyring
	notes   *notes
	conn    *smtp.Conn
	caller  // account with ID 0: nobody is logged in

	from      smtp.Path
	sender    mailbox.Address // that is from, which is the account's own; empty: nobody
	params    smtp.MailParams
	to        []recipient
	strangers int // of them, in other domains
}

// recipient is a forward-path that was taken, its domain in A-labels.
type recipient struct {
	path   smtp.Path
	wish   smtp.RcptParams
	local  []mailbox.AccountID // whose it is, if it is ours
	role   bool                // it is a postmaster's, who has room
	domain string              // where it is, if it is not
}

var (
	errNoUser    = smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Text: "No such mailbox here"}
	errBadDomain = smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 1, 2}, Text: "Not a domain that mail can be sent to"}
	errNoRemote  = smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "Sending to other domains is not set up here"}
	errQuota     = smtp.Reply{Code: 452, Enhanced: smtp.Enhanced{4, 2, 2}, Text: "A recipient's mailbox is full"}
	errExpired   = smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Text: "This address was good until a date that is over"}
	errDisabled  = smtp.Reply{Code: 450, Enhanced: smtp.Enhanced{4, 2, 1}, Text: "The mailbox is closed for now"}
	errDiskFull  = smtp.Reply{Code: 452, Enhanced: smtp.Enhanced{4, 3, 1}, Text: "No room left here; try again later"}
	errTooBig    = smtp.Reply{Code: 552, Enhanced: smtp.Enhanced{5, 3, 4}, Text: "The message is larger than what is taken here"}
)

// notYours refuses an address that is somebody else's.
func notYours(where string, who smtp.Path, a mailbox.Account) error {
	return smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1},
		Text: fmt.Sprintf("%s has <%s>, which is not an address of %s", where, who, a.Address)}
}

// Mail opens a transaction for those who are logged in, in their own name or
// in nobody's: "<>" is what receipts come from (RFC 8098 3).
func (s *session) Mail(_ context.Context, from smtp.Path, p smtp.MailParams) error {
	err := s.mail(from, p)
	if err != nil {
		s.refuse(s.caller, err, mailbox.Line{From: from.String(), Size: p.Size})
	}
	return err
}

func (s *session) mail(from smtp.Path, p smtp.MailParams) error {
	if s.account.ID == 0 {
		return errNeedLogin
	}
	if err := s.Store.Room(p.Size); err != nil {
		return reply(err) // RFC 1870 6.1
	}
	s.sender = ""
	var sender mailbox.Address
	if !from.IsNull() {
		var err error
		if from, sender, err = s.own("MAIL FROM", from); err != nil {
			return err
		}
	}
	if err := s.mayMail(); err != nil {
		return err
	}
	s.from, s.sender, s.params = from, sender, p
	return nil
}

// own holds an address against those that the account may send from, and gives
// it with its domain in A-labels. What MAIL was asked for is not asked again.
func (s *session) own(where string, p smtp.Path) (smtp.Path, mailbox.Address, error) {
	addr, err := mailbox.ParseAddress(p.String())
	if err != nil {
		return p, "", notYours(where, p, s.account)
	}
	p.Domain = addr.Domain()
	if addr == s.sender {
		return p, addr, nil
	}
	may, err := s.Store.MaySendAs(s.account.ID, addr)
	if err == nil && !may {
		err = notYours(where, p, s.account)
	}
	if err == nil && s.only != "" && addr != s.only {
		err = smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: fmt.Sprintf("%s has <%s>, and this app password sends as <%s> alone", where, p, s.only)}
	}
	return p, addr, err
}

// Rcpt resolves a recipient, so that a slip in a local address shows at once.
func (s *session) Rcpt(_ context.Context, to smtp.Path, p smtp.RcptParams) error {
	err := s.rcpt(to, p)
	if err != nil {
		s.refuse(s.caller, err, mailbox.Line{From: s.from.String(), To: []string{to.String()}, Size: s.params.Size})
	}
	return err
}

func (s *session) rcpt(to smtp.Path, p smtp.RcptParams) error {
	addr := mailbox.Postmaster
	if to.Domain != "" {
		var err error
		if addr, err = mailbox.ParseAddress(to.String()); err != nil {
			return errBadDomain
		}
		to.Domain = addr.Domain()
	}
	route, err := s.Store.Resolve(addr)
	switch {
	case errors.Is(err, mailbox.ErrNotFound):
		return errNoUser
	case errors.Is(err, mailbox.ErrForeign):
		if s.Remote == Refuse {
			return errNoRemote
		}
		return s.outside([]recipient{{path: to, wish: p, domain: addr.Domain()}})
	case errors.Is(err, mailbox.ErrDisabled):
		return errDisabled
	case errors.Is(err, mailbox.ErrExpired):
		return errExpired
	case err != nil:
		return err
	}
	if len(route.Outside) > 0 && s.Remote == Refuse {
		return errNoRemote
	}
	r := recipient{path: to, wish: p}
	for _, l := range route.Local {
		if a := l.Account; a.Quota > 0 && !route.Role {
			u, err := s.Store.AccountUsage(a.ID)
			if err != nil {
				return err
			}
			if u.Bytes+max(s.params.Size, 1) > a.Quota {
				return errQuota
			}
		}
		r.local = append(r.local, l.Account.ID)
	}
	r.role = route.Role
	// The reverse-path is ours already, and stays.
	var outside []recipient
	for _, o := range route.Outside {
		outside = append(outside, recipient{path: smtp.Path{Local: o.To.Local(), Domain: o.To.Domain()}, wish: p, domain: o.To.Domain()})
	}
	if err := s.outside(outside); err != nil {
		return err
	}
	if len(r.local) > 0 {
		s.to = append(s.to, r)
	}
	return nil
}

// Data takes the message: all its steps, then the answer.
func (s *session) Data(ctx context.Context, message io.Reader) (string, error) {
	m := &submission{session: s}
	defer m.close()
	err := m.run(ctx, message)
	if err == nil {
		s.Log.Info("submitted", "message", m.accepted.ID, "account", s.account.Address, "from", s.from, "recipients", len(s.to), "size", m.complete.Size())
		return m.accepted.ID.String(), nil
	}
	err = reply(err)
	var r smtp.Reply
	if errors.As(err, &r) {
		s.Log.Info("refused", "account", s.account.Address, "from", s.from, "recipients", len(s.to), "reply", r)
		l := m.line(mailbox.Refused)
		l.Reply = r.Error()
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

// Reset forgets the transaction.
func (s *session) Reset(context.Context) {
	s.from, s.sender, s.params, s.to, s.strangers = smtp.Path{}, "", smtp.MailParams{}, nil, 0
}

// remote describes the client for the journal, which only its owner reads.
func (s *session) remote() string {
	text := s.conn.Peer().String() + " " + s.conn.Hello()
	if state := s.conn.TLS(); state != nil {
		text += " " + tls.VersionName(state.Version)
	}
	return text
}
