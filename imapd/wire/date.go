package wire

import (
	"strings"
	"time"
)

// DateTimeLayout is the form of INTERNALDATE (date-time of RFC 9051 section 9).
const DateTimeLayout = "_2-Jan-2006 15:04:05 -0700"

// Date reads a search date, quoted or not. The result is midnight UTC of that
// day: searches compare calendar days and disregard time and zone.
func (d *Decoder) Date() time.Time {
	var s string
	if d.peek() == '"' {
		s = d.quoted()
	} else {
		s = d.word("a date", isAtomChar)
	}
	if d.err != nil {
		return time.Time{}
	}
	t, err := time.Parse("2-Jan-2006", s)
	if err != nil {
		d.Failf("expected a date such as 1-Feb-2024")
	}
	return t
}

// DateTime reads a quoted date and time with its zone, for APPEND.
func (d *Decoder) DateTime() time.Time {
	s := d.quoted()
	if d.err != nil {
		return time.Time{}
	}
	t, err := time.Parse("2-Jan-2006 15:04:05 -0700", strings.TrimLeft(s, " "))
	if err != nil {
		d.Failf(`expected a date such as " 1-Feb-2024 15:04:05 +0100"`)
	}
	return t
}
