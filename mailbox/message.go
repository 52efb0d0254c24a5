package mailbox

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"sync"
	"time"
)

// Facts are what never changes of a message in a mailbox.
type Facts struct {
	// From the fixed-width row, which Rows gives too.
	UID        UID
	Body       BodyID
	Object     ObjectID
	Thread     ThreadID
	Size       int64     // RFC822.SIZE: prefix and body, in bytes
	HeaderSize int64     // prefix and the body's header with the empty line that ends it
	Date       time.Time // INTERNALDATE
	Saved      time.Time // SAVEDATE (RFC 8514): when it came into this mailbox
	Sent       time.Time // the Date field in its own zone; zero when there is none that can be read

	odd   bool // a search has to look at prefix and body together
	plain bool // the prefix is of ASCII without encoded words

	// From the row of what FETCH writes as it is.
	Prefix    []byte // header fields that were put in front at delivery, each ending in CRLF
	Envelope  []byte // ENVELOPE
	Structure []byte // BODYSTRUCTURE
	Preview   []byte // PREVIEW (RFC 8970): the first words, UTF-8, not quoted
}

// ObjectID is EMAILID (RFC 8474): the same for every copy of a message in an
// account, and for no other.
type ObjectID uint64

// String is the form that IMAP shows.
func (id ObjectID) String() string { return fmt.Sprintf("M%012x", uint64(id)) }

// ThreadID is THREADID (RFC 8474).
type ThreadID uint64

// String is the form that IMAP shows.
func (id ThreadID) String() string { return fmt.Sprintf("T%012x", uint64(id)) }

// objectID is told by what a message consists of, so that it comes out the same
// when the rows have to be made again.
func objectID(body BodyID, prefix []byte) ObjectID {
	return ObjectID(uint64(body)<<24 | uint64(crc32.Checksum(prefix, castagnoli)>>8))
}

func messageKey(id AccountID, folder FolderID, uid UID) []byte {
	return binary.BigEndian.AppendUint32(folderKey(id, folder), uint32(uid))
}

func splitMessageKey(k []byte) (AccountID, FolderID, UID) {
	be := binary.BigEndian
	return AccountID(be.Uint32(k)), FolderID(be.Uint32(k[4:])), UID(be.Uint32(k[8:]))
}

// A row of fixed width answers what lists, searches by date and size, and sorts
// ask of every message of a mailbox, so that they never touch the longer row:
//
//	body u64 | object u64 | thread u64 | size u64 | header size u32 |
//	INTERNALDATE: unix seconds i64, zone minutes i16 | save date i64 | Date field i64, i16 |
//	flags u8: 1 odd, 2 plain, 4 expunged and kept
const (
	rowLength = 65
	noDate    = math.MinInt64
	rowOdd    = 1
	rowPlain  = 2
	rowGone   = 4
)

func appendRow(b []byte, m *Facts) []byte {
	sent, zone := int64(noDate), int16(0)
	if !m.Sent.IsZero() {
		sent, zone = m.Sent.Unix(), zoneOf(m.Sent)
	}
	be := binary.BigEndian
	b = be.AppendUint64(b, uint64(m.Body))
	b = be.AppendUint64(b, uint64(m.Object))
	b = be.AppendUint64(b, uint64(m.Thread))
	b = be.AppendUint64(b, uint64(m.Size))
	b = be.AppendUint32(b, uint32(m.HeaderSize))
	b = be.AppendUint64(b, uint64(m.Date.Unix()))
	b = be.AppendUint16(b, uint16(zoneOf(m.Date)))
	b = be.AppendUint64(b, uint64(m.Saved.Unix()))
	b = be.AppendUint64(b, uint64(sent))
	b = be.AppendUint16(b, uint16(zone))
	flags := byte(0)
	if m.odd {
		flags |= rowOdd
	}
	if m.plain {
		flags |= rowPlain
	}
	return append(b, flags)
}

func zoneOf(t time.Time) int16 {
	_, seconds := t.Zone()
	return int16(seconds / 60)
}

