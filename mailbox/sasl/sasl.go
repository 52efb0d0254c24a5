// Package sasl is the server's side of the SASL mechanisms (RFC 4422) by which
// people log in to Roost: PLAIN (RFC 4616), LOGIN, and SCRAM-SHA-256 with and
// without channel binding (RFC 7677). SMTP, IMAP and ManageSieve run their AUTH
// over it, so that there is one place where a password comes off the wire and one
// door that it is brought to.
//
// It refuses to know accounts, and to decide whether the connection is safe
// enough for a password: its caller offers mechanisms only where it is.
package sasl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Login checks a name and a password. Its error is what Exchange.Next gives.
type Login func(ctx context.Context, name, password string) error

// Exchange is one try to log in. Next takes the client's response, nil where it
// sent no initial one, and gives the next challenge to send, or that the
// client is logged in now; not before that, whatever the door said. After an
// error or done an Exchange is of no more use. Errors: ErrMalformed,
// ErrOtherIdentity, ErrBinding, and what the door gives.
type Exchange interface {
	Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error)
}

// The failures that are not about name and password.
var (
	ErrUnknownMechanism = errors.New("not a mechanism that is offered")
	ErrMalformed        = errors.New("not what the mechanism expects")
	ErrOtherIdentity    = errors.New("nobody may act as somebody else")
	ErrBinding          = errors.New("the client does not see the same TLS connection: somebody may be in between")
)

// Door is what names and their proofs are brought to.
type Door struct {
	Login Login
	SCRAM *SCRAM // nil: it is not offered
}

// maxPart bounds a name and a password, in octets. RFC 4616 2 asks for 255.
const maxPart = 1024

// Mechanisms are the names of the mechanisms that a door makes work, in the order
// to announce them, the strongest first.
func (d Door) Mechanisms() []string {
	names := []string{"PLAIN", "LOGIN"}
	if d.SCRAM != nil {
		names = append([]string{scramSHA256}, names...)
		if len(d.SCRAM.Binding) > 0 {
			names = append([]string{scramSHA256Plus}, names...)
		}
	}
	return names
}

// Start begins an exchange. The mechanism may be in any case.
// ErrUnknownMechanism for one that Mechanisms does not have.
func (d Door) Start(mechanism string) (Exchange, error) {
	mechanism = strings.ToUpper(mechanism)
	if !slices.Contains(d.Mechanisms(), mechanism) {
		return nil, fmt.Errorf("%.40q: %w", mechanism, ErrUnknownMechanism)
	}
	switch mechanism {
	case "PLAIN":
		return &plain{login: d.Login}, nil
	case "LOGIN":
		return &loginExchange{login: d.Login}, nil
	}
	return newScram(d.SCRAM, mechanism == scramSHA256Plus), nil
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
