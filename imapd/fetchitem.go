package imapd

import (
	"roost/imapd/wire"
)

// fetching brings FETCH and the items of RFC 9051 section 6.4.5 and RFC 3501
// section 6.4.5.
func fetching() extension {
	item := func(name string, a fetchAtt) fetchItem {
		return fetchItem{name, func(*session) fetchAtt { return a }}
	}
	return extension{
		commands: []command{
			{name: "FETCH", in: selected, numbered: true, counts: true, run: runFetch},
			{name: "UID FETCH", in: selected, run: runFetch},
		},
		fetch: []fetchItem{
			item("FLAGS", fetchAtt{flags: true, write: func(s *session, m *fetched) error {
				s.writeFlagItem(m.entry, m.folder)
				return nil
			}}),
			item("UID", uidAtt()),
			item("INTERNALDATE", fetchAtt{row: true, write: func(s *session, m *fetched) error {
				s.enc.Raw("INTERNALDATE ").Time(m.facts.Date)
				return nil
			}}),
			item("RFC822.SIZE", fetchAtt{row: true, write: func(s *session, m *fetched) error {
				s.enc.Raw("RFC822.SIZE ").Number(uint64(m.facts.Size))
				return nil
			}}),
			item("ENVELOPE", fetchAtt{facts: true, write: func(s *session, m *fetched) error {
				s.enc.Raw("ENVELOPE ").Bytes(m.facts.Envelope)
				return nil
			}}),
			item("BODYSTRUCTURE", fetchAtt{facts: true, write: func(s *session, m *fetched) error {
				s.enc.Raw("BODYSTRUCTURE ").Bytes(m.facts.Structure)
				return nil
			}}),
			{"BODY", func(s *session) fetchAtt {
				if !s.dec.Peek('[') {
					return shortStructure()
				}
				return s.bodyAtt(true)
			}},
			{"BODY.PEEK", func(s *session) fetchAtt { return s.bodyAtt(false) }},
			item("RFC822", sectionAtt("RFC822", wire.Section{}, nil, true)),
			item("RFC822.HEADER", sectionAtt("RFC822.HEADER", wire.Section{Text: "HEADER"}, nil, false)),
			item("RFC822.TEXT", sectionAtt("RFC822.TEXT", wire.Section{Text: "TEXT"}, nil, true)),
		},
	}
}

func uidAtt() fetchAtt {
	return fetchAtt{uid: true, write: func(s *session, m *fetched) error {
		s.enc.Raw("UID ").Number(uint64(m.entry.UID))
		return nil
	}}
}
