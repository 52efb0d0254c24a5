package mailbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"time"
	"unicode/utf8"
)

// Event is what a journal line tells of.
type Event string

// The events of a message's life.
const (
	Received  Event = "received"  // from another server, on port 25
	Refused   Event = "refused"   // at the door
	Submitted Event = "submitted" // by one of ours
	Delivered Event = "delivered" // taken by a remote server
	Deferred  Event = "deferred"  // refused for now: it is tried again
	Failed    Event = "failed"    // given up
	Damaged   Event = "damaged"   // found damaged on the disk, and not served any more
	Blocked   Event = "blocked"   // no message: an address that may not log in for a time
)

// Line is one line of the journal: what happened to a message, for the people
// who ask where their mail is.
type Line struct {
	Time      time.Time `json:"time"` // zero is now
	Event     Event     `json:"event"`
	Message   BodyID    `json:"message,omitempty"` // the receipt's number; Accept fills it in
	Account   AccountID `json:"account,omitempty"` // whose mail it is, where one is known
	From      string    `json:"from"`
	To        []string  `json:"to,omitempty"`
	Subject   string    `json:"subject,omitempty"` // this and MessageID are cut after 300 bytes
	MessageID string    `json:"message_id,omitempty"`
	Size      int64     `json:"size,omitempty"`
	Remote    string    `json:"remote,omitempty"` // the other server or client: address, name, TLS
	Reply     string    `json:"reply,omitempty"`  // the SMTP reply that it ended with
	Detail    []string  `json:"detail,omitempty"` // reasons, in words
	Outbox    OutboxID  `json:"outbox,omitempty"`

	// Author is the first address in From, which anybody could have written, and
	// Judged is what was decided about the message: "junk" or "refused" for one
	// account at least, else empty.
	Author string `json:"author,omitempty"`
	Judged string `json:"judged,omitempty"`
}

// Log adds lines to the journal that go with no message, such as a refusal.
func (s *Store) Log(ctx context.Context, lines ...Line) error {
	return s.update(ctx, func(tx *tx) error {
		for _, l := range lines {
			if err := tx.log(l); err != nil {
				return err
			}
		}
		return nil
	})
}

// Journal calls f with the newest lines first until it returns false.
func (s *Store) Journal(f func(Line) bool) error {
	return s.view(func(tx *tx) error {
		c := tx.Bucket(bJournal).Cursor()
		for k, v := c.Last(); k != nil; k, v = c.Prev() {
			var l Line
			if err := json.Unmarshal(v, &l); err != nil {
				return err
			}
			if !f(l) {
				break
			}
		}
		return nil
	})
}

func (tx *tx) log(l Line) error {
	if l.Time.IsZero() {
		l.Time = time.Now().UTC()
	}
	l.Subject, l.MessageID, l.Author = cut(l.Subject), cut(l.MessageID), cut(l.Author)
	seq, err := tx.nextSequence(bJournal)
	if err != nil {
		return err
	}
	if l.Message != 0 {
		if err := tx.put(bTraces, traceKey(l.Message, seq), nil); err != nil {
			return err
		}
	}
	return tx.putJSON(bJournal, be64(seq), &l)
}

// traceKey leads from a message to a line of the journal.
func traceKey(id BodyID, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(be64(uint64(id)), seq)
}

// Trace calls f with the lines of one message, the newest first, until it returns
// false.
func (s *Store) Trace(id BodyID, f func(Line) bool) error {
	return s.view(func(tx *tx) error {
		prefix := be64(uint64(id))
		c := tx.Bucket(bTraces).Cursor()
		k, _ := c.Seek(be64(uint64(id) + 1))
		if k == nil {
			k, _ = c.Last()
		} else {
			k, _ = c.Prev()
		}
		for ; bytes.HasPrefix(k, prefix); k, _ = c.Prev() {
			v := tx.Bucket(bJournal).Get(k[8:])
			if v == nil {
				continue
			}
			var l Line
			if err := json.Unmarshal(v, &l); err != nil {
				return err
			}
			if !f(l) {
				break
			}
		}
		return nil
	})
}

// JournalDays is how long the journal's lines are kept unless the settings say
// otherwise.
const JournalDays = 180

// journalPiece is how many lines are given up in one commit.
const journalPiece = 256

// trimJournal is the job that gives up old lines.
func (s *Store) trimJournal(ctx context.Context) error {
	v, err := s.Settings()
	if err != nil {
		return err
	}
	days := daysOr(v.JournalDays, JournalDays)
	if days == 0 {
		return nil
	}
	limit := time.Now().AddDate(0, 0, -days)
	for left := true; left; {
		err := s.updateBulk(ctx, func(tx *tx) (err error) {
			left, err = tx.trimJournal(limit)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// trimJournal gives up some lines that are older than limit, and tells whether
// more may be. Lines come in the order of time, but for those of a clock that was
// set back, which go with their neighbours.
func (tx *tx) trimJournal(limit time.Time) (left bool, err error) {
	type old struct {
		key     []byte
		message BodyID
	}
	var lines []old
	c := tx.Bucket(bJournal).Cursor()
	for k, v := c.First(); k != nil && len(lines) < journalPiece; k, v = c.Next() {
		var l Line
		if err := json.Unmarshal(v, &l); err != nil {
			return false, err
		}
		if !l.Time.Before(limit) {
			break
		}
		lines = append(lines, old{bytes.Clone(k), l.Message})
	}
	for _, l := range lines {
		if err := tx.delete(bJournal, l.key); err != nil {
			return false, err
		}
		if l.message != 0 {
			if err := tx.delete(bTraces, append(be64(uint64(l.message)), l.key...)); err != nil {
				return false, err
			}
		}
	}
	return len(lines) == journalPiece, nil
}

// maxLineText is how much of a header field a line keeps, in bytes: strangers
// write it.
const maxLineText = 300

func cut(s string) string {
	if len(s) <= maxLineText {
		return s
	}
	n := maxLineText
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
