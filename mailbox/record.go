package mailbox

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// A record is one message body in a pack, with what is needed to put it back
// where it was delivered if roost.db is lost:
//
//	magic "ROO2" | head length u32 | body length u64 | crc of the head u32 | crc of these 20 bytes u32
//	head:  id, raw length, when it was stored, reverse-path,
//	       count × (account, its address, mailbox, its name, flags, count × keyword, INTERNALDATE, prefix),
//	       count × (account, domain, needs, count × recipient),
//	       count × chunk (stored length, kind, crc of the stored bytes u32)
//	body:  the chunks, each 256 KB of the message (the last one less), as they are or by zstd
//	       with the dictionary in dictionary.go
//
// Fixed numbers are big-endian, the others varints, strings have their length
// before them; a time is unix seconds and the zone's minutes; needs is 1 for
// 8BITMIME and 2 for SMTPUTF8; crc is CRC-32C. Chunks let a message be written
// and read by range with bounded memory. Accounts and mailboxes have their names
// beside their numbers, because numbers mean nothing without roost.db; a mailbox
// number of 0 is one that the delivery made. A record is copied as it is when
// its pack is rewritten, so it tells of the delivery for good.
//
// Stores of format 1 have records that begin with "ROO1" and are read as well.
// Their head is
//
//	id, raw length, INTERNALDATE, reverse-path,
//	count × (account, mailbox name, flags, prefix),
//	count × chunk

const (
	recordMagic    = "ROO2"
	recordMagic1   = "ROO1"
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
	stored time.Time
	from   string
	places []recordPlace
	routes []recordRoute
	chunks []chunk
}

// recordPlace is one copy as it was delivered.
type recordPlace struct {
	account  AccountID
	address  string // empty in format 1
	folder   FolderID
	name     string
	flags    Flags
	keywords []string
	date     time.Time
	prefix   []byte
}

// recordRoute is one domain that the message was to be sent to.
type recordRoute struct {
	account    AccountID
	domain     string
	eightBit   bool
	utf8       bool
	recipients []string
}

func newZip() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
		zstd.WithEncoderDictRaw(dictionaryID, []byte(dictionary)),
		zstd.WithWindowSize(chunkSize), zstd.WithLowerEncoderMem(true),
		zstd.WithAllLitEntropyCompression(true)) // base64 repeats nothing, and shrinks by a quarter
}

// seal packs one chunk of a message, appending to out what is to be stored. A
// chunk that zstd does not make smaller by an eighth stays as it is.
func seal(zip *zstd.Encoder, text, out []byte) (chunk, []byte) {
	n := len(out)
	c := chunk{kind: chunkZstd}
	if out = zip.EncodeAll(text, out); len(out)-n > len(text)-len(text)/8 {
		c.kind = chunkRaw
		out = append(out[:n], text...)
	}
	c.stored, c.crc = int64(len(out)-n), crc32.Checksum(out[n:], castagnoli)
	return c, out
}

// encode renders preamble and head.
func (h *recordHead) encode() []byte {
	b := make([]byte, preambleLength, preambleLength+256)
	b = binary.AppendUvarint(b, uint64(h.id))
	b = binary.AppendUvarint(b, uint64(h.raw))
	b = appendTime(b, h.stored)
	b = appendBytes(b, []byte(h.from))
	b = binary.AppendUvarint(b, uint64(len(h.places)))
	for i := range h.places {
		p := &h.places[i]
		b = binary.AppendUvarint(b, uint64(p.account))
		b = appendBytes(b, []byte(p.address))
		b = binary.AppendUvarint(b, uint64(p.folder))
		b = appendBytes(b, []byte(p.name))
		b = append(b, byte(p.flags))
		b = appendStrings(b, p.keywords)
		b = appendTime(b, p.date)
		b = appendBytes(b, p.prefix)
	}
	b = binary.AppendUvarint(b, uint64(len(h.routes)))
	for i := range h.routes {
		r := &h.routes[i]
		b = binary.AppendUvarint(b, uint64(r.account))
		b = appendBytes(b, []byte(r.domain))
		var needs byte
		if r.eightBit {
			needs |= 1
		}
		if r.utf8 {
			needs |= 2
		}
		b = append(b, needs)
		b = appendStrings(b, r.recipients)
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
	if len(b) < preambleLength || string(b[:4]) != recordMagic && string(b[:4]) != recordMagic1 ||
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
	h := &recordHead{id: BodyID(d.uvarint()), raw: int64(d.uvarint()), stored: d.time(), from: d.string()}
	if string(b[:4]) == recordMagic1 {
		h.parsePlaces1(&d)
	} else {
		h.parsePlaces(&d)
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

func (h *recordHead) parsePlaces(d *decoder) {
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		h.places = append(h.places, recordPlace{
			account: AccountID(d.uvarint()), address: d.string(), folder: FolderID(d.uvarint()), name: d.string(),
			flags: Flags(d.byte()), keywords: d.strings(), date: d.time(), prefix: d.bytes(),
		})
	}
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		r := recordRoute{account: AccountID(d.uvarint()), domain: d.string()}
		needs := d.byte()
		r.eightBit, r.utf8 = needs&1 != 0, needs&2 != 0
		r.recipients = d.strings()
		h.routes = append(h.routes, r)
	}
}

// parsePlaces1 reads a head of format 1, where INTERNALDATE was one for all and
// a mailbox was "#" and its number, or its use, or its name.
func (h *recordHead) parsePlaces1(d *decoder) {
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		p := recordPlace{account: AccountID(d.uvarint()), name: d.string(), flags: Flags(d.byte()), date: h.stored, prefix: d.bytes()}
		if rest, ok := strings.CutPrefix(p.name, "#"); ok {
			if id, err := strconv.ParseUint(rest, 10, 32); err == nil {
				p.folder, p.name = FolderID(id), ""
			}
		}
		h.places = append(h.places, p)
	}
}

// verify holds the stored bytes of a chunk against their checksum.
func (c chunk) verify(stored []byte) error {
	if crc32.Checksum(stored, castagnoli) != c.crc {
		return fmt.Errorf("checksum of a message: %w", ErrCorrupt)
	}
	return nil
}

// open checks one stored chunk and appends what it holds to b.
func (c chunk) open(unzip *unzipper, b, stored []byte) ([]byte, error) {
	if err := c.verify(stored); err != nil {
		return nil, err
	}
	if c.kind == chunkRaw {
		return append(b, stored...), nil
	}
	b, err := unzip.open(b, stored)
	if err != nil {
		return nil, fmt.Errorf("decompress a message: %w: %w", ErrCorrupt, err)
	}
	return b, nil
}

func appendStrings(b []byte, all []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, v := range all {
		b = appendBytes(b, []byte(v))
	}
	return b
}

func (d *decoder) strings() []string {
	var all []string
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		all = append(all, d.string())
	}
	return all
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
