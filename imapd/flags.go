package imapd

import (
	"strings"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// systemFlags pairs the flags of RFC 9051 section 2.3.2 with the store's bits,
// in the order in which they are written.
var systemFlags = [...]struct {
	name imap.Flag
	bit  mailbox.Flags
}{
	{imap.FlagAnswered, mailbox.Answered},
	{imap.FlagFlagged, mailbox.Flagged},
	{imap.FlagDeleted, mailbox.Deleted},
	{imap.FlagSeen, mailbox.Seen},
	{imap.FlagDraft, mailbox.Draft},
}

// maxKeywords is the store's bound on the keywords of one mailbox.
const maxKeywords = 64

// sortFlags parts flags into the store's bits and keywords. \Recent, which
// clients send back although they cannot set it, is dropped.
func sortFlags(flags []imap.Flag) (bits mailbox.Flags, keywords []string, err error) {
next:
	for _, f := range flags {
		if !strings.HasPrefix(string(f), `\`) {
			keywords = append(keywords, string(f))
			continue
		}
		for _, sys := range systemFlags {
			if strings.EqualFold(string(f), string(sys.name)) {
				bits |= sys.bit
				continue next
			}
		}
		if !strings.EqualFold(string(f), `\Recent`) {
			return 0, nil, bad("there is no system flag %s", f)
		}
	}
	return bits, keywords, nil
}

// appendFlags appends the names of flags, separated by spaces.
func appendFlags(b []byte, bits mailbox.Flags, f *mailbox.Folder, keywords uint64) []byte {
	start := len(b)
	add := func(name string) {
		if len(b) > start {
			b = append(b, ' ')
		}
		b = append(b, name...)
	}
	for _, sys := range systemFlags {
		if bits&sys.bit != 0 {
			add(string(sys.name))
		}
	}
	for i, k := range f.Keywords {
		if keywords&(1<<i) != 0 {
			add(k)
		}
	}
	return b
}

// writeFlagLists writes the flags that a mailbox knows, and those that a
// client can change for good.
func (s *session) writeFlagLists(f *mailbox.Folder) {
	s.view.keywords = len(f.Keywords)
	all := func(b []byte) []byte { return appendFlags(b, ^mailbox.Flags(0), f, ^uint64(0)) }
	s.enc.Raw("* FLAGS (")
	s.enc.Append(all)
	s.enc.Raw(")\r\n* OK [PERMANENTFLAGS (")
	if !s.view.readOnly {
		s.enc.Append(all)
		if len(f.Keywords) < maxKeywords {
			s.enc.Raw(` \*`)
		}
	}
	s.enc.Raw(")] flags that stay\r\n")
}
