package mailbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"time"

	"roost/mailbox/message"
	"roost/mailbox/signature"
)

// A digest is what searches, sorts and threads ask of a body's header. It lies
// in a row of the body, so that copies share it.
type digest struct {
	odd    bool // the fields may read otherwise with a prefix in front: look into the message
	lead   bool // whoever finds a word in the preview has found it in the body's text
	sent   time.Time
	fields [len(digestFields)]string
	keys   SortKeys
}

// digestFields are the fields that have search keys of their own. Of each, a
// digest has the folded text of all that there are, each after a line feed.
var digestFields = [...]string{"From", "To", "Cc", "Bcc", "Subject"}

// SortKeys are what a message is sorted and threaded by. Texts are in the form
// in which i;unicode-casemap compares them (RFC 5051).
type SortKeys struct {
	Subject     string // base subject (RFC 5256 2.1)
	Reply       bool   // the subject is one of a reply or forward
	From        string // local part of the first address
	To          string
	Cc          string
	DisplayFrom string // display name of the first address, or else the address (RFC 5957)
	DisplayTo   string
	ID          uint64   // hash of the Message-ID; 0 for none
	References  []uint64 // hashes of the messages that it follows, the nearest last
}

// The row begins with the version of what made it; one that is not known here
// means that the message has to be looked into.
const digestVersion = 1

// The digest's flags.
const (
	digestOdd byte = 1 << iota
	digestReply
	digestSent
	digestLead // every word of the folded preview is in the folded text of the body
)

// maxDigestFields is the most text of address and subject fields kept.
const maxDigestFields = 16 << 10

// maxSortKey is the most bytes of a text that is sorted by.
const maxSortKey = 500

// digestOf makes the digest of a body.
func digestOf(part *message.Part) *digest {
	h := part.Header
	d := &digest{sent: sentDate(h)}
	total := 0
	for i, name := range digestFields {
		d.fields[i] = foldFields(h, name)
		total += len(d.fields[i])
	}
	if total > maxDigestFields {
		d.odd, d.fields = true, [len(digestFields)]string{}
	}
	base, reply := message.BaseSubject(h.Text("Subject"))
	d.keys = SortKeys{Subject: sortKey(base), Reply: reply}
	d.keys.From, d.keys.DisplayFrom = addressKeys(h, "From")
	d.keys.To, d.keys.DisplayTo = addressKeys(h, "To")
	d.keys.Cc, _ = addressKeys(h, "Cc")
	if id := h.MessageID(); id != "" {
		d.keys.ID = nameHash("m", id)
	}
	for _, id := range h.References() {
		d.keys.References = append(d.keys.References, nameHash("m", id))
	}
	return d
}

// isOdd tells whether a message could be read in another way behind a prefix:
// when its first line would be taken for the end of the prefix's last field,
// when nothing follows the separator of an mbox file, or when the limits of
// package message are near.
func isOdd(part *message.Part, r io.ReaderAt) bool {
	var first [6]byte
	n, _ := r.ReadAt(first[:], 0)
	for _, begin := range [...]string{" ", "\t", "From ", ">From "} {
		if strings.HasPrefix(string(first[:n]), begin) && (len(begin) == 1 || part.Header.Len() == 0) {
			return true
		}
	}
	const most = 512 << 10
	total, fields := 0, 0
	for p := range part.All() {
		total += len(p.Header.Raw())
		fields = max(fields, p.Header.Len())
		if p.Header.Truncated() {
			return true
		}
	}
	return total > most || fields > 5000
}