// parseRow reads the fixed-width row of a message.
func parseRow(k, v []byte) (Facts, error) {
	if len(k) != 12 || len(v) != rowLength {
		return Facts{}, faultf(ErrCorrupt, "a message without its row")
	}
	be := binary.BigEndian
	m := Facts{
		UID:        UID(be.Uint32(k[8:])),
		Body:       BodyID(be.Uint64(v)),
		Object:     ObjectID(be.Uint64(v[8:])),
		Thread:     ThreadID(be.Uint64(v[16:])),
		Size:       int64(be.Uint64(v[24:])),
		HeaderSize: int64(be.Uint32(v[32:])),
		Date:       timeIn(int64(be.Uint64(v[36:])), int16(be.Uint16(v[44:]))),
		Saved:      time.Unix(int64(be.Uint64(v[46:])), 0).UTC(),
		odd:        v[64]&rowOdd != 0,
		plain:      v[64]&rowPlain != 0,
	}
	if sent := int64(be.Uint64(v[54:])); sent != noDate {
		m.Sent = timeIn(sent, int16(be.Uint16(v[62:])))
	}
	return m, nil
}

// zones are those that mail is sent in, by quarters of an hour from -15:00 on: a
// long list of messages is read without making one for each.
var zones = func() (z [121]*time.Location) {
	for i := range z {
		z[i] = time.FixedZone("", (i-60)*15*60)
	}
	z[60] = time.UTC
	return z
}()

func timeIn(sec int64, minutes int16) time.Time {
	i := int(minutes)/15 + 60
	if minutes%15 == 0 && 0 <= i && i < len(zones) {
		return time.Unix(sec, 0).In(zones[i])
	}
	return time.Unix(sec, 0).In(time.FixedZone("", int(minutes)*60))
}

// parseView adds what the longer row has. The slices are parts of v.
func (m *Facts) parseView(v []byte) error {
	if v == nil {
		return faultf(ErrCorrupt, "a message without its view")
	}
	d := decoder{b: v}
	m.Prefix, m.Envelope, m.Structure, m.Preview = d.bytes(), d.bytes(), d.bytes(), d.bytes()
	return d.err("view of a message")
}

// putFacts writes both rows.
func (tx *tx) putFacts(id AccountID, folder FolderID, m *Facts) error {
	k := messageKey(id, folder, m.UID)
	if err := tx.put(bFacts, k, appendRow(make([]byte, 0, rowLength), m)); err != nil {
		return err
	}
	b := make([]byte, 0, 8+len(m.Prefix)+len(m.Envelope)+len(m.Structure)+len(m.Preview))
	for _, part := range [][]byte{m.Prefix, m.Envelope, m.Structure, m.Preview} {
		b = appendBytes(b, part)
	}
	return tx.put(bViews, k, b)
}

// facts reads both rows. The slices are the transaction's.
func (tx *tx) facts(id AccountID, folder FolderID, uid UID) (Facts, error) {
	k := messageKey(id, folder, uid)
	m, err := parseRow(k, tx.Bucket(bFacts).Get(k))
	if err != nil {
		return m, err
	}
	return m, m.parseView(tx.Bucket(bViews).Get(k))
}

// dropFacts takes both rows away, and returns what the short one said.
func (tx *tx) dropFacts(id AccountID, folder FolderID, uid UID) (Facts, error) {
	k := messageKey(id, folder, uid)
	m, err := parseRow(k, tx.Bucket(bFacts).Get(k))
	if err != nil {
		return m, err
	}
	if err := tx.delete(bFacts, k); err != nil {
		return m, err
	}
	return m, tx.delete(bViews, k)
}

// factsPage is how many rows Facts reads in one transaction.
const factsPage = 512

// Facts calls f for each of the messages with the given UIDs (in order) that
// still exists. The bytes in m are f's only until it returns. f may write to a
// network: no transaction is open while it runs.
func (s *Store) Facts(id AccountID, folder FolderID, uids []UID, f func(m *Facts) error) error {
	return s.facts(id, folder, uids, true, f)
}

// Rows is Facts without Prefix, Envelope, Structure and Preview, for a fraction
// of the work.
func (s *Store) Rows(id AccountID, folder FolderID, uids []UID, f func(m *Facts) error) error {
	return s.facts(id, folder, uids, false, f)
}

