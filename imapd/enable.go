package imapd

import (
	"context"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// enable brings ENABLE (RFC 5161).
func enable() extension {
	return extension{
		name: imap.CapEnable, early: true,
		commands: []command{{name: "ENABLE", in: loggedIn, run: runEnable}},
	}
}

func runEnable(_ context.Context, s *session, _ *call) error {
	var asked []imap.Cap
	for ok := s.dec.SP(); ok; ok = s.dec.Accept(' ') {
		asked = append(asked, imap.Cap(s.dec.Keyword()))
	}
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	s.enc.Raw("* ENABLED")
	var then []func(*session) error
	for _, e := range s.srv.tables.extensions {
		if !e.enable || s.hides(e.name) {
			continue
		}
		for _, c := range asked {
			if strings.EqualFold(string(c), string(e.name)) && !s.enabled[e.name] {
				if s.enabled == nil {
					s.enabled = make(map[imap.Cap]bool)
				}
				s.enabled[e.name] = true
				s.enc.Raw(" ").Raw(string(e.name))
				if e.enabled != nil {
					then = append(then, e.enabled)
				}
			}
		}
	}
	s.enc.Raw("\r\n")
	s.enc.UTF8 = s.has(imap.CapIMAP4rev2) || s.has(imap.CapUTF8Accept)
	for _, f := range then {
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}
