package imapd

import (
	"strings"

	"roost/mailbox"
)

// matchAny reports whether a LIST pattern matches a mailbox name, INBOX in any
// case.
func matchAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if match(p, name) || name == mailbox.Inbox && match(strings.ToUpper(p), name) {
			return true
		}
	}
	return false
}

// match reports whether a pattern matches a whole name: "*" stands for any
// octets, "%" for any but the separator. It walks the pattern once and keeps
// the set of places in the name that it may have come to, so that no pattern
// takes longer than its length times that of the name.
func match(pattern, name string) bool {
	at := make([]bool, len(name)+1) // at[i]: name[:i] is matched so far
	at[0] = true
	for i := range len(pattern) {
		switch c := pattern[i]; c {
		case '*', '%':
			for j := range len(name) {
				if at[j] && (c == '*' || name[j] != mailbox.Separator[0]) {
					at[j+1] = true
				}
			}
		default:
			any := false
			for j := len(name); j > 0; j-- {
				at[j] = at[j-1] && name[j-1] == c
				any = any || at[j]
			}
			if at[0] = false; !any {
				return false
			}
		}
	}
	return at[len(name)]
}
