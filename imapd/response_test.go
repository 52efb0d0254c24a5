package imapd

import (
	"fmt"
	"log/slog"
	"testing"

	"roost/imapd/wire"
	"roost/mailbox"
)

// Every reason for which the store refuses has a code of RFC 5530 or RFC 9051, and what
// is the server's own fault never tells more than that.
func TestResponseCodes(t *testing.T) {
	s := &session{log: slog.New(slog.DiscardHandler)}
	for _, c := range []struct {
		err  error
		want string
	}{
		{mailbox.ErrNotFound, "NO [NONEXISTENT]"},
		{mailbox.ErrExists, "NO [ALREADYEXISTS]"},
		{mailbox.ErrInvalid, "NO [CANNOT]"},
		{mailbox.ErrOverQuota, "NO [OVERQUOTA]"},
		{mailbox.ErrTooBig, "NO [TOOBIG]"},
		{mailbox.ErrLimit, "NO [LIMIT]"},
		{mailbox.ErrFull, "NO [UNAVAILABLE] the server cannot do this at the moment"},
		{mailbox.ErrBroken, "NO [UNAVAILABLE] the server cannot do this at the moment"},
		{mailbox.ErrClosed, "NO [UNAVAILABLE] the server cannot do this at the moment"},
		{mailbox.ErrCorrupt, "NO [CORRUPTION] the server found damaged data; its owner finds more in the log"},
		{fmt.Errorf("/secret/path"), "NO [SERVERBUG] the server failed; its owner finds more in the log"},
		{wire.ErrTooBig, "BAD [TOOBIG]"},
		{&wire.SyntaxError{Msg: "what is wrong"}, "BAD what is wrong"},
		{wire.ErrOutOfStep, "BYE"},
		{no("TRYCREATE", "there is no mailbox x"), "NO [TRYCREATE] there is no mailbox x"},
		{nil, "OK X completed"},
	} {
		for _, err := range []error{c.err, fmt.Errorf("while at it: %w", c.err)} {
			if c.err == nil {
				err = nil
			}
			got := s.respond(&call{name: "X"}, err).Error()
			if len(c.want) > len(got) || got[:len(c.want)] != c.want {
				t.Errorf("%v is answered %q, want %q", err, got, c.want)
			}
		}
	}
}
