package imapd

import (
	"bytes"
	"errors"
	"io"
	"math"

	"github.com/emersion/go-imap/v2"

	"roost/imapd/wire"
	"roost/mailbox/message"
)

// binary brings BINARY (RFC 3516): parts without their transfer encoding.
func binary() extension {
	return extension{
		name: imap.CapBinary,
		fetch: []fetchItem{
			{"BINARY", func(s *session) fetchAtt { return s.binaryAtt("BINARY", true) }},
			{"BINARY.PEEK", func(s *session) fetchAtt { return s.binaryAtt("BINARY", false) }},
			{"BINARY.SIZE", func(s *session) fetchAtt { return s.binaryAtt("BINARY.SIZE", false) }},
		},
	}
}

func (s *session) binaryAtt(name string, seen bool) fetchAtt {
	section := s.dec.Section(true)
	var partial *wire.Partial
	if name == "BINARY" {
		partial = s.dec.Partial()
	}
	label := section.Append([]byte(name))
	if partial != nil {
		label = append(append(append(label, '<'), decimal(partial.Offset)...), '>')
	}
	a := fetchAtt{parses: true, seen: seen}
	a.check = func(m *fetched) error {
		_, err := m.decoded(section)
		if errors.Is(err, message.ErrUnknownEncoding) {
			return no("UNKNOWN-CTE", "%v", err)
		}
		return err
	}
	a.write = func(s *session, m *fetched) error {
		s.enc.Raw(string(label)).Raw(" ")
		r, err := m.decoded(section)
		if err != nil {
			return err
		}
		// Without the size no literal can begin, so the part is decoded twice.
		size, nul, err := measure(r)
		if err != nil {
			return err
		}
		if name == "BINARY.SIZE" {
			s.enc.Number(uint64(size))
			return nil
		}
		if r, err = m.decoded(section); err != nil {
			return err
		}
		if partial != nil {
			offset := int64(min(partial.Offset, uint64(size)))
			size = int64(min(partial.Count, uint64(size-offset), math.MaxInt64))
			if _, err := io.CopyN(io.Discard, r, offset); err != nil {
				return err
			}
		}
		prefix := ""
		if nul {
			prefix = "~"
		}
		if size == 0 {
			s.enc.Raw(`""`)
			return nil
		}
		return s.enc.Literal(prefix, size, r)
	}
	return a
}

// decoded reads a part without its transfer encoding; a part that is not there
// is empty.
func (m *fetched) decoded(section wire.Section) (io.Reader, error) {
	if len(section.Part) == 0 {
		return m.message.Reader(), nil
	}
	path := make([]int, len(section.Part))
	for i, n := range section.Part {
		path[i] = int(n)
	}
	part := m.part.Section(path...)
	if part == nil {
		return bytes.NewReader(nil), nil
	}
	return part.Decode(m.message)
}

// measure reads r to its end and reports its size and whether it has a NUL.
func measure(r io.Reader) (size int64, nul bool, err error) {
	buf := make([]byte, 8<<10)
	for {
		n, err := r.Read(buf)
		size += int64(n)
		nul = nul || bytes.IndexByte(buf[:n], 0) >= 0
		if err == io.EOF {
			return size, nul, nil
		}
		if err != nil {
			return size, nul, err
		}
	}
}