func sentDate(h message.Header) time.Time {
	t, err := mail.ParseDate(h.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	_, zone := t.Zone()
	return timeIn(t.Unix(), int16(zone/60))
}

// foldFields is the folded text of all fields of a name, each after a line feed;
// empty when there is none.
func foldFields(h message.Header, name string) string {
	var b []byte
	for _, text := range h.Texts(name) {
		b = append(b, '\n')
		b = message.AppendFold(b, []byte(text))
	}
	return string(b)
}

func addressKeys(h message.Header, name string) (local, display string) {
	a, ok := h.FirstAddress(name)
	if !ok {
		return "", ""
	}
	if a.Kind != message.Mailbox {
		a.Local, a.Domain = a.Name, ""
	}
	display = a.DisplayName()
	if display == "" || a.Kind != message.Mailbox {
		display = a.Local
		if a.Domain != "" {
			display += "@" + a.Domain
		}
	}
	return sortKey(message.DecodeWords(a.Local)), sortKey(display)
}

func sortKey(s string) string {
	s = message.CaseMap(strings.ToValidUTF8(s, "\uFFFD"))
	return s[:min(len(s), maxSortKey)]
}

// nameHash stands for a message identifier or a subject where only equality
// counts.
func nameHash(kind, name string) uint64 {
	sum := sha256.Sum256([]byte(kind + "\x00" + name))
	return binary.BigEndian.Uint64(sum[:])
}

func (d *digest) append(b []byte) []byte {
	flags := byte(0)
	if d.odd {
		flags |= digestOdd
	}
	if d.keys.Reply {
		flags |= digestReply
	}
	if !d.sent.IsZero() {
		flags |= digestSent
	}
	if d.lead {
		flags |= digestLead
	}
	b = append(b, digestVersion, flags)
	for _, f := range d.fields {
		b = appendBytes(b, []byte(f))
	}
	if !d.sent.IsZero() {
		b = appendTime(b, d.sent)
	}
	k := &d.keys
	for _, s := range []string{k.Subject, k.From, k.To, k.Cc, k.DisplayFrom, k.DisplayTo} {
		b = appendBytes(b, []byte(s))
	}
	b = binary.BigEndian.AppendUint64(b, k.ID)
	for _, r := range k.References {
		b = binary.BigEndian.AppendUint64(b, r)
	}
	return b
}

// parseDigest reads a digest's row; nil, without an error, when there is none
// or another version made it.
func parseDigest(v []byte) (*digest, error) {
	if len(v) < 2 || v[0] != digestVersion {
		return nil, nil
	}
	flags := v[1]
	r := decoder{b: v[2:]}
	d := &digest{odd: flags&digestOdd != 0, lead: flags&digestLead != 0}
	for i := range d.fields {
		d.fields[i] = r.string()
	}
	if flags&digestSent != 0 {
		d.sent = r.time()
	}
	d.keys = r.sortKeys(flags)
	return d, r.err("digest of a body")
}

// digestKeys reads no more of a digest's row than its sort keys; nil, without an
// error, as parseDigest.
func digestKeys(v []byte) (*SortKeys, error) {
	if len(v) < 2 || v[0] != digestVersion {
		return nil, nil
	}
	r := decoder{b: v[2:]}
	for range digestFields {
		r.bytes()
	}
	if v[1]&digestSent != 0 {
		r.varint()
		r.varint()
	}
	k := r.sortKeys(v[1])
	return &k, r.err("digest of a body")
}

// sortKeys reads the end of a digest's row. Its texts are parts of one string.
func (d *decoder) sortKeys(flags byte) SortKeys {
	k := SortKeys{Reply: flags&digestReply != 0}
	text := string(d.b)
	for _, s := range []*string{&k.Subject, &k.From, &k.To, &k.Cc, &k.DisplayFrom, &k.DisplayTo} {
		n := len(d.bytes())
		end := len(text) - len(d.b)
		*s = text[end-n : end]
	}
	if len(d.b) < 8 || len(d.b)%8 != 0 {
		d.bad = true
	}
	if d.bad {
		return SortKeys{}
	}
	k.ID = binary.BigEndian.Uint64(d.b)
	if n := len(d.b)/8 - 1; n > 0 {
		k.References = make([]uint64, n)
		for i := range k.References {
			k.References[i] = binary.BigEndian.Uint64(d.b[8+8*i:])
		}
	}
	return k
}

// analysis is all that is worked out once from a message's bytes.
type analysis struct {
	facts  Facts // but for what differs by placement
	digest *digest
	// signature is of the folded text and header; its version is this program's.
	signature []byte
}

// analyse reads a message, of size bytes, that has no prefix.
func analyse(r io.ReaderAt, size int64) (*analysis, error) {
	part, err := message.Parse(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, fmt.Errorf("parse the message: %w", err)
	}
	preview, err := part.Preview(r)
	if err != nil {
		return nil, fmt.Errorf("read the message: %w", err)
	}
	a := &analysis{digest: digestOf(part)}
	w := signers.Get().(*signer)
	defer signers.Put(w)
	if a.signature, err = w.sign(part, r); err != nil {
		return nil, fmt.Errorf("read the message: %w", err)
	}
	a.digest.lead = w.has(preview)
	a.digest.odd = a.digest.odd || isOdd(part, r)
	a.facts = Facts{
		Size:       size,
		HeaderSize: part.Body,
		Sent:       a.digest.sent,
		Envelope:   message.AppendEnvelope(nil, part.Header),
		Structure:  message.AppendBodyStructure(nil, part, true),
		Preview:    []byte(preview),
	}
	return a, nil
}

// signer makes a signature, and keeps the begin of the folded text.
type signer struct {
	builder signature.Builder
	lead    []byte
	header  []byte
	fold    message.FoldWriter
}

// signers have memory of about 100 KB each, which one message after the other uses.
var signers = sync.Pool{New: func() any { return new(signer) }}

const maxLead = 32 << 10

// Write takes folded text.
func (s *signer) Write(b []byte) (int, error) {
	s.lead = append(s.lead, b[:min(len(b), maxLead-len(s.lead))]...)
	return s.builder.Write(b)
}

// has tells whether each word of a preview is in the text as it is there.
func (s *signer) has(preview string) bool {
	for word := range strings.FieldsSeq(message.Fold(preview)) {
		if !bytes.Contains(s.lead, []byte(word)) {
			return false
		}
	}
	return true
}

// sign makes the signature of all that TEXT looks through.
func (s *signer) sign(part *message.Part, r io.ReaderAt) ([]byte, error) {
	s.builder.Reset()
	s.lead = s.lead[:0]
	s.fold.Reset(s)
	if err := part.WriteText(&s.fold, r, maxSearchText); err != nil && !errors.Is(err, message.ErrTooLong) {
		return nil, err
	}
	s.fold.Close()
	s.builder.Break()
	s.header = message.AppendFold(s.header[:0], part.Header.AppendText(nil))
	s.builder.Write(s.header)
	return s.builder.Append(nil), nil
}

// in is the facts of a placement of the message behind a prefix.
func (a *analysis) in(body BodyID, prefix []byte) Facts {
	m := a.facts
	m.Body, m.Prefix, m.Object = body, prefix, objectID(body, prefix)
	m.Size += int64(len(prefix))
	m.HeaderSize += int64(len(prefix))
	m.odd, m.plain = a.digest.odd, isPlain(prefix)
	h := prefixHeader(prefix)
	if h.Has("Date") {
		m.Sent = sentDate(h)
	}
	for f := range h.Fields() {
		name := strings.ToLower(f.Name())
		m.odd = m.odd || strings.HasPrefix(name, "content-") ||
			slices.ContainsFunc(digestFields[:], func(s string) bool { return strings.EqualFold(s, name) })
	}
	return m
}

// isPlain tells whether folding and encoded words change nothing in b but white
// space and case.
func isPlain(b []byte) bool {
	for i, c := range b {
		if c >= 0x80 || c == 0 || c == '?' && i > 0 && b[i-1] == '=' {
			return false
		}
	}
	return true
}

func prefixHeader(prefix []byte) message.Header {
	h, _ := message.ReadHeader(strings.NewReader(string(prefix))) // memory does not fail
	return h
}

// putDigest writes what is known of a body beside its place.
func (tx *tx) putDigest(id BodyID, a *analysis) error {
	if err := tx.put(bDigests, be64(uint64(id)), a.digest.append(nil)); err != nil {
		return err
	}
	return tx.put(bSignatures, be64(uint64(id)), a.signature)
}

func (tx *tx) dropDigest(id BodyID) error {
	if err := tx.delete(bDigests, be64(uint64(id))); err != nil {
		return err
	}
	return tx.delete(bSignatures, be64(uint64(id)))
}
