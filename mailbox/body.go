package mailbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"roost/mailbox/message"
)

// BodyID names a message body for good. Copies of a message share one.
type BodyID uint64

// bodyRow tells where a body lies and how many message and outbox rows need it.
type bodyRow struct {
	pack   packNumber
	offset int64 // of the record in the pack
	head   int64 // length of preamble and head
	stored int64 // length of the chunks
	raw    int64 // length of the body itself
	refs   int64
}

func bodyKey(k []byte) uint64 {
	if len(k) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(k)
}

func parseBodyRow(v []byte) (bodyRow, error) {
	if v == nil {
		return bodyRow{}, fmt.Errorf("a message without a body: %w", ErrCorrupt)
	}
	d := decoder{b: v}
	row := bodyRow{
		pack: packNumber(d.uvarint()), offset: int64(d.uvarint()), head: int64(d.uvarint()),
		stored: int64(d.uvarint()), raw: int64(d.uvarint()), refs: int64(d.uvarint()),
	}
	if row.head < preambleLength || row.head > preambleLength+maxHead || row.offset < 0 || row.stored < 0 || row.raw < 0 {
		d.bad = true
	}
	return row, d.err("body row")
}

func (tx *tx) bodyRow(id BodyID) (bodyRow, error) {
	return parseBodyRow(tx.Bucket(bBodies).Get(be64(uint64(id))))
}

func (tx *tx) putBodyRow(id BodyID, row bodyRow) error {
	b := make([]byte, 0, 32)
	for _, n := range []int64{int64(row.pack), row.offset, row.head, row.stored, row.raw, row.refs} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return tx.put(bBodies, be64(uint64(id)), b)
}

// addBody makes the row of a body that has just been appended to a pack.
func (tx *tx) addBody(id BodyID, row bodyRow) error {
	p, err := tx.packRow(row.pack)
	if err != nil {
		return err
	}
	p.size = max(p.size, row.offset+row.head+row.stored)
	p.live += row.head + row.stored
	p.records++
	if err := tx.putPackRow(row.pack, p); err != nil {
		return err
	}
	if bodies := tx.Bucket(bBodies); bodies.Sequence() < uint64(id) {
		if err := bodies.SetSequence(uint64(id)); err != nil { // a number is never given twice
			return err
		}
	}
	return tx.putBodyRow(id, row)
}

// retain notes n more rows that need a body.
func (tx *tx) retain(id BodyID, n int64) error {
	row, err := tx.bodyRow(id)
	if err != nil {
		return err
	}
	row.refs += n
	return tx.putBodyRow(id, row)
}

// release notes that a row no longer needs a body. The last one frees it, and
// the last body of a full pack frees the pack. The row of the pack stays until
// the file is gone, see sweepPacks.
func (tx *tx) release(id BodyID) error {
	row, err := tx.bodyRow(id)
	if err != nil {
		return err
	}
	if row.refs--; row.refs > 0 {
		return tx.putBodyRow(id, row)
	}
	k := be64(uint64(id))
	if err := tx.delete(bBodies, k); err != nil {
		return err
	}
	if err := tx.dropDigest(id); err != nil {
		return err
	}
	for _, b := range [][]byte{bDamaged, bOrigins} {
		if tx.Bucket(b).Get(k) != nil {
			if err := tx.delete(b, k); err != nil {
				return err
			}
		}
	}
	return tx.vacate(row)
}

// vacate takes a record out of its pack's counts.
func (tx *tx) vacate(row bodyRow) error {
	p, err := tx.packRow(row.pack)
	if err != nil {
		return err
	}
	p.live -= row.head + row.stored
	p.records--
	if p.records == 0 && tx.packs.removable(row.pack) {
		tx.deadPacks = append(tx.deadPacks, row.pack)
	}
	return tx.putPackRow(row.pack, p)
}

// Message is one message open for reading: the bytes that this mailbox adds in
// front, then the shared body. It holds no transaction and no file. It may be
// read from several goroutines.
type Message struct {
	Facts
	s   *Store
	row bodyRow

	mu     sync.Mutex
	chunks []chunk // nil until the first read
	whole  []byte  // the record's chunks, when it is small enough to be read at once
	open   int     // the chunk that is in text, counted from 1; 0 is none
	text   []byte
	room   room
}

// room is the memory that messages are read into. Whoever reads many hands it on
// from one to the next.
type room struct {
	record []byte
	text   []byte // a chunk; behind the prefix, if it is the first
}

// wholeRecord is the size up to which a record is read in one go.
const wholeRecord = 64 << 10

// ReadAt reads from the message as it is fetched, as io.ReaderAt. A body whose
// checksum does not hold gives ErrCorrupt, never its bytes; one that was
// expunged meanwhile may give ErrNotFound.
func (m *Message) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read a message: negative offset")
	}
	n := 0
	if off < int64(len(m.Prefix)) {
		n = copy(p, m.Prefix[off:])
		off += int64(n)
	}
	for n < len(p) {
		at := off - int64(len(m.Prefix))
		if at >= m.row.raw {
			return n, io.EOF
		}
		k, err := m.readBody(p[n:], at)
		if err != nil {
			return n, err
		}
		n += k
		off += int64(k)
	}
	return n, nil
}

