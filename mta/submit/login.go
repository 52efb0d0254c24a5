package submit

import (
	"context"
	"errors"

	"roost/mailbox"
	"roost/mailbox/sasl"
	"roost/mta/smtp"
)

var (
	errNeedTLS   = smtp.Reply{Code: 538, Enhanced: smtp.Enhanced{5, 7, 11}, Text: "Not in the clear: say STARTTLS first, or use the TLS port"}
	errNeedLogin = smtp.Reply{Code: 530, Enhanced: smtp.Enhanced{5, 7, 0}, Text: "Log in first"}
	errMechanism = smtp.Reply{Code: 504, Enhanced: smtp.Enhanced{5, 5, 4}, Text: "Not a mechanism that is offered"}
	errResponse  = smtp.Reply{Code: 501, Enhanced: smtp.Enhanced{5, 5, 2}, Text: "Not what the mechanism expects"}
	errLogin     = smtp.Reply{Code: 535, Enhanced: smtp.Enhanced{5, 7, 8}, Text: "Wrong login name or password; the name is the whole e-mail address"}
	errBinding   = smtp.Reply{Code: 535, Enhanced: smtp.Enhanced{5, 7, 8}, Text: "The TLS connection that you see is not the one seen here: somebody may be in between"}
	errTooMany   = smtp.Reply{Code: 421, Enhanced: smtp.Enhanced{4, 7, 0}, Text: "Too many wrong passwords from your address; try again later"}
)

// Mechanisms are announced where a password is safe on the wire.
func (s *session) Mechanisms() []string {
	if s.conn.TLS() == nil {
		return nil
	}
	return s.door(new(caller)).Mechanisms()
}

// Auth starts to log in.
func (s *session) Auth(_ context.Context, mechanism string) (smtp.Exchange, error) {
	if s.conn.TLS() == nil {
		return nil, errNeedTLS
	}
	if s.Store.Admit(s.conn.Peer()) != nil {
		return nil, errTooMany
	}
	who := new(caller)
	x, err := s.door(who).Start(mechanism)
	if errors.Is(err, sasl.ErrUnknownMechanism) {
		err = errMechanism
	}
	if err != nil {
		return nil, err
	}
	return &exchange{x, s, who}, nil
}

// caller is who has shown a right password.
type caller struct {
	account mailbox.Account
	only    mailbox.Address // the one sender of an app password that only sends
	device  string          // the app password's id; empty: the account's own password
}

func (c *caller) is(who mailbox.Submitter) { *c = caller{who.Account, who.Only, who.Device} }

// exchange tells SASL's failures in SMTP's words, and lets in at its end.
type exchange struct {
	sasl.Exchange
	session *session
	who     *caller
}

func (x *exchange) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	challenge, done, err := x.Exchange.Next(ctx, response)
	switch {
	case errors.Is(err, sasl.ErrMalformed):
		err = errResponse
	case errors.Is(err, sasl.ErrOtherIdentity):
		err = errLogin
	case errors.Is(err, sasl.ErrBinding):
		x.session.Log.Warn("login refused", "peer", x.session.conn.Peer(), "why", err)
		err = errBinding
	case err == nil && done:
		x.session.caller = *x.who
	}
	return challenge, done, err
}

// door is the one door, and SCRAM where it works.
func (s *session) door(who *caller) sasl.Door {
	d := sasl.Door{Login: func(ctx context.Context, name, password string) error {
		found, err := s.Store.LoginToSend(ctx, s.conn.Peer(), name, password)
		who.is(found)
		return s.refuseLogin(name, found, err)
	}}
	takes, err := s.Store.TakesProofs()
	if err != nil {
		s.Log.Error("whether SCRAM works", "err", err)
	}
	if !takes {
		return d
	}
	d.SCRAM = &sasl.SCRAM{
		Salt: func(_ context.Context, name string) ([]byte, int, error) { return s.Store.Salt(name) },
		Prove: func(ctx context.Context, name string, p sasl.Proof) ([]byte, error) {
			found, key, err := s.Store.LoginProofToSend(ctx, s.conn.Peer(), name, p)
			who.is(found)
			return key, s.refuseLogin(name, found, err)
		},
	}
	if c := s.conn.Channel(); c != nil {
		d.SCRAM.Binding = sasl.Bind(c)
	}
	return d
}

// refusal is what the door's error is told with.
func (s *session) refusal(err error) error {
	peer := s.conn.Peer()
	switch {
	case errors.Is(err, mailbox.ErrLogin):
		s.Log.Info("login failed", "peer", peer)
		err = errLogin
	case errors.Is(err, mailbox.ErrBlocked):
		s.Log.Info("login refused", "peer", peer, "why", err)
		err = errTooMany
	case errors.Is(err, mailbox.ErrFrozen):
		// RFC 4954 6: for now. The password is right, so a program need not ask for
		// another one.
		err = smtp.Reply{Code: 454, Enhanced: smtp.Enhanced{4, 7, 0}, Text: sentence(err)}
	case errors.Is(err, mailbox.ErrDisabled):
		err = smtp.Reply{Code: 525, Enhanced: smtp.Enhanced{5, 7, 13}, Text: err.Error()} // RFC 5248
	}
	return err
}
