// Package sasl is the server's side of the SASL mechanisms (RFC 4422) by which
// people log in to Roost: PLAIN (RFC 4616) and LOGIN. SMTP, IMAP and
// ManageSieve run their AUTH over it, so that there is one place where a
// password comes off the wire and one door that it is brought to.
//
// It refuses to know accounts, and to decide whether the connection is safe
// enough for a password: its caller offers mechanisms only where it is.
package sasl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Login checks a name and a password. Its error is what Exchange.Next gives.
type Login func(ctx context.Context, name, password string) error

// Exchange is one try to log in. Next takes the client's response, nil where it
// sent no initial one, and gives the next challenge to send, or that the
// client is logged in now. After an error or done an Exchange is of no more
// use. Errors: ErrMalformed, ErrOtherIdentity, and what Login gives.
type Exchange interface {
	Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error)
}

// The failures that are not about name and password.
var (
	ErrUnknownMechanism = errors.New("not a mechanism that is offered")
	ErrMalformed        = errors.New("not what the mechanism expects")
	ErrOtherIdentity    = errors.New("nobody may act as somebody else")
)

// maxPart bounds a name and a password, in octets. RFC 4616 2 asks for 255.
const maxPart = 1024

// Mechanisms are the names of the mechanisms that send a password as it is, in
// the order to announce them.
func Mechanisms() []string { return []string{"PLAIN", "LOGIN"} }

// Start begins an exchange. The mechanism may be in any case.
// ErrUnknownMechanism.
func Start(mechanism string, login Login) (Exchange, error) {
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		return &plain{login: login}, nil
	case "LOGIN":
		return &loginExchange{login: login}, nil
	}
	return nil, fmt.Errorf("%q: %w", mechanism, ErrUnknownMechanism)
}

// plain is RFC 4616: one response, of authorization identity, name, password.
type plain struct {
	login Login
	asked bool
}

func (p *plain) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	if response == nil && !p.asked {
		p.asked = true
		return []byte{}, false, nil
	}
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 {
		return nil, false, fmt.Errorf("PLAIN: %w", ErrMalformed)
	}
	identity, name, password := parts[0], parts[1], parts[2]
	if !valid(name) || !valid(password) {
		return nil, false, fmt.Errorf("PLAIN: %w", ErrMalformed)
	}
	if len(identity) > 0 && !strings.EqualFold(string(identity), string(name)) {
		return nil, false, fmt.Errorf("PLAIN: %w", ErrOtherIdentity)
	}
	if err := p.login(ctx, string(name), string(password)); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}

// loginExchange is LOGIN, which no RFC has: the name, then the password. Some
// clients send the name as initial response.
type loginExchange struct {
	login Login
	asked bool
	name  []byte
}

func (l *loginExchange) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	switch {
	case response == nil && !l.asked:
		l.asked = true
		return []byte("Username:"), false, nil
	case !valid(response):
		return nil, false, fmt.Errorf("LOGIN: %w", ErrMalformed)
	case l.name == nil:
		l.asked = true
		l.name = bytes.Clone(response)
		return []byte("Password:"), false, nil
	}
	if err := l.login(ctx, string(l.name), string(response)); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}

func valid(part []byte) bool {
	return len(part) > 0 && len(part) <= maxPart && utf8.Valid(part) && bytes.IndexByte(part, 0) < 0
}
