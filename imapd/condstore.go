package imapd

import (
	"strings"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// condstore brings CONDSTORE (RFC 7162 section 3.1): the client sees modseqs,
// and can ask what changed since one, and change only what has not changed.
// Every mailbox has modseqs, so NOMODSEQ is never said.
func condstore() extension {
	return extension{
		name:    imap.CapCondStore,
		enable:  true,
		enabled: func(s *session) error { s.useModSeq(); return nil },
		fetch: []fetchItem{{"MODSEQ", func(*session) fetchAtt {
			return fetchAtt{modSeq: true, write: func(s *session, m *fetched) error {
				s.writeModSeq(m.entry)
				return nil
			}}
		}}},
		search: []searchKey{{"MODSEQ", (*searchParser).modSeqKey}},
		status: []statusItem{{name: "HIGHESTMODSEQ", value: func(s *session, f *mailbox.Folder) (uint64, error) {
			s.useModSeq()
			return uint64(f.HighestModSeq), nil
		}}},
		selecting: []selectParam{{"CONDSTORE", func(s *session, o *opening) { o.condstore = true }}},
		narrow: []fetchModifier{{"CHANGEDSINCE", func(s *session, n *narrowing) {
			s.dec.SP()
			since := mailbox.ModSeq(s.dec.Number64())
			n.since = &since
		}}},
	}
}

// useModSeq begins to show modseqs in all FETCH responses, as the first of the
// commands that need them demands (RFC 7162 section 3.1). A client that has a
// mailbox open learns what it knows of it.
func (s *session) useModSeq() {
	if s.modSeqs {
		return
	}
	s.modSeqs = true
	if s.view != nil {
		s.writeHighestModSeq(s.view.modSeq)
	}
}

func (s *session) writeHighestModSeq(m mailbox.ModSeq) {
	s.enc.Raw("* OK [HIGHESTMODSEQ ").Number(uint64(m)).Raw("] highest modseq\r\n")
}

func (s *session) writeModSeq(e mailbox.Entry) {
	s.enc.Raw("MODSEQ (").Number(uint64(e.ModSeq)).Raw(")")
}

// modSeqKey reads SEARCH MODSEQ. A message has one modseq for all of its flags,
// so the name of an entry makes no difference (RFC 7162 section 3.1.5).
func (p *searchParser) modSeqKey() mailbox.Query {
	p.modSeq = true
	p.dec.SP()
	if p.dec.Peek('"') {
		if name := p.dec.String(); !strings.HasPrefix(strings.ToLower(name), "/flags/") {
			p.dec.Failf("unknown entry %.40q", name)
		}
		p.dec.SP()
		switch kind := p.dec.Keyword(); kind {
		case "ALL", "PRIV", "SHARED":
		default:
			p.dec.Failf("expected all, priv or shared")
		}
		p.dec.SP()
	}
	return mailbox.Query{Test: mailbox.TestModSeq, N: int64(p.dec.Number64())}
}

// newest returns the highest modseq of some messages.
func newest(entries []mailbox.Entry) (m mailbox.ModSeq) {
	for _, e := range entries {
		m = max(m, e.ModSeq)
	}
	return m
}

// changedSince keeps of uids those that changed after a modseq.
func changedSince(uids []mailbox.UID, c mailbox.Changes) []mailbox.UID {
	var out []mailbox.UID
	for _, e := range c.Changed {
		for len(uids) > 0 && uids[0] < e.UID {
			uids = uids[1:]
		}
		if len(uids) > 0 && uids[0] == e.UID {
			out = append(out, e.UID)
		}
	}
	return out
}

// highest is the tagged answer of a command that took messages away: the
// modseq that the client has come to (RFC 7162 section 3.2.7). It follows the
// responses that tell of them.
func (s *session) highest(name string) error {
	return ok("HIGHESTMODSEQ "+decimal(s.view.modSeq), name+" completed")
}
