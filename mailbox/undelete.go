package mailbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"roost/mailbox/message"
)

// An expunged message is kept for some days. Its rows stay where they are, with a
// mark in the short one that hides it from everybody, and its entry moves from the
// mailbox's blocks to a row of the bucket "undelete", one for each operation. It
// is in no mailbox's numbers and in no quota. So EXPUNGE writes a row for some
// hundred messages and one byte for each, and a job does the rest when the days
// are over. A mailbox that is deleted is kept in the same way as a whole: its row
// in "discarded" says since when.

// UndeleteDays is how long expunged messages are kept unless the settings say otherwise.
const UndeleteDays = 14

// kept is a row of "undelete": what one operation took out of a mailbox.
type kept struct {
	when     time.Time
	account  AccountID
	folder   FolderID
	modSeq   ModSeq
	name     string // of the mailbox
	keywords []string
	entries  []Entry // without modseq
}

func (k *kept) key() []byte {
	be := binary.BigEndian
	b := be.AppendUint64(nil, uint64(k.when.UnixNano()))
	b = be.AppendUint32(be.AppendUint32(b, uint32(k.account)), uint32(k.folder))
	return be.AppendUint64(b, uint64(k.modSeq))
}

func (k *kept) value() []byte {
	b := appendStrings(appendBytes(nil, []byte(k.name)), k.keywords)
	before := UID(0)
	for _, e := range k.entries {
		b = binary.AppendUvarint(b, uint64(e.UID-before))
		b = append(b, byte(e.Flags))
		b = binary.AppendUvarint(b, e.Keywords)
		before = e.UID
	}
	return b
}

const keptKeyLength = 24

func parseKept(k, v []byte) (*kept, error) {
	if len(k) != keptKeyLength {
		return nil, faultf(ErrCorrupt, "row of expunged messages")
	}
	be := binary.BigEndian
	d := decoder{b: v}
	r := &kept{
		when: time.Unix(0, int64(be.Uint64(k))).UTC(), account: AccountID(be.Uint32(k[8:])),
		folder: FolderID(be.Uint32(k[12:])), modSeq: ModSeq(be.Uint64(k[16:])),
		name: d.string(), keywords: d.strings(),
	}
	for uid := UID(0); len(d.b) > 0; {
		uid += UID(d.uvarint())
		r.entries = append(r.entries, Entry{UID: uid, Flags: Flags(d.byte()), Keywords: d.uvarint()})
	}
	return r, d.err("row of expunged messages")
}

func (tx *tx) putKept(r *kept) error {
	if len(r.entries) == 0 {
		return tx.delete(bUndelete, r.key())
	}
	return tx.put(bUndelete, r.key(), r.value())
}

// hide marks a message's row, so that nobody sees it any more.
func (tx *tx) hide(id AccountID, folder FolderID, uid UID) (Facts, error) {
	k := messageKey(id, folder, uid)
	v := bytes.Clone(tx.Bucket(bFacts).Get(k))
	m, err := parseRow(k, v)
	if err != nil {
		return m, err
	}
	v[rowLength-1] |= rowGone
	return m, tx.put(bFacts, k, v)
}

// isGone tells that a short row is of an expunged message.
func isGone(v []byte) bool { return len(v) == rowLength && v[rowLength-1]&rowGone != 0 }

// keeps tells whether expunged messages are kept now.
func (tx *tx) keeps() (bool, error) {
	var v Settings
	err := tx.settings(&v)
	return v.DaysKept() > 0, err
}

// ExpungedMessage is an expunged message that can be had back.
type ExpungedMessage struct {
	Mailbox string    `json:"mailbox"` // where it was
	UID     UID       `json:"uid"`     // that it had there
	When    time.Time `json:"when"`    // it was expunged, or its mailbox deleted
	Date    time.Time `json:"date"`    // INTERNALDATE
	Size    int64     `json:"size"`
	From    string    `json:"from"`
	Subject string    `json:"subject"`
}

