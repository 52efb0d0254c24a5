package imapd

import (
	"context"

	"github.com/emersion/go-imap/v2"
)

// id brings ID (RFC 2971). The server says its name and no version: strangers
// may ask too.
func id() extension {
	return extension{
		name: imap.CapID, early: true,
		commands: []command{{name: "ID", in: anyState, run: runID}},
	}
}

// maxIDPairs is the RFC's bound on what a client may send.
const maxIDPairs = 30

func runID(_ context.Context, s *session, _ *call) error {
	s.dec.SP()
	var client []any
	if s.dec.Peek('(') {
		field, n := "", 0
		s.dec.List(func() {
			if n++; n > 2*maxIDPairs {
				s.dec.Failf("more than %d fields", maxIDPairs)
			}
			if n%2 == 1 {
				field = s.dec.String()
				return
			}
			if v, ok := s.dec.NString(); ok && (field == "name" || field == "version") && len(v) < 200 {
				client = append(client, field, v)
			}
		})
		if n%2 == 1 {
			s.dec.Failf("a field without a value")
		}
	} else if _, ok := s.dec.NString(); ok {
		s.dec.Failf("expected a list or NIL")
	}
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	if client != nil {
		s.log.Debug("IMAP client", client...)
	}
	s.enc.Raw("* ID (\"name\" \"Roost\")\r\n")
	return nil
}
