package imapd

import (
	"context"
	"strings"
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
			s.enc.Raw("* OK [INPROGRESS (")
			if strings.Contains(c.tag, "]") { // it would end the code for some clients (section 4)
				s.enc.Raw("NIL")
			} else {
				s.enc.String(c.tag)
			}
			s.enc.Raw(" NIL NIL)] still at it\r\n")
			s.enc.Flush() // what goes wrong here shows at the command's end
		}
	}
}
