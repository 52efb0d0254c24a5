package mailbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	"roost/mailbox/message"
)

// Test is the kind of one search key (RFC 9051 6.4.4).
type Test int

// The tests. Each says which fields of Query it reads.
const (
	TestAll        Test = iota // holds for every message
	TestAnd                    // Args: all hold
	TestOr                     // Args: one holds
	TestNot                    // Args[0] does not hold
	TestUID                    // UIDs
	TestFlag                   // Flag: all these bits are set
	TestKeyword                // Text: in any case
	TestBefore                 // Time: the day of INTERNALDATE, in its own zone
	TestOn                     // Time
	TestSince                  // Time
	TestSentBefore             // Time: the day of the Date field, in its own zone
	TestSentOn                 // Time
	TestSentSince              // Time
	TestLarger                 // N bytes
	TestSmaller                // N bytes
	TestOlder                  // N seconds between INTERNALDATE and now, at least (RFC 5032)
	TestYounger                // N seconds, at most
	TestHeader                 // Name, Text: substring of the field's text; empty Text: the field is there
	TestBody                   // Text: substring of the decoded text of the body
	TestText                   // Text: substring of the header or the body's text
)

// Query is a search key with its arguments, a tree.
type Query struct {
	Test Test
	Args []Query
	UIDs []UIDRange // in order, none touching another
	Flag Flags
	Name string
	Text string
	N    int64
	Time time.Time
}

// UIDRange is the UIDs from First to Last, both included.
type UIDRange struct{ First, Last UID }

// maxSearchText is how much of one message's decoded text a search reads.
const maxSearchText = 8 << 20

// Search returns the UIDs of the messages that a query holds for, in order.
// Text is matched as a substring, without regard to case or accents. It is a
// plain scan; ctx ends it early. ErrNotFound when the mailbox is gone.
func (s *Store) Search(ctx context.Context, id AccountID, folder FolderID, q Query) ([]UID, error) {
	snap, err := s.Snapshot(id, folder)
	if err != nil {
		return nil, err
	}
	q = q.fold()
	var found, unsure []UID
	for _, e := range snap.Entries {
		switch q.byEntry(&snap.Folder, e) {
		case yes:
			found = append(found, e.UID)
		case unknown:
			unsure = append(unsure, e.UID)
		}
	}
	entries, now := snap.Entries, time.Now()
	err = s.Facts(id, folder, unsure, func(m *Facts) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		i, _ := slices.BinarySearchFunc(entries, m.UID, func(e Entry, uid UID) int { return cmp.Compare(e.UID, uid) })
		c := candidate{s: s, account: id, folder: &snap.Folder, entry: entries[i], facts: m, now: now}
		ok, err := c.holds(&q)
		if errors.Is(err, ErrNotFound) {
			return nil // expunged while the search went on
		}
		if err != nil {
			return fmt.Errorf("search message %d: %w", m.UID, err)
		}
		if ok {
			found = append(found, m.UID)
		}
		return nil
	})
	slices.Sort(found)
	return found, err
}

// fold prepares the texts of a query once.
func (q Query) fold() Query {
	switch q.Test {
	case TestHeader, TestBody, TestText:
		q.Text = message.Fold(q.Text)
	}
	q.Args = slices.Clone(q.Args)
	for i := range q.Args {
		q.Args[i] = q.Args[i].fold()
	}
	return q
}

// truth is what can be said of a message without looking further.
type truth int

