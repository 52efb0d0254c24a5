package mailbox

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"roost/mailbox/message"
	"roost/mailbox/signature"
)

// Test is the kind of one search key (RFC 9051 6.4.4).
type Test int

// The tests. Each says which fields of Query it reads.
const (
	TestAll         Test = iota // holds for every message
	TestAnd                     // Args: all hold
	TestOr                      // Args: one holds
	TestNot                     // Args[0] does not hold
	TestUID                     // UIDs
	TestFlag                    // Flag: all these bits are set
	TestKeyword                 // Text: in any case
	TestBefore                  // Time: the day of INTERNALDATE, in its own zone
	TestOn                      // Time
	TestSince                   // Time
	TestSentBefore              // Time: the day of the Date field, in its own zone
	TestSentOn                  // Time
	TestSentSince               // Time
	TestLarger                  // N bytes
	TestSmaller                 // N bytes
	TestOlder                   // N seconds between INTERNALDATE and now, at least (RFC 5032)
	TestYounger                 // N seconds, at most
	TestHeader                  // Name, Text: substring of the field's text; empty Text: the field is there
	TestBody                    // Text: substring of the decoded text of the body
	TestText                    // Text: substring of the header or the body's text
	TestModSeq                  // N: the message's modseq is that or higher (RFC 7162)
	TestSavedBefore             // Time: the day of the save date, in UTC (RFC 8514)
	TestSavedOn                 // Time
	TestSavedSince              // Time
	TestObject                  // N: EMAILID (RFC 8474)
	TestThread                  // N: THREADID
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

	// Worked out by prepare.
	cost   int
	day    int
	probe  signature.Probe
	field  int    // of digestFields, or -1
	needle string // a part of Text that has only letters and the like of ASCII
	rare   int    // where the rarest byte of needle is
	word   bool   // Text has no white space
}

// UIDRange is the UIDs from First to Last, both included.
type UIDRange struct{ First, Last UID }

// prepare works out once what each message is held against.
func (q Query) prepare() Query {
	q.Args = slices.Clone(q.Args)
	for i := range q.Args {
		q.Args[i] = q.Args[i].prepare()
		q.cost = max(q.cost, q.Args[i].cost)
	}
	if q.Test == TestAnd || q.Test == TestOr { // the cheap decide first
		slices.SortStableFunc(q.Args, func(a, b Query) int { return a.cost - b.cost })
	}
	q.field, q.day = -1, day(q.Time)
	switch q.Test {
	case TestHeader, TestBody, TestText:
		q.Text = message.Fold(q.Text)
		q.needle, q.rare = needle(q.Text)
		q.word = q.Text != "" && !strings.ContainsFunc(q.Text, unicode.IsSpace)
		q.cost = costSignature
		q.probe = signature.NewProbe(q.Text)
		if q.Test == TestText && strings.Contains(q.Text, "\n") {
			q.probe = signature.Probe{} // it may reach from the prefix into the body
		}
		if q.Test == TestHeader {
			q.cost = costDigest
			q.field = slices.IndexFunc(digestFields[:], func(name string) bool { return strings.EqualFold(name, q.Name) })
			if strings.Contains(q.Text, "\n") {
				q.field = -1 // the digest has one between fields
			}
			if q.field < 0 {
				q.cost = costSignature
				q.probe = signature.NewProbe(strings.ToLower(q.Name)+": ", q.Text)
			}
		}
	case TestBefore, TestOn, TestSince, TestSentBefore, TestSentOn, TestSentSince, TestSavedBefore, TestSavedOn, TestSavedSince,
		TestLarger, TestSmaller, TestOlder, TestYounger, TestObject, TestThread:
		q.cost = costRow
	}
	return q
}

// What a test has to read, the cheapest first.
const (
	costEntry = iota
	costRow
	costDigest
	costSignature
)

// needle is the longest run of s that header folding leaves alone, and where the
// rarest byte in it is.
func needle(s string) (best string, rare int) {
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r <= ' ' || r >= 0x7F || r == ':' }) {
		if len(word) > len(best) {
			best = word
		}
	}
	const byFrequency = "etaoinsrhldcumfpgwybvk"
	for i := range len(best) {
		if strings.IndexByte(byFrequency, best[i]) < 0 {
			return best, i
		}
		if strings.IndexByte(byFrequency, best[i]) > strings.IndexByte(byFrequency, best[rare]) {
			rare = i
		}
	}
	return best, rare
}

// asks tells whether some test of a query has that cost.
func (q *Query) asks(cost int) bool {
	if len(q.Args) == 0 {
		return q.cost == cost
	}
	return slices.ContainsFunc(q.Args, func(a Query) bool { return a.asks(cost) })
}

// day makes dates comparable, disregarding time and zone (RFC 9051 6.4.4).
func day(t time.Time) int {
	y, m, d := t.Date()
	return (y*12+int(m))*31 + d
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

// judge decides a query for one message. leaf decides one test that is no
// combination of others.
func (q *Query) judge(leaf func(*Query) truth) truth {
	switch q.Test {
	case TestAnd:
		least := yes
		for i := range q.Args {
			if least = min(least, q.Args[i].judge(leaf)); least == no {
				break
			}
		}
		return least
	case TestOr:
		most := no
		for i := range q.Args {
			if most = max(most, q.Args[i].judge(leaf)); most == yes {
				break
			}
		}
		return most
	case TestNot:
		return yes - q.Args[0].judge(leaf)
	}
	return leaf(q)
}

// byEntry decides what flags and UIDs decide.
func (q *Query) byEntry(f *Folder, e Entry) truth {
	switch q.Test {
	case TestAll:
		return yes
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
	case TestModSeq:
		return truthOf(e.ModSeq >= ModSeq(q.N))
	}
	return unknown
}

// byRow decides what the message's fixed-width row decides.
func (q *Query) byRow(m *Facts, now time.Time) truth {
	switch q.Test {
	case TestBefore:
		return truthOf(day(m.Date) < q.day)
	case TestOn:
		return truthOf(day(m.Date) == q.day)
	case TestSince:
		return truthOf(day(m.Date) >= q.day)
	case TestSentBefore:
		return truthOf(!m.Sent.IsZero() && day(m.Sent) < q.day)
	case TestSentOn:
		return truthOf(!m.Sent.IsZero() && day(m.Sent) == q.day)
	case TestSentSince:
		return truthOf(!m.Sent.IsZero() && day(m.Sent) >= q.day)
	case TestSavedBefore:
		return truthOf(day(m.Saved) < q.day)
	case TestSavedOn:
		return truthOf(day(m.Saved) == q.day)
	case TestSavedSince:
		return truthOf(day(m.Saved) >= q.day)
	case TestLarger:
		return truthOf(m.Size > q.N)
	case TestSmaller:
		return truthOf(m.Size < q.N)
	case TestOlder:
		return truthOf(m.Date.Unix() <= now.Unix()-q.N)
	case TestYounger:
		return truthOf(m.Date.Unix() >= now.Unix()-q.N)
	case TestObject:
		return truthOf(m.Object == ObjectID(q.N))
	case TestThread:
		return truthOf(m.Thread == ThreadID(q.N))
	}
	return unknown
}
