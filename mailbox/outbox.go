package mailbox

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// OutboxID names an outbox row for good.
type OutboxID uint64

// String is the number as the owner sees it.
func (id OutboxID) String() string { return fmt.Sprintf("%08x", uint64(id)) }

// Outgoing is a message on its way to one remote domain.
type Outgoing struct {
	ID         OutboxID    `json:"id"`
	Account    AccountID   `json:"account"`          // whose message it is, and who is told of a failure
	From       string      `json:"from"`             // reverse-path; empty is <>
	Sender     string      `json:"sender,omitempty"` // of forwarded mail with Account 0: whose From stands in for, and who is told of a failure
	Domain     string      `json:"domain"`           // where the recipients are, in lower-case A-labels
	Recipients []Recipient `json:"recipients"`
	Body       BodyID      `json:"body"`
	Prefix     string      `json:"prefix,omitempty"`    // header fields put in front of the body, each ending in CRLF; a rescue leaves them out
	Size       int64       `json:"size"`                // with them
	EightBit   bool        `json:"eight_bit,omitempty"` // needs 8BITMIME (RFC 6152)
	UTF8       bool        `json:"utf8,omitempty"`      // needs SMTPUTF8 (RFC 6531)

	// What the sender asked for, beside the message: RFC 3461, RFC 8689.
	EnvelopeID string `json:"envelope_id,omitempty"` // ENVID, decoded
	Return     string `json:"return,omitempty"`      // RET: FULL or HDRS
	RequireTLS bool   `json:"require_tls,omitempty"` // REQUIRETLS

	// TLSOptional is the header field TLS-Required: No, by which a policy of the
	// recipient's domain about TLS is to be ignored. Today none is asked for (MTA-STS,
	// DANE), so every message to a domain's own exchangers is sent as this wants it: by
	// TLS if that works, whatever the certificate, or else without. What the owner wants of a
	// smart host is no such policy, and stays. Never beside RequireTLS, which is stronger.
	TLSOptional bool `json:"tls_optional,omitempty"`

	Created   time.Time `json:"created"`
	Due       time.Time `json:"due"` // of the next attempt
	Attempts  int       `json:"attempts"`
	Attempted time.Time `json:"attempted,omitzero"` // when the last attempt began
	LastReply string    `json:"last_reply,omitempty"`
	Held      bool      `json:"held,omitempty"` // waits for the owner, and is never due
}

// Recipient is one forward-path of an outgoing message.
type Recipient struct {
	Address string `json:"address"`
	Reply   string `json:"reply,omitempty"` // the last that a server said of it

	Notify   string `json:"notify,omitempty"`   // NOTIFY (RFC 3461)
	Original string `json:"original,omitempty"` // ORCPT, its address decoded
	Delayed  bool   `json:"delayed,omitempty"`  // the sender was told that it takes long
}

// Outbox lists what waits to be sent, oldest first.
func (s *Store) Outbox() ([]Outgoing, error) {
	var all []Outgoing
	err := s.view(func(tx *tx) error {
		return tx.Bucket(bOutbox).ForEach(func(_, v []byte) error {
			var o Outgoing
			err := json.Unmarshal(v, &o)
			all = append(all, o)
			return err
		})
	})
	return all, err
}

// Outgoing finds one outbox row. ErrNotFound.
func (s *Store) Outgoing(id OutboxID) (Outgoing, error) {
	var o *Outgoing
	err := s.view(func(tx *tx) (err error) {
		o, err = tx.outgoing(id)
		return err
	})
	if err != nil {
		return Outgoing{}, err
	}
	return *o, nil
}

// DueOutbox lists at most limit rows whose time has come, the longest waiting
// first, and tells when the next one after now is due (zero: none waits). It
// leaves out, unread, those that skip says; nil is none.
func (s *Store) DueOutbox(now time.Time, limit int, skip func(OutboxID) bool) (due []Outgoing, next time.Time, err error) {
	err = s.view(func(tx *tx) error {
		c := tx.Bucket(bDue).Cursor()
		for k, _ := c.First(); len(k) == 16; k, _ = c.Next() {
			at := time.Unix(0, int64(binary.BigEndian.Uint64(k)))
			if at.After(now) {
				next = at
				return nil
			}
			id := OutboxID(binary.BigEndian.Uint64(k[8:]))
			if skip != nil && skip(id) {
				continue
			}
			if len(due) == limit {
				next = now
				return nil
			}
			o, err := tx.outgoing(id)
			if err != nil {
				return err
			}
			due = append(due, *o)
		}
		return nil
	})
	return due, next, err
}

// Attempt is one that is to begin at a row.
type Attempt struct {
	ID    OutboxID
	Retry time.Time // when the row is due again, should nothing come of it
}

// BeginAttempt notes an attempt in the row before anything is dialled: the row
// counts it, and is due again at Retry, so that it is tried once more even if
// the process dies in between. ErrNotFound when the row is gone, or is not due.
func (s *Store) BeginAttempt(ctx context.Context, a Attempt) (Outgoing, error) {
	var o *Outgoing
	err := s.update(ctx, func(tx *tx) (err error) {
		o, err = tx.beginAttempt(a)
		return err
	})
	if err != nil {
		return Outgoing{}, err
	}
	return *o, nil
}

func (tx *tx) beginAttempt(a Attempt) (*Outgoing, error) {
	o, err := tx.outgoing(a.ID)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	if o.Held || o.Due.After(now) {
		return nil, faultf(ErrNotFound, "the message %s in the outbox is not due", a.ID)
	}
	o.Attempts++
	o.Attempted = now
	return o, tx.putOutgoing(o, a.Retry)
}

