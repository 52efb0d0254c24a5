package mailbox

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
)

// A record is one message body in a pack, with what is needed to put it back
// where it was delivered if roost.db is lost:
//
//	magic "ROO1" | head length u32 | body length u64 | crc of the head u32 | crc of these 20 bytes u32
//	head:  id, raw length, INTERNALDATE (unix seconds, zone minutes), reverse-path,
//	       count × (account, mailbox name, flags, prefix),
//	       count × chunk (stored length, kind, crc of the stored bytes u32)
//	body:  the chunks, each 256 KB of the message (the last one less), as they are or by zstd
//
// Fixed numbers are big-endian, the others varints, strings have their length
// before them; crc is CRC-32C. Chunks let a message be written and read by
// range with bounded memory.

const (
	recordMagic    = "ROO1"
	preambleLength = 24
	chunkSize      = 256 << 10
	maxHead        = 16 << 20
	chunkRaw       = 0
	chunkZstd      = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type chunk struct {
	stored int64
	kind   byte
	crc    uint32
}

// recordHead is the head of a record, decoded.
type recordHead struct {
	id     BodyID
	raw    int64
	date   time.Time
	from   string
	places []recordPlace
	chunks []chunk
}

type recordPlace struct {
	account AccountID
	folder  string
	flags   Flags
	prefix  []byte
}

func newZip() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(chunkSize), zstd.WithLowerEncoderMem(true))
}

func newUnzip() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(2*chunkSize),
		zstd.WithDecoderLowmem(true))
}

// compress writes the message to out, chunk by chunk, and lists the chunks. A
// chunk that zstd does not make smaller by an eighth stays as it is.
func compress(zip *zstd.Encoder, in io.Reader, size int64, out io.Writer) ([]chunk, error) {
	var chunks []chunk
	buf := make([]byte, min(size, chunkSize))
	var packed []byte
	for size > 0 {
		b := buf[:min(size, chunkSize)]
		if _, err := io.ReadFull(in, b); err != nil {
			return nil, err
		}
		size -= int64(len(b))
		packed = zip.EncodeAll(b, packed[:0])
		c := chunk{kind: chunkZstd}
		if len(packed) > len(b)-len(b)/8 {
			c.kind = chunkRaw
		} else {
			b = packed
		}
		c.stored, c.crc = int64(len(b)), crc32.Checksum(b, castagnoli)
		if _, err := out.Write(b); err != nil {
			return nil, err
		}
		chunks = append(chunks, c)
	}
	return chunks, nil
}

// encode renders preamble and head.
func (h *recordHead) encode() []byte {
	b := make([]byte, preambleLength, preambleLength+256)
	b = binary.AppendUvarint(b, uint64(h.id))
	b = binary.AppendUvarint(b, uint64(h.raw))
	b = appendTime(b, h.date)
	b = appendBytes(b, []byte(h.from))
	b = binary.AppendUvarint(b, uint64(len(h.places)))
	for _, p := range h.places {
		b = binary.AppendUvarint(b, uint64(p.account))
		b = appendBytes(b, []byte(p.folder))
		b = append(b, byte(p.flags))
		b = appendBytes(b, p.prefix)
	}
	b = binary.AppendUvarint(b, uint64(len(h.chunks)))
	var stored int64
	for _, c := range h.chunks {
		b = binary.AppendUvarint(b, uint64(c.stored))
		b = append(b, c.kind)
		b = binary.BigEndian.AppendUint32(b, c.crc)
		stored += c.stored
	}
	head := b[preambleLength:]
	copy(b, recordMagic)
	binary.BigEndian.PutUint32(b[4:], uint32(len(head)))
	binary.BigEndian.PutUint64(b[8:], uint64(stored))
	binary.BigEndian.PutUint32(b[16:], crc32.Checksum(head, castagnoli))
	binary.BigEndian.PutUint32(b[20:], crc32.Checksum(b[:20], castagnoli))
	return b
}

// parsePreamble checks a record's first bytes, and returns the lengths of its
// head and of its body.
func parsePreamble(b []byte) (head, body int64, err error) {
	if len(b) < preambleLength || string(b[:4]) != recordMagic ||
		crc32.Checksum(b[:20], castagnoli) != binary.BigEndian.Uint32(b[20:]) {
		return 0, 0, fmt.Errorf("record preamble: %w", ErrCorrupt)
	}
	head, body = int64(binary.BigEndian.Uint32(b[4:])), int64(binary.BigEndian.Uint64(b[8:]))
	if head > maxHead || body < 0 {
		return 0, 0, fmt.Errorf("record preamble: %w", ErrCorrupt)
	}
	return head, body, nil
}

// parseHead decodes a record from its preamble to the end of its head.
func parseHead(b []byte) (*recordHead, error) {
	length, body, err := parsePreamble(b)
	if err != nil {
		return nil, err
	}
	if int64(len(b)) < preambleLength+length {
		return nil, fmt.Errorf("record head: %w", ErrCorrupt)
	}
	b = b[:preambleLength+length]
	if crc32.Checksum(b[preambleLength:], castagnoli) != binary.BigEndian.Uint32(b[16:]) {
		return nil, fmt.Errorf("record head: %w", ErrCorrupt)
	}
	d := decoder{b: b[preambleLength:]}
	h := &recordHead{id: BodyID(d.uvarint()), raw: int64(d.uvarint()), date: d.time(), from: d.string()}
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		h.places = append(h.places, recordPlace{AccountID(d.uvarint()), d.string(), Flags(d.byte()), d.bytes()})
	}
	var stored int64
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		c := chunk{stored: int64(d.uvarint()), kind: d.byte(), crc: d.uint32()}
		d.bad = d.bad || c.stored < 0 || c.stored > chunkSize
		stored += c.stored
		h.chunks = append(h.chunks, c)
	}
	if h.raw < 0 || stored != body || int64(len(h.chunks)) != (h.raw+chunkSize-1)/chunkSize {
		d.bad = true
	}
	return h, d.err("record head")
}

// open checks one stored chunk and appends what it holds to b.
func (c chunk) open(unzip *zstd.Decoder, b, stored []byte) ([]byte, error) {
	if crc32.Checksum(stored, castagnoli) != c.crc {
		return nil, fmt.Errorf("checksum of a message: %w", ErrCorrupt)
	}
	if c.kind == chunkRaw {
		return append(b, stored...), nil
	}
	b, err := unzip.DecodeAll(stored, b)
	if err != nil {
		return nil, fmt.Errorf("decompress a message: %w: %w", ErrCorrupt, err)
	}
	return b, nil
}

func (d *decoder) byte() byte {
	if len(d.b) < 1 {
		d.bad = true
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uint32() uint32 {
	if len(d.b) < 4 {
		d.bad, d.b = true, nil
		return 0
	}
	v := binary.BigEndian.Uint32(d.b)
	d.b = d.b[4:]
	return v
}

// appendTime keeps seconds and the zone that they were given in, which
// INTERNALDATE shows.
func appendTime(b []byte, t time.Time) []byte {
	_, zone := t.Zone()
	return binary.AppendVarint(binary.AppendVarint(b, t.Unix()), int64(zone/60))
}

func (d *decoder) time() time.Time {
	sec, zone := d.varint(), d.varint()
	if zone == 0 {
		return time.Unix(sec, 0).UTC()
	}
	return time.Unix(sec, 0).In(time.FixedZone("", int(zone)*60))
}
