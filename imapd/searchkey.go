package imapd

import (
	"github.com/emersion/go-imap/v2"

	"roost/imapd/wire"
	"roost/mailbox"
)

// A searchKey is one line of the table of SEARCH keys.
type searchKey struct {
	name string
	// parse reads the key's arguments and returns what the store tests.
	parse func(p *searchParser) mailbox.Query
}

// searchParser reads a search program. The first word of a command may belong
// to RETURN, CHARSET or a key: it is read once and kept until one takes it.
type searchParser struct {
	*session
	word   string
	modSeq bool                        // MODSEQ is among the keys
	sets   []func(*view) mailbox.Query // tests that depend on the mailbox's view
}

// accept takes the next word if it is want.
func (p *searchParser) accept(want string) bool {
	if p.word == "" && !p.dec.Peek('(') && !p.dec.IsSet() {
		p.word = p.dec.Keyword()
	}
	if p.word != want {
		return false
	}
	p.word = ""
	return p.dec.Err() == nil
}

// keys reads keys to the end of the line: all must hold.
func (p *searchParser) keys() mailbox.Query {
	q := mailbox.Query{Test: mailbox.TestAnd}
	for {
		q.Args = append(q.Args, p.key())
		if len(q.Args) > p.dec.Limits.Items {
			p.dec.Failf("more than %d search keys", p.dec.Limits.Items)
		}
		if !p.dec.Accept(' ') {
			return q
		}
	}
}

// key reads one key with its arguments.
func (p *searchParser) key() mailbox.Query {
	switch {
	case p.word != "":
	case p.dec.Peek('('):
		q := mailbox.Query{Test: mailbox.TestAnd}
		p.dec.List(func() { q.Args = append(q.Args, p.key()) })
		if len(q.Args) == 0 {
			p.dec.Failf("expected a search key")
		}
		return q
	case p.dec.IsSet():
		set := p.dec.Set()
		if !set.Saved && p.has(imap.CapUIDOnly) {
			p.dec.Fail(uidRequired())
		}
		return p.set(func(v *view) mailbox.Query { return v.uidTest(set, false) })
	default:
		p.word = p.dec.Keyword()
	}
	word := p.word
	p.word = ""
	k, known := p.srv.tables.search[word]
	if p.dec.Err() != nil {
		return mailbox.Query{}
	}
	if !known {
		p.dec.Failf("unknown search key %.40q", word)
		return mailbox.Query{}
	}
	if !p.dec.Enter() {
		return mailbox.Query{}
	}
	defer p.dec.Leave()
	return k.parse(p)
}

// set stands for a test that is made once it is known of which mailbox the
// messages are.
func (p *searchParser) set(make func(*view) mailbox.Query) mailbox.Query {
	p.sets = append(p.sets, make)
	return mailbox.Query{Test: mailbox.TestUID, N: int64(len(p.sets))}
}

// bind makes the tests that depend on the mailbox.
func (p *searchParser) bind(q mailbox.Query, v *view) mailbox.Query {
	if q.Test == mailbox.TestUID && q.N > 0 {
		return p.sets[q.N-1](v)
	}
	args := q.Args
	q.Args = make([]mailbox.Query, len(args))
	for i := range args {
		q.Args[i] = p.bind(args[i], v)
	}
	return q
}

// uidTest makes a test of the messages in a set.
func (v *view) uidTest(set wire.Set, uid bool) mailbox.Query {
	q := mailbox.Query{Test: mailbox.TestUID, UIDs: []mailbox.UIDRange{}}
	v.each(set, uid, func(lo, hi int) {
		q.UIDs = append(q.UIDs, mailbox.UIDRange{First: v.uids.at(lo), Last: v.uids.at(hi - 1)})
	})
	return q
}

// recentTest makes a test of the messages that are \Recent in this session.
func (v *view) recentTest() mailbox.Query {
	q := mailbox.Query{Test: mailbox.TestUID, UIDs: []mailbox.UIDRange{}}
	for _, r := range v.recent {
		q.UIDs = append(q.UIDs, mailbox.UIDRange{First: mailbox.UID(r.First), Last: mailbox.UID(r.Last)})
	}
	return q
}

func not(q mailbox.Query) mailbox.Query {
	return mailbox.Query{Test: mailbox.TestNot, Args: []mailbox.Query{q}}
}

