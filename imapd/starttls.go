package imapd

import (
	"context"

	"github.com/emersion/go-imap/v2"
)

// startTLS brings STARTTLS (RFC 9051 section 6.2.1), where there is a
// certificate and TLS is not on already.
func startTLS() extension {
	return extension{
		more: func(s *session) []imap.Cap {
			if s.canStartTLS() {
				return []imap.Cap{imap.CapStartTLS}
			}
			return nil
		},
		commands: []command{{name: "STARTTLS", in: notAuthenticated, run: runStartTLS}},
	}
}

func (s *session) canStartTLS() bool {
	return !s.tls && s.account == nil && s.srv.opts.TLS != nil
}

func runStartTLS(ctx context.Context, s *session, c *call) error {
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	if !s.canStartTLS() {
		return bad("TLS is on already, or there is no certificate")
	}
	if s.dec.Buffered() > 0 {
		// Commands sent in plain must not run under TLS as if the client had
		// sent them there.
		return bye("", "commands after STARTTLS")
	}
	s.writeResponse(c.tag, &response{"OK", "", "begin TLS now"})
	if err := s.enc.Flush(); err != nil {
		return err
	}
	if err := s.transport.handshake(ctx, s.srv.opts.TLS); err != nil {
		return bye("", "TLS: %v", err)
	}
	s.tls = true
	s.dec.Reset(s)
	return errAnswered
}
