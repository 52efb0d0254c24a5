package mailbox

import (
	"bytes"
	"strings"

	"go.etcd.io/bbolt"

	"roost/mailbox/message"
)

// clues reads what the store keeps about a message beside its bytes, each kind
// when a test first asks for it. It belongs to one transaction.
type clues struct {
	run                       *searchRun
	tx                        *tx
	rows, views               *walk
	digests, signatures       bodyWalk
	entry                     Entry
	facts                     Facts
	haveRow, haveView, haveDi bool
	digest                    []byte // the row's fields, after version and flags; nil when it can't be used
	lead                      bool   // the digest says that the preview has words of the body
	preview                   []byte // folded, once there is one
	gone                      bool   // expunged since the search began
	err                       error
}

func newClues(tx *tx, r *searchRun) *clues {
	return &clues{
		run: r, tx: tx,
		rows: tx.walk(bFacts, r.id, r.folder.ID), views: tx.walk(bViews, r.id, r.folder.ID),
		digests: bodyWalk{c: tx.Bucket(bDigests).Cursor()}, signatures: bodyWalk{c: tx.Bucket(bSignatures).Cursor()},
	}
}

// bodyWalk goes through rows of bodies. A mailbox has them in order in the main.
type bodyWalk struct {
	c  *bbolt.Cursor
	id uint64 // where the cursor is; 0 at no row
	v  []byte
}

func (w *bodyWalk) at(body BodyID) []byte {
	id := uint64(body)
	if w.id == id {
		return w.v
	}
	if w.id != 0 && w.id < id {
		w.to(w.c.Next())
	}
	if w.id != id {
		w.to(w.c.Seek(be64(id)))
	}
	if w.id != id {
		return nil
	}
	return w.v
}

func (w *bodyWalk) to(k, v []byte) { w.id, w.v = bodyKey(k), v }

func (c *clues) next(e Entry) {
	c.entry = e
	c.haveRow, c.haveView, c.haveDi, c.gone = false, false, false, false
	c.preview = c.preview[:0]
}

// leaf decides one test as far as it can be without the message's bytes.
func (c *clues) leaf(q *Query) truth {
	if q.cost == costEntry {
		return q.byEntry(c.run.folder, c.entry)
	}
	if !c.row() {
		return no
	}
	switch {
	case q.cost == costRow:
		return q.byRow(&c.facts, c.run.now)
	case c.facts.odd:
		return unknown
	case q.field >= 0:
		return c.inDigest(q)
	}
	t := c.bySignature(q)
	switch {
	case q.Test == TestHeader:
		if t == no {
			t = truthOf(c.inPrefix(q))
		}
	case t == unknown:
		// Common words are found soon.
		if q.word && c.readDigest() && (q.Test == TestText && c.inFields(q) || c.inPreview(q)) {
			return yes
		}
	case q.Test == TestText:
		t = truthOf(c.inPrefix(q))
	}
	return t
}

func (c *clues) row() bool {
	if !c.haveRow {
		c.haveRow = true
		v := c.rows.at(c.entry.UID)
		if v == nil || isGone(v) {
			c.gone = true
			return false
		}
		if c.facts, c.err = parseRow(c.rows.k, v); c.err != nil {
			return false
		}
	}
	return !c.gone && c.err == nil
}

// readDigest reads the digest's row, and tells whether it speaks for the
// message.
func (c *clues) readDigest() bool {
	if !c.haveDi {
		c.haveDi, c.digest = true, nil
		if v := c.digests.at(c.facts.Body); len(v) >= 2 && v[0] == digestVersion && v[1]&digestOdd == 0 {
			c.digest, c.lead = v[2:], v[1]&digestLead != 0
		}
	}
	return c.digest != nil
}

// inDigest looks for text in one of the fields that a digest has.
func (c *clues) inDigest(q *Query) truth {
	if !c.readDigest() {
		return unknown
	}
	d := decoder{b: c.digest}
	var field []byte
	for range q.field + 1 {
		field = d.bytes()
	}
	if q.Text == "" {
		return truthOf(len(field) > 0)
	}
	return truthOf(bytes.Contains(field, []byte(q.Text)))
}

// bySignature rules out, or does not know.
func (c *clues) bySignature(q *Query) truth {
	if q.probe.Empty() || q.probe.May(c.signatures.at(c.facts.Body)) {
		return unknown
	}
	return no
}

// inFields looks for text in all the fields that a digest has. They are apart
// from each other there as in the header.
func (c *clues) inFields(q *Query) bool {
	d := decoder{b: c.digest}
	for range digestFields {
		if field := d.bytes(); len(field) > 0 && bytes.Contains(field[1:], []byte(q.Text)) {
			return true
		}
	}
	return false
}

// inPreview looks for a word in the preview, where that proves it.
func (c *clues) inPreview(q *Query) bool {
	if !c.lead || !c.view() {
		return false
	}
	if len(c.preview) == 0 {
		c.preview = message.AppendFold(c.preview, c.facts.Preview)
	}
	return bytes.Contains(c.preview, []byte(q.Text))
}

func (c *clues) view() bool {
	if !c.haveView {
		c.haveView = true
		c.err = c.facts.parseView(c.views.at(c.entry.UID))
	}
	return c.err == nil
}

// inPrefix looks for text in the fields that were put in front of the body.
func (c *clues) inPrefix(q *Query) bool {
	if !c.view() || len(c.facts.Prefix) == 0 {
		return false
	}
	prefix := c.facts.Prefix
	if len(q.needle) > 0 && c.facts.plain && !containsASCII(prefix, q.needle, q.rare) {
		return false
	}
	h := prefixHeader(prefix)
	if q.Test == TestText {
		return strings.Contains(message.Fold(string(h.AppendText(nil))), q.Text)
	}
	return fieldHas(h, q)
}

// containsASCII tells whether b contains needle, which is in lower case, in any
// case. It looks for the byte at rare first.
func containsASCII(b []byte, needle string, rare int) bool {
	for _, c := range otherCase(needle[rare]) {
		for at := 0; ; at++ {
			i := bytes.IndexByte(b[at:], c)
			if i < 0 {
				break
			}
			at += i
			if start := at - rare; start >= 0 && start+len(needle) <= len(b) && equalASCII(b[start:start+len(needle)], needle) {
				return true
			}
		}
	}
	return false
}

// otherCase are the cases of a lower-case byte.
func otherCase(c byte) []byte {
	if 'a' <= c && c <= 'z' {
		return []byte{c, c - 0x20}
	}
	return []byte{c}
}

func equalASCII(b []byte, lower string) bool {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func fieldHas(h message.Header, q *Query) bool {
	for _, text := range h.Texts(q.Name) {
		if q.Text == "" || strings.Contains(message.Fold(text), q.Text) {
			return true
		}
	}
	return false
}