// searchKeys is the table of RFC 9051 section 6.4.4 and RFC 3501's keys.
func searchKeys() []searchKey {
	fixed := func(name string, q mailbox.Query) searchKey {
		return searchKey{name, func(*searchParser) mailbox.Query { return q }}
	}
	var keys []searchKey
	for _, f := range []struct {
		name, not string
		bit       mailbox.Flags
	}{
		{"ANSWERED", "UNANSWERED", mailbox.Answered}, {"DELETED", "UNDELETED", mailbox.Deleted},
		{"DRAFT", "UNDRAFT", mailbox.Draft}, {"FLAGGED", "UNFLAGGED", mailbox.Flagged}, {"SEEN", "UNSEEN", mailbox.Seen},
	} {
		q := mailbox.Query{Test: mailbox.TestFlag, Flag: f.bit}
		keys = append(keys, fixed(f.name, q), fixed(f.not, not(q)))
	}
	for _, d := range []struct {
		name string
		test mailbox.Test
	}{
		{"BEFORE", mailbox.TestBefore}, {"ON", mailbox.TestOn}, {"SINCE", mailbox.TestSince},
		{"SENTBEFORE", mailbox.TestSentBefore}, {"SENTON", mailbox.TestSentOn}, {"SENTSINCE", mailbox.TestSentSince},
	} {
		keys = append(keys, searchKey{d.name, func(p *searchParser) mailbox.Query {
			p.dec.SP()
			return mailbox.Query{Test: d.test, Time: p.dec.Date()}
		}})
	}
	for _, name := range []string{"BCC", "CC", "FROM", "SUBJECT", "TO"} {
		keys = append(keys, searchKey{name, func(p *searchParser) mailbox.Query {
			p.dec.SP()
			return mailbox.Query{Test: mailbox.TestHeader, Name: name, Text: p.dec.AString()}
		}})
	}
	for _, n := range []struct {
		name string
		test mailbox.Test
	}{{"LARGER", mailbox.TestLarger}, {"SMALLER", mailbox.TestSmaller}} {
		keys = append(keys, searchKey{n.name, func(p *searchParser) mailbox.Query {
			p.dec.SP()
			return mailbox.Query{Test: n.test, N: int64(p.dec.Number64())}
		}})
	}
	for _, t := range []struct {
		name string
		test mailbox.Test
	}{{"BODY", mailbox.TestBody}, {"TEXT", mailbox.TestText}} {
		keys = append(keys, searchKey{t.name, func(p *searchParser) mailbox.Query {
			p.dec.SP()
			return mailbox.Query{Test: t.test, Text: p.dec.AString()}
		}})
	}
	keyword := func(p *searchParser) mailbox.Query {
		p.dec.SP()
		return mailbox.Query{Test: mailbox.TestKeyword, Text: p.dec.Atom()}
	}
	return append(keys,
		fixed("ALL", mailbox.Query{Test: mailbox.TestAll}),
		searchKey{"KEYWORD", keyword},
		searchKey{"UNKEYWORD", func(p *searchParser) mailbox.Query { return not(keyword(p)) }},
		searchKey{"HEADER", func(p *searchParser) mailbox.Query {
			p.dec.SP()
			q := mailbox.Query{Test: mailbox.TestHeader, Name: p.dec.AString()}
			p.dec.SP()
			q.Text = p.dec.AString()
			return q
		}},
		searchKey{"UID", func(p *searchParser) mailbox.Query {
			p.dec.SP()
			set := p.dec.Set()
			return p.set(func(v *view) mailbox.Query { return v.uidTest(set, true) })
		}},
		searchKey{"NOT", func(p *searchParser) mailbox.Query {
			p.dec.SP()
			return not(p.key())
		}},
		searchKey{"OR", func(p *searchParser) mailbox.Query {
			q := mailbox.Query{Test: mailbox.TestOr}
			for range 2 {
				p.dec.SP()
				q.Args = append(q.Args, p.key())
			}
			return q
		}},
		searchKey{"RECENT", func(p *searchParser) mailbox.Query { return p.set((*view).recentTest) }},
		searchKey{"OLD", func(p *searchParser) mailbox.Query { return not(p.set((*view).recentTest)) }},
		searchKey{"NEW", func(p *searchParser) mailbox.Query {
			unseen := not(mailbox.Query{Test: mailbox.TestFlag, Flag: mailbox.Seen})
			return mailbox.Query{Test: mailbox.TestAnd, Args: []mailbox.Query{p.set((*view).recentTest), unseen}}
		}},
	)
}
