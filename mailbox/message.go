package mailbox

import (
	"encoding/binary"
	"time"
)

// Facts are what never changes of a message in a mailbox.
type Facts struct {
	UID        UID
	Body       BodyID
	Prefix     []byte    // header fields that were put in front at delivery, each ending in CRLF
	Size       int64     // RFC822.SIZE: prefix and body, in bytes
	HeaderSize int64     // prefix and the body's header with the empty line that ends it
	Date       time.Time // INTERNALDATE
	Saved      time.Time // SAVEDATE (RFC 8514): when it came into this mailbox
	Envelope   []byte    // ENVELOPE as FETCH writes it
	Structure  []byte    // BODYSTRUCTURE as FETCH writes it
}

func messageKey(id AccountID, folder FolderID, uid UID) []byte {
	return binary.BigEndian.AppendUint32(folderKey(id, folder), uint32(uid))
}

func parseFacts(k, v []byte) (Facts, error) {
	if len(k) != 12 || v == nil {
		return Facts{}, faultf(ErrCorrupt, "a message without its row")
	}
	d := decoder{b: v}
	m := Facts{
		UID:        UID(binary.BigEndian.Uint32(k[8:])),
		Body:       BodyID(d.uvarint()),
		Size:       int64(d.uvarint()),
		HeaderSize: int64(d.uvarint()),
		Date:       d.time(),
		Saved:      d.time(),
		Prefix:     d.bytes(),
		Envelope:   d.bytes(),
		Structure:  d.bytes(),
	}
	return m, d.err("message row")
}

func (tx *tx) putFacts(id AccountID, folder FolderID, m *Facts) error {
	b := make([]byte, 0, 48+len(m.Prefix)+len(m.Envelope)+len(m.Structure))
	b = binary.AppendUvarint(b, uint64(m.Body))
	b = binary.AppendUvarint(b, uint64(m.Size))
	b = binary.AppendUvarint(b, uint64(m.HeaderSize))
	b = appendTime(b, m.Date)
	b = appendTime(b, m.Saved)
	b = appendBytes(b, m.Prefix)
	b = appendBytes(b, m.Envelope)
	b = appendBytes(b, m.Structure)
	return tx.put(bMessages, messageKey(id, folder, m.UID), b)
}

// factsPage is how many rows Facts reads in one transaction.
const factsPage = 512

// Facts calls f for each of the messages with the given UIDs (in order) that
// still exists. The bytes in m are f's only until it returns. f may write to a
// network: no transaction is open while it runs.
func (s *Store) Facts(id AccountID, folder FolderID, uids []UID, f func(m *Facts) error) error {
	var page []Facts
	var raw []byte // the rows' bytes, copied out of the map of the file
	for len(uids) > 0 {
		part := uids[:min(len(uids), factsPage)]
		uids = uids[len(part):]
		page, raw = page[:0], raw[:0]
		err := s.view(func(tx *tx) error {
			c := tx.Bucket(bMessages).Cursor()
			var k, v []byte
			for i, uid := range part {
				want := messageKey(id, folder, uid)
				if i > 0 && uid == part[i-1]+1 && k != nil {
					k, v = c.Next()
				} else {
					k, v = c.Seek(want)
				}
				if string(k) != string(want) {
					if k, v = c.Seek(want); string(k) != string(want) {
						continue
					}
				}
				start := len(raw)
				raw = append(raw, v...)
				m, err := parseFacts(k, raw[start:])
				if err != nil {
					return err
				}
				page = append(page, m)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i := range page {
			if err := f(&page[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// OpenMessage opens one message for reading. ErrNotFound when it is gone.
func (s *Store) OpenMessage(id AccountID, folder FolderID, uid UID) (*Message, error) {
	m := &Message{s: s}
	err := s.view(func(tx *tx) error {
		k := messageKey(id, folder, uid)
		v := tx.Bucket(bMessages).Get(k)
		if v == nil {
			return faultf(ErrNotFound, "the message was expunged")
		}
		var err error
		if m.Facts, err = parseFacts(k, append([]byte(nil), v...)); err != nil {
			return err
		}
		m.row, err = tx.bodyRow(m.Body)
		return err
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}