const (
	no truth = iota
	unknown
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// byEntry decides what flags and UIDs decide, so that the message's row is read
// only where they do not.
func (q *Query) byEntry(f *Folder, e Entry) truth {
	switch q.Test {
	case TestAll:
		return yes
	case TestAnd:
		least := yes
		for i := range q.Args {
			if least = min(least, q.Args[i].byEntry(f, e)); least == no {
				break
			}
		}
		return least
	case TestOr:
		most := no
		for i := range q.Args {
			if most = max(most, q.Args[i].byEntry(f, e)); most == yes {
				break
			}
		}
		return most
	case TestNot:
		return yes - q.Args[0].byEntry(f, e)
	case TestUID:
		_, found := slices.BinarySearchFunc(q.UIDs, e.UID, func(r UIDRange, uid UID) int {
			switch {
			case r.Last < uid:
				return -1
			case r.First > uid:
				return 1
			}
			return 0
		})
		return truthOf(found)
	case TestFlag:
		return truthOf(e.Flags&q.Flag == q.Flag)
	case TestKeyword:
		return truthOf(slices.ContainsFunc(f.KeywordNames(e.Keywords), func(k string) bool { return strings.EqualFold(k, q.Text) }))
	}
	return unknown
}

// candidate is a message that a search looks into, as far as it has to.
type candidate struct {
	s       *Store
	account AccountID
	folder  *Folder
	entry   Entry
	facts   *Facts
	now     time.Time

	msg    *Message
	part   *message.Part
	header string // folded
	body   string
	read   bool // body is there
}

func (c *candidate) holds(q *Query) (bool, error) {
	switch q.Test {
	case TestAnd:
		for i := range q.Args {
			if ok, err := c.holds(&q.Args[i]); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	case TestOr:
		for i := range q.Args {
			if ok, err := c.holds(&q.Args[i]); ok || err != nil {
				return ok, err
			}
		}
		return false, nil
	case TestNot:
		ok, err := c.holds(&q.Args[0])
		return !ok, err
	case TestBefore:
		return day(c.facts.Date) < day(q.Time), nil
	case TestOn:
		return day(c.facts.Date) == day(q.Time), nil
	case TestSince:
		return day(c.facts.Date) >= day(q.Time), nil
	case TestLarger:
		return c.facts.Size > q.N, nil
	case TestSmaller:
		return c.facts.Size < q.N, nil
	case TestOlder:
		return c.facts.Date.Unix() <= c.now.Unix()-q.N, nil
	case TestYounger:
		return c.facts.Date.Unix() >= c.now.Unix()-q.N, nil
	case TestSentBefore, TestSentOn, TestSentSince:
		return c.sent(q)
	case TestHeader:
		return c.inHeader(q)
	case TestBody, TestText:
		return c.inText(q)
	}
	return q.byEntry(c.folder, c.entry) == yes, nil
}

// day makes dates comparable, disregarding time and zone (RFC 9051 6.4.4).
func day(t time.Time) int {
	y, m, d := t.Date()
	return (y*12+int(m))*31 + d
}

func (c *candidate) open() error {
	if c.part != nil {
		return nil
	}
	var err error
	if c.msg, err = c.s.OpenMessage(c.account, c.folder.ID, c.facts.UID); err != nil {
		return err
	}
	c.part, err = message.Parse(c.msg.Reader())
	return err
}

func (c *candidate) sent(q *Query) (bool, error) {
	if err := c.open(); err != nil {
		return false, err
	}
	t, err := mail.ParseDate(c.part.Header.Get("Date"))
	if err != nil {
		return false, nil
	}
	switch q.Test {
	case TestSentBefore:
		return day(t) < day(q.Time), nil
	case TestSentOn:
		return day(t) == day(q.Time), nil
	}
	return day(t) >= day(q.Time), nil
}

func (c *candidate) inHeader(q *Query) (bool, error) {
	if err := c.open(); err != nil {
		return false, err
	}
	for _, v := range c.part.Header.All(q.Name) {
		if q.Text == "" || strings.Contains(message.Fold(message.DecodeWords(v)), q.Text) {
			return true, nil
		}
	}
	return false, nil
}

func (c *candidate) inText(q *Query) (bool, error) {
	if err := c.open(); err != nil {
		return false, err
	}
	if q.Test == TestText {
		if c.header == "" {
			c.header = message.Fold(string(c.part.Header.AppendText(nil)))
		}
		if strings.Contains(c.header, q.Text) {
			return true, nil
		}
	}
	if !c.read {
		var b strings.Builder
		w := message.FoldWriter{W: &b}
		if err := c.part.WriteText(&w, c.msg, maxSearchText); err != nil && !errors.Is(err, message.ErrTooLong) {
			return false, err
		}
		if err := w.Close(); err != nil {
			return false, err
		}
		c.body, c.read = b.String(), true
	}
	return strings.Contains(c.body, q.Text), nil
}
