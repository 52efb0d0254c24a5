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
	errTooMany   = smtp.Reply{Code: 421, Enhanced: smtp.Enhanced{4, 7, 0}, Text: "Too many wrong passwords from your address; try again later"}
)

// Mechanisms are announced where a password is safe on the wire.
func (s *session) Mechanisms() []string {
	if s.conn.TLS() == nil {
		return nil
	}
	return sasl.Mechanisms()
}

// Auth starts to log in.
func (s *session) Auth(_ context.Context, mechanism string) (smtp.Exchange, error) {
	if s.conn.TLS() == nil {
		return nil, errNeedTLS
	}
	if s.Store.Admit(s.conn.Peer()) != nil {
		return nil, errTooMany
	}
	x, err := sasl.Start(mechanism, s.login)
	if errors.Is(err, sasl.ErrUnknownMechanism) {
		err = errMechanism
	}
	if err != nil {
		return nil, err
	}
	return exchange{x}, nil
}

// exchange tells SASL's failures in SMTP's words.
type exchange struct{ sasl.Exchange }

func (x exchange) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	challenge, done, err := x.Exchange.Next(ctx, response)
	switch {
	case errors.Is(err, sasl.ErrMalformed):
		err = errResponse
	case errors.Is(err, sasl.ErrOtherIdentity):
		err = errLogin
	}
	return challenge, done, err
}

// login is the one door.
func (s *session) login(ctx context.Context, name, password string) error {
	peer := s.conn.Peer()
	who, err := s.Store.LoginToSend(ctx, peer, name, password)
	switch {
	case err == nil:
		s.account, s.only, s.device = who.Account, who.Only, who.Device
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
