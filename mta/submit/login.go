package submit

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

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
	errTooMany   = smtp.Reply{Code: 421, Enhanced: smtp.Enhanced{4, 7, 0}, Text: "Too many wrong passwords from your address; wait a minute"}
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
	if s.failures.many(s.conn.Peer()) {
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

// The delay before a wrong password is answered grows with their number in the
// connection.
const (
	delayStep = 500 * time.Millisecond
	delayMax  = 5 * time.Second
)

// login is the one door. Loopback is not slowed down: what knocks there is at
// home already.
func (s *session) login(ctx context.Context, name, password string) error {
	a, err := s.Store.Login(ctx, name, password)
	if err == nil {
		s.account = a
		return nil
	}
	if errors.Is(err, mailbox.ErrDisabled) {
		return smtp.Reply{Code: 525, Enhanced: smtp.Enhanced{5, 7, 13}, Text: err.Error()} // RFC 5248
	}
	if !errors.Is(err, mailbox.ErrLogin) {
		return err
	}
	peer := s.conn.Peer()
	s.Log.Info("login failed", "peer", peer)
	if peer.IsLoopback() {
		return errLogin
	}
	s.failures.add(peer)
	s.failed++
	timer := time.NewTimer(min(time.Duration(s.failed)*delayStep, delayMax))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return errLogin
}

const (
	maxFailures     = 10 // in a window, from one address
	failureWindow   = time.Minute
	maxFailureCount = 10000 // addresses that are counted at a time
)

// failures counts wrong passwords by address.
type failures struct {
	mu sync.Mutex
	by map[netip.Addr]window
}

type window struct {
	start time.Time
	n     int
}

// many says whether an address has used up its tries.
func (f *failures) many(peer netip.Addr) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.by[smtp.Network(peer)]
	return w.n >= maxFailures && time.Since(w.start) < failureWindow
}

func (f *failures) add(peer netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by == nil {
		f.by = map[netip.Addr]window{}
	}
	if len(f.by) >= maxFailureCount {
		f.forget()
	}
	key := smtp.Network(peer)
	w := f.by[key]
	if time.Since(w.start) >= failureWindow {
		w = window{start: time.Now()}
	}
	w.n++
	f.by[key] = w
}

// forget drops the windows that are over, and all if none is: a table full of
// attackers is worth less than the memory.
func (f *failures) forget() {
	for a, w := range f.by {
		if time.Since(w.start) >= failureWindow {
			delete(f.by, a)
		}
	}
	if len(f.by) >= maxFailureCount {
		clear(f.by)
	}
}
