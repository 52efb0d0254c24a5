package imapd

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roost/imapd/wire"
)

func TestLongWorkSaysThatItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		s := &session{enc: wire.NewEncoder(&out, new(wire.Buffers))}
		failed := errors.New("failed")
		took := func(tag string, d time.Duration) string {
			out.Reset()
			err := s.patiently(t.Context(), &call{tag: tag}, func() error {
				time.Sleep(d)
				return failed
			})
			if err != failed {
				t.Errorf("the work's error: %v", err)
			}
			return out.String()
		}
		if got := took("t", 9*time.Second); got != "" {
			t.Errorf("after 9 seconds: %q", got)
		}
		// RFC 9585 section 4: the tag is a string, and NIL stands for what is
		// not known.
		line := "* OK [INPROGRESS (\"t\\\"1\" NIL NIL)] still at it\r\n"
		if got := took(`t"1`, 25*time.Second); got != line+line {
			t.Errorf("after 25 seconds: %q", got)
		}
		// A tag with a bracket is not told.
		line = "* OK [INPROGRESS (NIL NIL NIL)] still at it\r\n"
		if got := took("t]1", 11*time.Second); got != line {
			t.Errorf("with a bracket in the tag: %q", got)
		}
	})
}
