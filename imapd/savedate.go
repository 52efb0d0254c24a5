package imapd

import (
	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// saveDate brings SAVEDATE (RFC 8514): when a message came into its mailbox.
func saveDate() extension {
	key := func(name string, test mailbox.Test) searchKey {
		return searchKey{name, func(p *searchParser) mailbox.Query {
			p.dec.SP()
			return mailbox.Query{Test: test, Time: p.dec.Date()}
		}}
	}
	return extension{
		name: imap.CapSaveDate,
		fetch: []fetchItem{{"SAVEDATE", func(*session) fetchAtt {
			return fetchAtt{row: true, write: func(s *session, m *fetched) error {
				s.enc.Raw("SAVEDATE ").Time(m.facts.Saved)
				return nil
			}}
		}}},
		search: []searchKey{
			key("SAVEDBEFORE", mailbox.TestSavedBefore),
			key("SAVEDON", mailbox.TestSavedOn),
			key("SAVEDSINCE", mailbox.TestSavedSince),
			{"SAVEDATESUPPORTED", func(*searchParser) mailbox.Query { return mailbox.Query{Test: mailbox.TestAll} }},
		},
	}
}