// Rest lets go of what was read ahead, until the next read: some hundred KB where the
// message is large. Whoever waits for a slow client calls it; it may be called beside
// a read.
func (m *Message) Rest() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open, m.text, m.room = 0, nil, room{}
}

// Reader reads the message from its start.
func (m *Message) Reader() *io.SectionReader { return io.NewSectionReader(m, 0, m.Size) }

// Header reads the message's header section.
func (m *Message) Header() (message.Header, error) {
	b, err := m.bytes()
	if err != nil {
		return message.Header{}, err
	}
	if int64(len(b)) < m.HeaderSize {
		return message.ReadHeader(io.NewSectionReader(m, 0, m.HeaderSize))
	}
	return message.HeaderOf(bytes.Clone(b[:m.HeaderSize])), nil // it shall not hold on to the rest
}

// readBody copies from the one chunk that off falls into.
func (m *Message) readBody(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.load(int(off / chunkSize)); err != nil {
		return 0, err
	}
	return copy(p, m.text[off%chunkSize:]), nil
}

// bytes is all of the message, prefix and body, if it has no more than one chunk;
// nil, without an error, if it has. It is good until the message's room is used
// again.
func (m *Message) bytes() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.row.raw > chunkSize:
		return nil, nil
	case m.row.raw == 0:
		return m.Prefix, nil
	}
	if err := m.load(0); err != nil {
		return nil, err
	}
	return m.room.text, nil
}

// load sees to it that a chunk is in text.
func (m *Message) load(i int) error {
	if m.open == i+1 {
		return nil
	}
	err := m.readChunk(i)
	for errors.Is(err, errPackGone) {
		if err = m.find(); err == nil {
			err = m.readChunk(i)
		}
	}
	m.s.damaged(m.Body, m.row, err)
	return err
}

// find looks for the body again after its pack was removed: the message was
// expunged, or the pack was rewritten.
func (m *Message) find() error {
	gone := m.row.pack
	err := m.s.view(func(tx *tx) (err error) {
		if tx.Bucket(bBodies).Get(be64(uint64(m.Body))) == nil {
			return faultf(ErrNotFound, "the message was expunged")
		}
		m.row, err = tx.bodyRow(m.Body)
		return err
	})
	if err == nil && m.row.pack == gone {
		err = fmt.Errorf("pack %d is missing: %w", gone, ErrCorrupt)
	}
	m.chunks, m.whole, m.open = nil, nil, 0
	return err
}

func (m *Message) readHead() error {
	length := m.row.head
	if total := m.row.head + m.row.stored; total <= wholeRecord {
		length = total
	}
	b := slices.Grow(m.room.record[:0], int(length))[:length]
	m.room.record = b
	if err := m.s.packs.readAt(m.row.pack, b, m.row.offset); err != nil {
		return fmt.Errorf("read a message from pack %d: %w", m.row.pack, err)
	}
	h, err := parseHead(b)
	if err != nil {
		return fmt.Errorf("pack %d at %d: %w", m.row.pack, m.row.offset, err)
	}
	if h.id != m.Body || h.raw != m.row.raw {
		return fmt.Errorf("pack %d at %d holds another message: %w", m.row.pack, m.row.offset, ErrCorrupt)
	}
	m.chunks = h.chunks
	if m.chunks == nil {
		m.chunks = []chunk{}
	}
	if length > m.row.head {
		m.whole = b[m.row.head:]
	}
	return nil
}

func (m *Message) readChunk(i int) error {
	if m.chunks == nil {
		if err := m.readHead(); err != nil {
			return err
		}
	}
	if i >= len(m.chunks) {
		return fmt.Errorf("a message is shorter than its row says: %w", ErrCorrupt)
	}
	var off int64
	for _, c := range m.chunks[:i] {
		off += c.stored
	}
	c := m.chunks[i]
	var stored []byte
	if m.whole != nil {
		stored = m.whole[off : off+c.stored]
	} else {
		stored = slices.Grow(m.room.record[:0], int(c.stored))[:c.stored]
		m.room.record = stored
		if err := m.s.packs.readAt(m.row.pack, stored, m.row.offset+m.row.head+off); err != nil {
			return fmt.Errorf("read a message from pack %d: %w", m.row.pack, err)
		}
	}
	m.open = 0
	before := m.room.text[:0]
	if i == 0 {
		before = append(before, m.Prefix...)
	}
	text, err := c.open(m.s.unzip, before, stored)
	if err != nil {
		return fmt.Errorf("pack %d at %d: %w", m.row.pack, m.row.offset, err)
	}
	m.room.text = text
	m.text = text[len(before):]
	if int64(len(m.text)) < min(chunkSize, m.row.raw-int64(i)*chunkSize) {
		return fmt.Errorf("a message is shorter than its row says: %w", ErrCorrupt)
	}
	m.open = i + 1
	return nil
}
