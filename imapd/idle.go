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
	if err := s.idle(ctx, true); err != nil {
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

// idle writes changes until the client sends something, expunged messages only if
// it may. The decoder is the other goroutine's until that has ended.
func (s *session) idle(ctx context.Context, expunge bool) error {
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
		if err := s.update(ctx, expunge); err != nil {
			return s.stopWaiting(done, err)
		}
		if err := s.enc.Flush(); err != nil {
			return s.stopWaiting(done, err)
		}
		// Each was taken before what it tells of was read: nothing falls between.
		var selected, others, server <-chan struct{}
		if s.view != nil && !s.frozen() {
			selected = s.view.bell
		}
		if s.others != nil {
			others, server = s.others.bell, s.others.server
		}
		select {
		case err := <-done:
			return err
		case <-selected:
		case <-others:
		case <-server:
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