// Result is what an attempt came to.
type Result struct {
	Waiting []Recipient // those to try again; the others are delivered or given up
	Due     time.Time   // when, if any wait
	Reply   string      // for LastReply
	Journal []Line
	Notice  *Intake // a delivery status notification (RFC 3464) to store in the same commit
}

// FinishAttempt commits an attempt's result: the row keeps the waiting
// recipients or goes, and the notice is delivered, all or none. ErrNotFound
// when the row is gone.
func (s *Store) FinishAttempt(ctx context.Context, id OutboxID, r Result) error {
	_, err := s.FinishAndBegin(ctx, id, r, Attempt{})
	return err
}

// FinishAndBegin is FinishAttempt, and BeginAttempt of the next in the same
// commit. It gives nil for a next row that is gone, damaged, not due or not named.
func (s *Store) FinishAndBegin(ctx context.Context, id OutboxID, r Result, next Attempt) (*Outgoing, error) {
	var notice *staged
	if r.Notice != nil {
		var err error
		if notice, err = s.stage(r.Notice); err != nil {
			return nil, err
		}
		defer s.unstage(notice)
	}
	var begun *Outgoing
	err := s.update(ctx, func(tx *tx) error {
		begun = nil
		_, unread := tx.outgoing(next.ID) // damage there must not cost what came of this one
		if err := tx.finishAttempt(id, r, notice); err != nil || unread != nil {
			return err
		}
		o, err := tx.beginAttempt(next)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		begun = o
		return err
	})
	if err != nil {
		return nil, err
	}
	return begun, nil
}

func (tx *tx) finishAttempt(id OutboxID, r Result, notice *staged) error {
	o, err := tx.outgoing(id)
	if err != nil {
		return err
	}
	if notice != nil {
		if _, err := tx.accept(notice); err != nil {
			return err
		}
	}
	for _, l := range r.Journal {
		l.Message, l.Outbox = o.Body, id
		if err := tx.log(l); err != nil {
			return err
		}
	}
	if len(r.Waiting) == 0 {
		return tx.dropOutgoing(o)
	}
	o.Recipients, o.LastReply = r.Waiting, r.Reply
	tx.ringOutbox = true
	return tx.putOutgoing(o, r.Due)
}

// RetryOutgoing makes a row due now, and takes a hold off it. ErrNotFound.
func (s *Store) RetryOutgoing(ctx context.Context, id OutboxID) error {
	return s.update(ctx, func(tx *tx) error {
		o, err := tx.outgoing(id)
		if err != nil {
			return err
		}
		o.Held = false
		tx.ringOutbox = true
		return tx.putOutgoing(o, time.Now())
	})
}

// DropOutgoing removes a row: nobody is told. ErrNotFound.
func (s *Store) DropOutgoing(ctx context.Context, id OutboxID) error {
	return s.update(ctx, func(tx *tx) error {
		o, err := tx.outgoing(id)
		if err != nil {
			return err
		}
		return tx.dropOutgoing(o)
	})
}

// OutgoingBody is the message of an outbox row, from its Prefix on.
func (s *Store) OutgoingBody(o *Outgoing) (*io.SectionReader, error) {
	m := &Message{s: s, Facts: Facts{Body: o.Body, Prefix: []byte(o.Prefix), Size: o.Size}}
	err := s.view(func(tx *tx) (err error) {
		if err := tx.quarantined(o.Body); err != nil {
			return err
		}
		m.row, err = tx.bodyRow(o.Body)
		return err
	})
	if err != nil {
		return nil, err
	}
	return m.Reader(), nil
}

func (tx *tx) enqueue(body BodyID, size int64, o Outgoing) error {
	seq, err := tx.nextSequence(bOutbox)
	if err != nil {
		return err
	}
	o.ID, o.Body, o.Size = OutboxID(seq), body, size+int64(len(o.Prefix))
	if o.Created.IsZero() {
		o.Created = time.Now().UTC()
	}
	if o.Due.IsZero() {
		o.Due = o.Created
	}
	due := o.Due
	o.Due = time.Time{} // no key in the index yet
	tx.ringOutbox = true
	return tx.putOutgoing(&o, due)
}

func (tx *tx) outgoing(id OutboxID) (*Outgoing, error) {
	v := tx.Bucket(bOutbox).Get(be64(uint64(id)))
	if v == nil {
		return nil, faultf(ErrNotFound, "nothing in the outbox has the number %s", id)
	}
	o := new(Outgoing)
	return o, json.Unmarshal(v, o)
}

func dueKey(o *Outgoing) []byte {
	return binary.BigEndian.AppendUint64(be64(uint64(o.Due.UnixNano())), uint64(o.ID))
}

// putOutgoing writes a row with a new due time, keeping the index by time.
func (tx *tx) putOutgoing(o *Outgoing, due time.Time) error {
	if !o.Due.IsZero() {
		if err := tx.delete(bDue, dueKey(o)); err != nil {
			return err
		}
	}
	o.Due = due.UTC()
	if !o.Held {
		if err := tx.put(bDue, dueKey(o), nil); err != nil {
			return err
		}
	}
	return tx.putJSON(bOutbox, be64(uint64(o.ID)), o)
}

func (tx *tx) dropOutgoing(o *Outgoing) error {
	if err := tx.delete(bDue, dueKey(o)); err != nil {
		return err
	}
	if err := tx.delete(bOutbox, be64(uint64(o.ID))); err != nil {
		return err
	}
	return tx.release(o.Body)
}
