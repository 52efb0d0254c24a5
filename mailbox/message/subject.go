package message

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// BaseSubject is what is left of a decoded subject without the marks of
// replies and forwards (RFC 5256 2.1), and whether there were any.
func BaseSubject(subject string) (base string, reply bool) {
	s := strings.Join(strings.FieldsFunc(subject, isSubjectSpace), " ")
	for {
		for { // subj-trailer
			cut := strings.TrimRight(s, " ")
			if n := len(cut) - len("(fwd)"); n >= 0 && strings.EqualFold(cut[n:], "(fwd)") {
				cut, reply = cut[:n], true
			}
			if cut == s {
				break
			}
			s = cut
		}
		for {
			if rest, ok := cutLeader(s); ok {
				s, reply = rest, true
				continue
			}
			if rest, ok := cutBlob(s); ok && rest != "" {
				s = rest
				continue
			}
			break
		}
		if n := len(s) - 1; n > 4 && strings.EqualFold(s[:5], "[fwd:") && s[n] == ']' {
			s, reply = strings.TrimLeft(s[5:n], " "), true
			continue
		}
		return s, reply
	}
}

func isSubjectSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' }

// cutLeader takes "Re:", "Fw:" or "Fwd:" away, with the blobs around it.
func cutLeader(s string) (rest string, ok bool) {
	for {
		rest, ok := cutBlob(s)
		if !ok {
			break
		}
		s = rest
	}
	switch {
	case len(s) >= 3 && strings.EqualFold(s[:3], "fwd"):
		s = s[3:]
	case len(s) >= 2 && (strings.EqualFold(s[:2], "fw") || strings.EqualFold(s[:2], "re")):
		s = s[2:]
	default:
		return "", false
	}
	s = strings.TrimLeft(s, " ")
	if rest, ok := cutBlob(s); ok {
		s = rest
	}
	if s == "" || s[0] != ':' {
		return "", false
	}
	return strings.TrimLeft(s[1:], " "), true
}

// cutBlob takes a "[…]" away.
func cutBlob(s string) (rest string, ok bool) {
	if s == "" || s[0] != '[' {
		return s, false
	}
	i := strings.IndexAny(s[1:], "[]")
	if i < 0 || s[1+i] != ']' {
		return s, false
	}
	return strings.TrimLeft(s[i+2:], " "), true
}

// CaseMap is text as i;unicode-casemap compares it (RFC 5051): in title case,
// then compatibility decomposed.
func CaseMap(s string) string {
	ascii := true
	for i := 0; i < len(s) && ascii; i++ {
		ascii = s[i] < 0x80
	}
	if ascii {
		return strings.ToUpper(s)
	}
	return norm.NFKD.String(strings.Map(unicode.ToTitle, s))
}

const (
	maxReferences = 100
	maxMessageID  = 998 // the longest line (RFC 5322 2.1.1)
)

// MessageIDs are the message identifiers of a field's value, in order, without
// their angle brackets, quotes and white space; of more than 100, the first and
// the last 99. What is no identifier is passed over.
func MessageIDs(value string) []string {
	var ids []string
	for {
		i := strings.IndexByte(value, '<')
		if i < 0 {
			break
		}
		value = value[i+1:]
		end := strings.IndexAny(value, "<>")
		if end < 0 {
			break
		}
		if value[end] == '<' {
			continue
		}
		id := strings.Map(func(r rune) rune {
			if r <= ' ' || r == '"' || r == 0x7F {
				return -1
			}
			return r
		}, value[:end])
		value = value[end+1:]
		if id == "" || len(id) > maxMessageID {
			continue
		}
		if ids = append(ids, id); len(ids) > maxReferences {
			ids = append(ids[:1], ids[2:]...)
		}
	}
	return ids
}

// MessageID is the identifier in the Message-ID field, or empty.
func (h Header) MessageID() string {
	if ids := MessageIDs(h.Get("Message-ID")); len(ids) > 0 {
		return ids[0]
	}
	return ""
}

// References are the messages that a message says it follows, the nearest last:
// those in References, or else the first in In-Reply-To (RFC 5256, REFERENCES).
func (h Header) References() []string {
	if ids := MessageIDs(h.Get("References")); len(ids) > 0 {
		return ids
	}
	if ids := MessageIDs(h.Get("In-Reply-To")); len(ids) > 0 {
		return ids[:1]
	}
	return nil
}

// FirstAddress is the first entry of an address field and whether there is
// one, for sorting.
func (h Header) FirstAddress(name string) (a Address, ok bool) {
	if list, _ := ParseAddressList(h.Get(name)); len(list) > 0 {
		return list[0], true
	}
	return Address{}, false
}