// A page is what Facts has read.
type page struct {
	facts []Facts
	raw   []byte // the longer rows' bytes, copied out of the map of the file
}

// pages lends them: a mailbox is listed a few hundred messages at a time.
type pages struct{ pool sync.Pool }

func (p *pages) get() *page {
	if pg, ok := p.pool.Get().(*page); ok {
		return pg
	}
	return new(page)
}

func (p *pages) put(pg *page) {
	const most = 1 << 20 // of messages with many parts
	if cap(pg.raw) <= most {
		p.pool.Put(pg)
	}
}

func (s *Store) facts(id AccountID, folder FolderID, uids []UID, views bool, f func(m *Facts) error) error {
	pg := s.pages.get()
	defer s.pages.put(pg)
	for len(uids) > 0 {
		part := uids[:min(len(uids), factsPage)]
		uids = uids[len(part):]
		err := s.view(func(tx *tx) error {
			page, raw := pg.facts[:0], pg.raw[:0]
			defer func() { pg.facts, pg.raw = page, raw }()
			if s.reads.wanted() {
				s.reads.rows(tx, bFacts, id, folder, part[0], part[len(part)-1])
				if views {
					s.reads.rows(tx, bViews, id, folder, part[0], part[len(part)-1])
				}
			}
			rows, texts := tx.walk(bFacts, id, folder), tx.walk(bViews, id, folder)
			if page == nil {
				page = make([]Facts, 0, len(part))
			}
			for _, uid := range part {
				v := rows.at(uid)
				if v == nil || isGone(v) {
					continue
				}
				m, err := parseRow(rows.k, v)
				if err != nil {
					return err
				}
				if views {
					start := len(raw)
					raw = append(raw, texts.at(uid)...)
					if err := m.parseView(raw[start:]); err != nil {
						return err
					}
				}
				page = append(page, m)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i := range pg.facts {
			if err := f(&pg.facts[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// OpenMessage opens one message for reading. ErrNotFound when it is gone,
// ErrCorrupt when it is known to be damaged.
func (s *Store) OpenMessage(id AccountID, folder FolderID, uid UID) (*Message, error) {
	m := &Message{s: s}
	err := s.view(func(tx *tx) error {
		k := messageKey(id, folder, uid)
		v := tx.Bucket(bFacts).Get(k)
		if v == nil || isGone(v) {
			return faultf(ErrNotFound, "the message was expunged")
		}
		var err error
		if m.Facts, err = parseRow(k, v); err != nil {
			return err
		}
		if err = m.parseView(append([]byte(nil), tx.Bucket(bViews).Get(k)...)); err != nil {
			return err
		}
		if err := tx.quarantined(m.Body); err != nil {
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

// openMessages opens several at once, of which it reads no more than the row and the
// prefix. Of one that OpenMessage would not open, errs has its error.
func (s *Store) openMessages(id AccountID, folder FolderID, entries []Entry) (all []Message, errs []error, err error) {
	all, errs = make([]Message, len(entries)), make([]error, len(entries))
	err = s.view(func(tx *tx) error {
		rows, views := tx.walk(bFacts, id, folder), tx.walk(bViews, id, folder)
		bodies := bodyWalk{c: tx.Bucket(bBodies).Cursor()}
		var prefixes []byte
		for i, e := range entries {
			m := &all[i]
			m.s = s
			v := rows.at(e.UID)
			if v == nil || isGone(v) {
				errs[i] = faultf(ErrNotFound, "the message was expunged")
				continue
			}
			var view Facts
			m.Facts, errs[i] = parseRow(rows.k, v)
			if errs[i] == nil {
				errs[i] = view.parseView(views.at(e.UID))
			}
			if errs[i] == nil {
				errs[i] = tx.quarantined(m.Body)
			}
			if errs[i] == nil {
				m.row, errs[i] = parseBodyRow(bodies.at(m.Body))
			}
			start := len(prefixes)
			prefixes = append(prefixes, view.Prefix...)
			m.Prefix = prefixes[start:len(prefixes):len(prefixes)]
		}
		return nil
	})
	return all, errs, err
}
