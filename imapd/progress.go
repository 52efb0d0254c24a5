package imapd

import (
	"context"
	"time"

	"github.com/emersion/go-imap/v2"
)

// progress brings INPROGRESS (RFC 9585): a command that takes long says that it
// is at work. How far it has come the store does not tell.
func progress() extension { return extension{name: imap.CapInProgress} }

// progressEvery is how often a command that takes long says so.
const progressEvery = 10 * time.Second

// patiently runs work, which must not write to the client, and tells the client
// now and then that it goes on.
func (s *session) patiently(ctx context.Context, c *call, work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			s.enc.Raw("* OK [INPROGRESS (").String(c.tag).Raw(" NIL NIL)] still at it\r\n")
			s.enc.Flush() // what goes wrong here shows at the command's end
		}
	}
}
