package wire

import (
	"strings"
	"time"
)

// DateTimeLayout is the form of INTERNALDATE (date-time of RFC 9051 section 9).
const DateTimeLayout = "_2-Jan-2006 15:04:05 -0700"

// appendDateTime is AppendFormat with DateTimeLayout: lists ask for a date of every
// message.
func appendDateTime(b []byte, t time.Time) []byte {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	_, zone := t.Zone()
	if year < 1000 || year > 9999 {
		return t.AppendFormat(b, DateTimeLayout)
	}
	two := func(n int) { b = append(b, byte('0'+n/10), byte('0'+n%10)) }
	if day < 10 {
		b = append(b, ' ', byte('0'+day))
	} else {
		two(day)
	}
	b = append(b, '-')
	b = append(b, month.String()[:3]...)
	b = append(b, '-')
	two(year / 100)
	two(year % 100)
	b = append(b, ' ')
	two(hour)
	b = append(b, ':')
	two(minute)
	b = append(b, ':')
	two(second)
	sign := byte('+')
	if zone /= 60; zone < 0 {
		sign, zone = '-', -zone
	}
	b = append(b, ' ', sign)
	two(zone / 60 % 100)
	two(zone % 60)
	return b
}

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
