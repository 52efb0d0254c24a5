package imapd

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// objectID brings OBJECTID (RFC 8474): names of mailboxes, messages and threads
// that stay the same wherever they go.
func objectID() extension {
	key := func(name, prefix string, test mailbox.Test) searchKey {
		return searchKey{name, func(p *searchParser) mailbox.Query {
			p.dec.SP()
			id := p.dec.AString()
			hex, ok := strings.CutPrefix(id, prefix)
			n, err := strconv.ParseUint(hex, 16, 64)
			if !ok || err != nil {
				return not(mailbox.Query{Test: mailbox.TestAll}) // no message has it
			}
			return mailbox.Query{Test: test, N: int64(n)}
		}}
	}
	item := func(name string, id func(m *mailbox.Facts) string) fetchItem {
		return fetchItem{name, func(*session) fetchAtt {
			return fetchAtt{row: true, write: func(s *session, m *fetched) error {
				s.enc.Raw(name).Raw(" (").Raw(id(m.facts)).Raw(")")
				return nil
			}}
		}}
	}
	return extension{
		name: imap.CapObjectID,
		fetch: []fetchItem{
			item("EMAILID", func(m *mailbox.Facts) string { return m.Object.String() }),
			item("THREADID", func(m *mailbox.Facts) string { return m.Thread.String() }),
		},
		search: []searchKey{key("EMAILID", "M", mailbox.TestObject), key("THREADID", "T", mailbox.TestThread)},
		status: []statusItem{{name: "MAILBOXID", text: mailboxID}},
	}
}

// mailboxID is a mailbox's name in response codes and STATUS.
func mailboxID(f *mailbox.Folder) string { return fmt.Sprintf("(F%08x)", uint32(f.ID)) }
