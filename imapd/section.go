package imapd

import (
	"bytes"
	"io"

	"roost/imapd/wire"
	"roost/mailbox/message"
)

// shortStructure is BODY without a section: BODYSTRUCTURE without its
// extension data, which is not stored.
func shortStructure() fetchAtt {
	return fetchAtt{parses: true, write: func(s *session, m *fetched) error {
		s.enc.Raw("BODY ").Bytes(message.AppendBodyStructure(nil, m.part, false))
		return nil
	}}
}

// bodyAtt reads what follows BODY or BODY.PEEK: a section and a partial.
func (s *session) bodyAtt(seen bool) fetchAtt {
	section := s.dec.Section(false)
	partial := s.dec.Partial()
	label := section.Append([]byte("BODY"))
	if partial != nil {
		label = append(label, '<')
		label = append(label, decimal(partial.Offset)...)
		label = append(label, '>')
	}
	return sectionAtt(string(label), section, partial, seen)
}

// sectionAtt is an item that shows a section of the message.
func sectionAtt(label string, section wire.Section, partial *wire.Partial, seen bool) fetchAtt {
	a := fetchAtt{opens: true, parses: len(section.Part) > 0, seen: seen}
	if len(section.Fields) > 0 && len(section.Part) == 0 {
		a.check = (*fetched).readHeader
	}
	a.write = func(s *session, m *fetched) error {
		s.enc.Raw(label).Raw(" ")
		r := m.section(section)
		if r == nil {
			s.enc.Raw("NIL")
			return nil
		}
		return writeLiteral(s.enc, "", r, partial)
	}
	return a
}

// writeLiteral writes what a partial leaves of r. A partial that begins beyond
// the end is empty (RFC 9051 section 6.4.5).
func writeLiteral(e *wire.Encoder, prefix string, r *io.SectionReader, partial *wire.Partial) error {
	size := r.Size()
	if partial != nil {
		offset := int64(min(partial.Offset, uint64(size)))
		size = int64(min(partial.Count, uint64(size-offset)))
		r = io.NewSectionReader(r, offset, size)
	}
	if size == 0 && prefix == "" {
		e.Raw(`""`)
		return nil
	}
	return e.Literal(prefix, size, r)
}

// readHeader reads the message's header section.
func (m *fetched) readHeader() error {
	if m.header != nil {
		return nil
	}
	if m.part != nil {
		m.header = &m.part.Header
		return nil
	}
	h, err := m.message.Header()
	m.header = &h
	return err
}

// section finds the octets that a section names; nil if there is no such part.
func (m *fetched) section(section wire.Section) *io.SectionReader {
	span := func(from, to int64) *io.SectionReader { return io.NewSectionReader(m.message, from, to-from) }
	if len(section.Part) == 0 {
		switch section.Text {
		case "":
			return span(0, m.message.Size)
		case "HEADER":
			return span(0, m.message.HeaderSize)
		case "TEXT":
			return span(m.message.HeaderSize, m.message.Size)
		}
		return fieldsOf(*m.header, section)
	}
	path := make([]int, len(section.Part))
	for i, n := range section.Part {
		path[i] = int(n)
	}
	part := m.part.Section(path...)
	switch {
	case part == nil:
		return nil
	case section.Text == "":
		return span(part.Body, part.End)
	case section.Text == "MIME":
		return span(part.Start, part.Body)
	case part.Message == nil:
		// RFC 9051 section 6.4.5.1: HEADER and TEXT are of messages.
		return nil
	case section.Text == "HEADER":
		return span(part.Message.Start, part.Message.Body)
	case section.Text == "TEXT":
		return span(part.Message.Body, part.Message.End)
	}
	return fieldsOf(part.Message.Header, section)
}

func fieldsOf(h message.Header, section wire.Section) *io.SectionReader {
	b := h.AppendFields(nil, section.Fields, section.Text == "HEADER.FIELDS.NOT")
	return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
}
