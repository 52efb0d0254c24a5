package mailbox

import (
	"context"
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
	l.Subject, l.MessageID = cut(l.Subject), cut(l.MessageID)
	seq, err := tx.nextSequence(bJournal)
	if err != nil {
		return err
	}
	return tx.putJSON(bJournal, be64(seq), &l)
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
