package imapd

import (
	"context"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/imapd/wire"
)

// unauthenticate brings UNAUTHENTICATE (RFC 8437): the connection forgets who
// logged in, what was enabled and which mailbox is open, of what it wants to be told, and keeps its TLS.
func unauthenticate() extension {
	return extension{
		name:     imap.CapUnauthenticate,
		commands: []command{{name: "UNAUTHENTICATE", in: loggedIn, run: runUnauthenticate}},
	}
}

func runUnauthenticate(_ context.Context, s *session, _ *call) error {
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	s.srv.gate.logout(s.account.ID)
	s.account, s.view, s.enabled, s.modSeqs = nil, nil, nil, false
	s.notify, s.others = nil, nil
	s.enc.UTF8 = false
	s.dec.Limits = wire.BeforeLogin()
	s.begun = time.Now() // the time to log in starts anew
	s.log = s.srv.log.With("remote", s.transport.conn.RemoteAddr().String())
	return ok("CAPABILITY "+s.capabilities(), "logged out")
}
