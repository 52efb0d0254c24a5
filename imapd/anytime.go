package imapd

import "context"

// anytime brings the commands of every state (RFC 9051 section 6.1).
func anytime() extension {
	return extension{commands: []command{
		{name: "CAPABILITY", in: anyState, run: capability},
		{name: "NOOP", in: anyState, run: noop},
		{name: "LOGOUT", in: anyState, run: logout},
	}}
}

func capability(_ context.Context, s *session, _ *call) error {
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	s.enc.Raw("* CAPABILITY ").Raw(s.capabilities()).Raw("\r\n")
	return nil
}

// noop has nothing to do: what changed is told after every command.
func noop(_ context.Context, s *session, _ *call) error { return s.dec.EndLine() }

func logout(_ context.Context, s *session, _ *call) error {
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	s.enc.Raw("* BYE until next time\r\n")
	return errLogout
}
