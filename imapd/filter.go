package imapd

import (
	"strings"

	"roost/mailbox"
)

// A filter names mailboxes as NOTIFY (RFC 5465 section 6) and ESEARCH (RFC 7377
// section 2.2) do.
type filter struct {
	kind  string          // SELECTED, PERSONAL and so on, in upper case
	names map[string]bool // of SUBTREE, SUBTREE-ONE and MAILBOXES; there are no wildcards
}

// filter reads one.
func (s *session) filter() filter {
	f := filter{kind: s.dec.Keyword()}
	switch f.kind {
	case "SELECTED", "SELECTED-DELAYED", "INBOXES", "PERSONAL", "SUBSCRIBED":
	case "SUBTREE", "SUBTREE-ONE", "MAILBOXES":
		f.names = make(map[string]bool)
		one := func() { f.names[s.mailboxName()] = true }
		if s.dec.SP(); !s.dec.Peek('(') {
			one()
		} else if s.dec.List(one); len(f.names) == 0 {
			s.dec.Failf("expected a mailbox")
		}
	default:
		s.dec.Failf("unknown mailbox specifier %.40q", f.kind)
	}
	return f
}

// selected reports whether the filter is about the selected mailbox, whichever
// that is.
func (f *filter) selected() bool { return strings.HasPrefix(f.kind, "SELECTED") }

// matches reports whether a mailbox is among those named. Rules may put mail into
// any mailbox, so INBOXES is PERSONAL (RFC 5465 section 6.3).
func (f *filter) matches(name string, subscribed bool) bool {
	switch f.kind {
	case "INBOXES", "PERSONAL":
		return true
	case "SUBSCRIBED":
		return subscribed
	case "MAILBOXES":
		return f.names[name]
	case "SUBTREE-ONE":
		return f.names[name] || f.names[parent(name)]
	case "SUBTREE":
		for ; name != ""; name = parent(name) {
			if f.names[name] {
				return true
			}
		}
	}
	return false
}

// parent is the level above a mailbox; "" if there is none.
func parent(name string) string {
	return name[:max(strings.LastIndex(name, mailbox.Separator), 0)]
}
