package imapd

import (
	"context"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
)

// idle brings IDLE (RFC 2177): the server tells of changes as they happen.
func idle() extension {
	return extension{
		name:     imap.CapIdle,
		commands: []command{{name: "IDLE", in: loggedIn, run: runIdle}},
	}
}

func runIdle(ctx context.Context, s *session, _ *call) error {
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	s.enc.Raw("+ idling\r\n")
	if err := s.idle(ctx); err != nil {
		return err
	}
	s.allow(patience)
	line, err := s.dec.Line()
	if err != nil {
		return err
	}
	if !strings.EqualFold(strings.TrimSpace(line), "DONE") {
		return bad("expected DONE")
	}
	return nil
}

// idle writes changes until the client sends something. The decoder is the
// other goroutine's until that has ended.
func (s *session) idle(ctx context.Context) error {
	s.allow(idleTime)
	if err := s.enc.Flush(); err != nil {
		return err
	}
	s.idling = true
	defer func() { s.idling = false }()
	done := make(chan error, 1)
	go func() { done <- s.dec.Wait() }()

	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		var bell <-chan struct{}
		if s.view != nil {
			bell = s.view.bell
			if err := s.update(ctx, true); err != nil {
				return s.stopWaiting(done, err)
			}
		}
		if err := s.enc.Flush(); err != nil {
			return s.stopWaiting(done, err)
		}
		if s.view != nil && s.view.bell != bell {
			continue // something changed meanwhile
		}
		select {
		case err := <-done:
			return err
		case <-bell:
		case <-tick.C:
			s.enc.Raw("* OK Still here\r\n")
		}
	}
}

// stopWaiting ends the connection's reads, so that the goroutine ends too.
func (s *session) stopWaiting(done <-chan error, err error) error {
	s.transport.end()
	<-done
	return err
}
