package imapd

import "github.com/emersion/go-imap/v2"

// preview brings PREVIEW (RFC 8970): the first words of a message. They are
// stored with it, so LAZY makes no difference.
func preview() extension {
	return extension{
		name: imap.CapPreview,
		fetch: []fetchItem{{"PREVIEW", func(s *session) fetchAtt {
			// Anything else in parentheses is a modifier of the FETCH.
			if s.dec.PeekAll(" (LAZY)") {
				s.dec.SP()
				s.dec.List(func() { s.dec.Keyword() })
			}
			return fetchAtt{facts: true, write: func(s *session, m *fetched) error {
				s.enc.Raw("PREVIEW ").String(string(m.facts.Preview))
				return nil
			}}
		}}},
	}
}
