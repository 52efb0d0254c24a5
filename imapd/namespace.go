package imapd

import (
	"context"

	"github.com/emersion/go-imap/v2"
)

// namespace brings NAMESPACE (RFC 2342): one's own mailboxes, and no others.
func namespace() extension {
	return extension{
		name: imap.CapNamespace,
		commands: []command{{name: "NAMESPACE", in: loggedIn, run: func(_ context.Context, s *session, _ *call) error {
			if err := s.dec.EndLine(); err != nil {
				return err
			}
			s.enc.Raw("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n")
			return nil
		}}},
	}
}
