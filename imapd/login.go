package imapd

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"

	"github.com/emersion/go-imap/v2"

	"roost/imapd/wire"
	"roost/mailbox"
	"roost/mailbox/sasl"
)

// login brings LOGIN and AUTHENTICATE (RFC 9051 section 6.2), which take
// passwords under TLS only.
func login() extension {
	return extension{
		more: func(s *session) []imap.Cap {
			switch {
			case s.account != nil:
				return nil
			case !s.tls:
				return []imap.Cap{imap.CapLoginDisabled}
			}
			var caps []imap.Cap
			for _, m := range s.door(new(caller)).Mechanisms() {
				caps = append(caps, imap.AuthCap(m))
			}
			return caps
		},
		commands: []command{
			{name: "LOGIN", in: notAuthenticated, run: runLogin},
			{name: "AUTHENTICATE", in: notAuthenticated, run: authenticate},
		},
	}
}

// maxFailedLogins is how many logins may fail on one connection.
const maxFailedLogins = 4

func runLogin(ctx context.Context, s *session, c *call) error {
	s.dec.SP()
	name := s.dec.AString()
	s.dec.SP()
	password := s.dec.AString()
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	if !s.tls {
		return no("PRIVACYREQUIRED", "passwords are taken under TLS only")
	}
	account, err := s.srv.opts.Store.Login(ctx, s.peer, name, password)
	if err != nil {
		return s.loginFailed(name, err)
	}
	return s.loggedIn(account)
}

func authenticate(ctx context.Context, s *session, c *call) error {
	s.dec.SP()
	mechanism := s.dec.Keyword()
	initial, hasInitial := "", s.dec.Accept(' ')
	if hasInitial {
		initial = s.dec.AString() // RFC 4959
	}
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	if !s.tls {
		return no("PRIVACYREQUIRED", "passwords are taken under TLS only")
	}
	who := new(caller)
	exchange, err := s.door(who).Start(mechanism)
	if errors.Is(err, sasl.ErrUnknownMechanism) {
		return no("CANNOT", "unknown mechanism")
	}
	if err != nil {
		return err
	}
	var response []byte
	if hasInitial {
		if response, err = decodeResponse(initial); err != nil {
			return err
		}
	}
	for {
		challenge, done, err := exchange.Next(ctx, response)
		switch {
		case errors.Is(err, sasl.ErrMalformed):
			return bad("%v", err)
		case errors.Is(err, sasl.ErrOtherIdentity):
			return no("AUTHORIZATIONFAILED", "%v", err)
		case errors.Is(err, sasl.ErrBinding):
			s.log.Warn("IMAP login refused", "why", err)
			return no("AUTHENTICATIONFAILED", "%v", err)
		case err != nil:
			return s.loginFailed(who.name, err)
		}
		if done {
			return s.loggedIn(who.account)
		}
		s.enc.Raw("+ ").Raw(base64.StdEncoding.EncodeToString(challenge)).Raw("\r\n")
		line, err := s.dec.Line()
		if err != nil {
			return err
		}
		if line == "*" {
			return bad("cancelled")
		}
		if response, err = decodeResponse(line); err != nil {
			return err
		}
	}
}

// caller is who tries to log in, and who it is once the password was right.
type caller struct {
	name    string
	account mailbox.Account
}

// door is the one door, and SCRAM where it works.
func (s *session) door(who *caller) sasl.Door {
	store := s.srv.opts.Store
	d := sasl.Door{Login: func(ctx context.Context, name, password string) (err error) {
		who.name = name
		who.account, err = store.Login(ctx, s.peer, name, password)
		return err
	}}
	takes, err := store.TakesProofs()
	if err != nil {
		s.log.Error("whether SCRAM works", "error", err)
	}
	if !takes {
		return d
	}
	d.SCRAM = &sasl.SCRAM{
		Salt: func(_ context.Context, name string) ([]byte, int, error) {
			if err := store.Admit(s.peer); err != nil {
				return nil, 0, err
			}
			return store.Salt(name)
		},
		Prove: func(ctx context.Context, name string, p sasl.Proof) (key []byte, err error) {
			who.name = name
			who.account, key, err = store.LoginProof(ctx, s.peer, name, p)
			return key, err
		},
	}
	if c, ok := s.transport.conn.(*tls.Conn); ok {
		d.SCRAM.Binding = sasl.Bind(c)
	}
	return d
}

// decodeResponse decodes a client's answer; "=" alone is an empty one.
func decodeResponse(s string) ([]byte, error) {
	if s == "=" || s == "" {
		return []byte{}, nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, bad("not base64")
	}
	return b, nil
}

func (s *session) loggedIn(a mailbox.Account) error {
	if !s.srv.gate.login(a.ID) {
		return no("LIMIT", "too many connections of this account")
	}
	s.account = &a
	s.dec.Limits = wire.AfterLogin()
	s.log = s.log.With("account", string(a.Address))
	s.log.Info("IMAP login")
	return ok("CAPABILITY "+s.capabilities(), "logged in")
}

// loginFailed answers a wrong password.
func (s *session) loginFailed(name string, err error) error {
	if len(name) > 100 {
		name = name[:100]
	}
	switch {
	case errors.Is(err, mailbox.ErrDisabled):
		return no("CONTACTADMIN", "%v", err) // RFC 9051 7.1
	case errors.Is(err, mailbox.ErrBlocked):
		s.log.Warn("IMAP login refused", "name", name, "why", err)
		return bye("", "%v", err)
	case !errors.Is(err, mailbox.ErrLogin):
		return err
	}
	s.log.Warn("IMAP login failed", "name", name)
	if s.failed++; s.failed >= maxFailedLogins && !s.loopback {
		return bye("", "too many failed logins")
	}
	return no("AUTHENTICATIONFAILED", "wrong login name or password")
}