// Undeletable lists an account's expunged messages that can be had back, the last
// ones first, at most limit of them.
func (s *Store) Undeletable(id AccountID, limit int) ([]ExpungedMessage, error) {
	var all []ExpungedMessage
	var where []*Message
	err := s.view(func(tx *tx) error {
		rows, err := tx.keptRows(id)
		for _, r := range rows {
			for i := len(r.entries) - 1; i >= 0 && len(all) < limit && err == nil; i-- {
				var m Facts
				if m, err = tx.facts(id, r.folder, r.entries[i].UID); err != nil {
					break
				}
				m.Prefix = bytes.Clone(m.Prefix)
				all = append(all, ExpungedMessage{Mailbox: r.name, UID: m.UID, When: r.when, Date: m.Date, Size: m.Size})
				open := &Message{s: s, Facts: m}
				if open.row, err = tx.bodyRow(m.Body); err == nil {
					where = append(where, open)
				}
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, m := range where {
		h, err := message.ReadHeader(m.Reader())
		if err != nil {
			all[i].Subject = "(damaged)"
			continue
		}
		all[i].From, all[i].Subject = cut(h.Text("From")), cut(h.Text("Subject"))
	}
	return all, nil
}

// keptRows lists what is kept of an account, the last operations first, deleted
// mailboxes among them.
func (tx *tx) keptRows(id AccountID) ([]*kept, error) {
	var rows []*kept
	err := tx.each(bUndelete, nil, func(k, v []byte) error {
		if len(k) == keptKeyLength && AccountID(binary.BigEndian.Uint32(k[8:])) != id {
			return nil
		}
		r, err := parseKept(k, v)
		rows = append(rows, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = tx.each(bDiscarded, be32(uint32(id)), func(k, v []byte) error {
		r, err := parseDiscarded(k, v)
		if err != nil || r.when.IsZero() {
			return err
		}
		r.entries, err = tx.entries(id, r.folder)
		rows = append(rows, r)
		return err
	})
	slices.SortStableFunc(rows, func(a, b *kept) int { return b.when.Compare(a.when) })
	return rows, err
}

// Undeletion says which expunged messages come back; the zero value is all.
type Undeletion struct {
	Since   time.Time // expunged at that time or later
	Mailbox string    // that they were in; empty is any
	UIDs    []UID     // that they had there, in order; nil is any
}

func (u *Undeletion) want(r *kept, e Entry) bool {
	if r.when.Before(u.Since) || u.Mailbox != "" && r.name != u.Mailbox {
		return false
	}
	_, ok := slices.BinarySearch(u.UIDs, e.UID)
	return ok || u.UIDs == nil
}

// Undelete puts expunged messages back into the mailbox that they were in, or one
// of its name, which is made again when it is gone. They are new there, with new
// UIDs, their flags but \Deleted, and the EMAILID and THREADID that they had. Many
// come back in pieces; after an error, those in the answer are back. Errors:
// ErrNotFound when none is meant, ErrOverQuota.
func (s *Store) Undelete(ctx context.Context, id AccountID, u Undeletion) (int, error) {
	var rows []*kept
	err := s.view(func(tx *tx) (err error) {
		rows, err = tx.keptRows(id)
		return err
	})
	if err != nil {
		return 0, err
	}
	var pieces []func(*tx) error
	var counts []*int
	slices.Reverse(rows) // the first that went is the first to come back
	for _, r := range rows {
		var uids []UID
		for _, e := range r.entries {
			if u.want(r, e) {
				uids = append(uids, e.UID)
			}
		}
		for part := range slices.Chunk(uids, expungePiece) {
			n := new(int)
			counts = append(counts, n)
			pieces = append(pieces, undelete(n, r, part))
		}
	}
	if len(pieces) == 0 {
		return 0, faultf(ErrNotFound, "no expunged message is meant, or it was too long ago")
	}
	done, err := s.updatePieces(ctx, pieces)
	total := 0
	for _, n := range counts[:done] {
		total += *n
	}
	return total, err
}

// undelete is one piece: it puts back those of some messages that are kept still.
func undelete(n *int, from *kept, uids []UID) func(*tx) error {
	return func(tx *tx) error {
		*n = 0
		id := from.account
		var row *kept // as it is now; nil for a mailbox that was deleted
		entries := make([]Entry, 0, len(uids))
		if from.modSeq != 0 {
			v := tx.Bucket(bUndelete).Get(from.key())
			if v == nil {
				return nil
			}
			var err error
			if row, err = parseKept(from.key(), v); err != nil {
				return err
			}
			entries = row.entries
		} else if all, err := tx.entries(id, from.folder); err != nil {
			return err
		} else if tx.Bucket(bDiscarded).Get(folderKey(id, from.folder)) != nil {
			entries = all
		}
		var back, stay []Entry
		for _, e := range entries {
			if _, ok := slices.BinarySearch(uids, e.UID); ok {
				back = append(back, e)
			} else {
				stay = append(stay, e)
			}
		}
		if len(back) == 0 {
			return nil
		}
		*n = len(back)
		var facts []Facts
		var size int64
		for _, e := range back {
			m, err := tx.facts(id, from.folder, e.UID)
			if err != nil {
				return err
			}
			m.Prefix, m.Envelope, m.Structure, m.Preview = bytes.Clone(m.Prefix), bytes.Clone(m.Envelope), bytes.Clone(m.Structure), bytes.Clone(m.Preview)
			m.Saved = time.Now().UTC()
			size += m.Size
			facts = append(facts, m)
		}
		if err := tx.roomFor(id, "", size); err != nil {
			return err
		}
		to, err := tx.returnTo(id, from)
		if err != nil {
			return err
		}
		source := Folder{Keywords: from.keywords}
		copies := make([]Entry, len(back))
		for i, e := range back {
			bits, err := to.keywordBits(source.KeywordNames(e.Keywords), true)
			if err != nil {
				return err
			}
			copies[i] = Entry{Flags: e.Flags &^ Deleted, Keywords: bits}
			if _, err := tx.dropFacts(id, from.folder, e.UID); err != nil {
				return err
			}
		}
		if row != nil {
			row.entries = stay
			err = tx.putKept(row)
		} else {
			err = tx.dropEntries(id, from.folder, back)
		}
		if err != nil {
			return err
		}
		return tx.addMessages(id, &to, facts, copies)
	}
}

// returnTo finds the mailbox that messages go back to, or makes it.
func (tx *tx) returnTo(id AccountID, from *kept) (Folder, error) {
	if f, err := tx.folder(id, from.folder); !errors.Is(err, ErrNotFound) {
		return f, err
	}
	return tx.target(&Placement{Account: id, Name: from.name})
}

// dropEntries takes entries out of the blocks of a mailbox that is out of sight.
func (tx *tx) dropEntries(id AccountID, folder FolderID, gone []Entry) error {
	for len(gone) > 0 {
		block, err := tx.block(id, folder, gone[0].UID)
		if err != nil {
			return err
		}
		n := 0
		block = slices.DeleteFunc(block, func(e Entry) bool {
			if n < len(gone) && gone[n].UID == e.UID {
				n++
				return true
			}
			return false
		})
		if n == 0 {
			return faultf(ErrCorrupt, "message %d of a deleted mailbox is not in its block", gone[0].UID)
		}
		if err := tx.putBlock(id, folder, gone[0].UID, block); err != nil {
			return err
		}
		gone = gone[n:]
	}
	return nil
}

// forgetExpunged is the job that gives up what has been kept long enough.
func (s *Store) forgetExpunged(ctx context.Context) error {
	for {
		var old []byte
		var until time.Time
		err := s.view(func(tx *tx) error {
			var err error
			if until, err = s.keptSince(tx); err != nil {
				return err
			}
			if k, _ := tx.Bucket(bUndelete).Cursor().First(); len(k) == keptKeyLength && int64(binary.BigEndian.Uint64(k)) <= until.UnixNano() {
				old = bytes.Clone(k)
			}
			return nil
		})
		if err != nil || old == nil {
			return err
		}
		if err := s.updateBulk(ctx, func(tx *tx) error { return tx.forget(old) }); err != nil {
			return err
		}
	}
}

// keptSince tells until when what was expunged is to be given up. On a disk that
// is almost full that is all: whoever expunges mail then wants the room.
func (s *Store) keptSince(tx *tx) (time.Time, error) {
	if s.room(0) != nil {
		return time.Now(), nil
	}
	var v Settings
	err := tx.settings(&v)
	return time.Now().AddDate(0, 0, -v.DaysKept()), err
}

// forget gives up the messages of one row. Those of a mailbox that was deleted
// meanwhile may be gone already.
func (tx *tx) forget(key []byte) error {
	v := tx.Bucket(bUndelete).Get(key)
	if v == nil {
		return nil
	}
	r, err := parseKept(key, v)
	if err != nil {
		return err
	}
	for _, e := range r.entries {
		if tx.Bucket(bFacts).Get(messageKey(r.account, r.folder, e.UID)) == nil {
			continue
		}
		m, err := tx.dropFacts(r.account, r.folder, e.UID)
		if err != nil {
			return err
		}
		if err := tx.release(m.Body); err != nil {
			return err
		}
	}
	return tx.delete(bUndelete, key)
}

// forgetAccount drops the rows of an account whose mailboxes are being emptied.
func (tx *tx) forgetAccount(id AccountID) error {
	var keys [][]byte
	err := tx.each(bUndelete, nil, func(k, _ []byte) error {
		if len(k) == keptKeyLength && AccountID(binary.BigEndian.Uint32(k[8:])) == id {
			keys = append(keys, bytes.Clone(k))
		}
		return nil
	})
	for _, k := range keys {
		if err := tx.delete(bUndelete, k); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	keys = nil
	err = tx.each(bDiscarded, be32(uint32(id)), func(k, _ []byte) error {
		keys = append(keys, bytes.Clone(k))
		return nil
	})
	for _, k := range keys {
		tx.wake = true
		if err := tx.put(bDiscarded, k, nil); err != nil {
			return err
		}
	}
	return err
}

// checkKept lists the messages that rows of "undelete" tell of.
func (tx *tx) checkKept(r *Report) map[string]bool {
	all := make(map[string]bool)
	if err := tx.each(bUndelete, nil, func(k, v []byte) error {
		row, err := parseKept(k, v)
		if err != nil {
			r.problem("expunged messages: %v", err)
			return nil
		}
		for _, e := range row.entries {
			key := string(messageKey(row.account, row.folder, e.UID))
			if all[key] {
				r.problem("account %d: message %d of %s was expunged twice", row.account, e.UID, row.name)
			}
			all[key] = true
			if v := tx.Bucket(bFacts).Get([]byte(key)); !isGone(v) {
				r.problem("account %d: message %d of %s was expunged, and its row does not say so", row.account, e.UID, row.name)
			}
		}
		return nil
	}); err != nil {
		r.problem("expunged messages: %v", err)
	}
	return all
}
