package imapd

import (
	"context"
	"errors"
	"strings"

	"roost/imapd/wire"
	"roost/mailbox"
)

// searching brings SEARCH (RFC 9051 section 6.4.4) with the return options of
// RFC 4731 and RFC 5182, and its keys.
func searching() extension {
	return extension{
		commands: []command{
			{name: "SEARCH", in: selected, numbered: true, run: runSearch},
			{name: "UID SEARCH", in: selected, run: runSearch},
		},
		search: searchKeys(),
	}
}

// searchReturn is what SEARCH is asked to return.
type searchReturn struct {
	extended             bool // RETURN was there
	min, max, all, count bool
	save                 bool
}

func runSearch(ctx context.Context, s *session, c *call) error {
	s.dec.SP()
	p := searchParser{session: s}
	ret := p.searchReturn()
	p.charset()
	q := p.keys()
	v := s.view
	err := s.dec.EndLine()
	var refused *response
	if ret.save && (err == nil || errors.As(err, &refused)) {
		// RFC 5182 section 2.1: a search that ends in NO saves the empty result.
		v.saved = nil
	}
	if err != nil {
		return err
	}
	if p.modSeq {
		s.useModSeq()
	}
	uids, err := s.srv.opts.Store.Search(ctx, s.account.ID, v.folder, q)
	if err != nil {
		return err
	}
	known := uids[:0]
	for _, uid := range uids {
		if v.number(uid) != 0 { // the client was told of it
			known = append(known, uid)
		}
	}
	if ret.save {
		v.saved = wire.Ranges(ret.saved(known))
	}
	var modSeq mailbox.ModSeq
	if p.modSeq {
		if modSeq, err = s.highestOf(ret.told(known)); err != nil {
			return err
		}
	}
	s.writeSearch(c, ret, known, modSeq)
	if len(v.gone) > 0 && !c.uid {
		return ok("EXPUNGEISSUED", c.name+" completed")
	}
	return nil
}

// searchReturn reads RETURN (…).
func (s *searchParser) searchReturn() searchReturn {
	var r searchReturn
	if !s.accept("RETURN") {
		return searchReturn{all: true}
	}
	r.extended = true
	s.dec.SP()
	s.dec.List(func() {
		switch word := s.dec.Keyword(); word {
		case "MIN":
			r.min = true
		case "MAX":
			r.max = true
		case "ALL":
			r.all = true
		case "COUNT":
			r.count = true
		case "SAVE":
			r.save = true
		default:
			s.dec.Failf("unknown return option %.40q", word)
		}
	})
	s.dec.SP()
	if !r.min && !r.max && !r.count && !r.save {
		r.all = true // RFC 4731 section 3.1: RETURN () means ALL
	}
	return r
}

// saved picks what SAVE keeps of a result (RFC 5182 section 2.4).
func (r searchReturn) saved(uids []mailbox.UID) []mailbox.UID {
	if r.all || r.count || !r.min && !r.max || len(uids) == 0 {
		return uids
	}
	var out []mailbox.UID
	if r.min {
		out = append(out, uids[0])
	}
	if r.max && (!r.min || len(uids) > 1) {
		out = append(out, uids[len(uids)-1])
	}
	return out
}

// told picks what of a result the client is told, to find the modseq to show
// with it (RFC 7162 section 3.1.10).
func (r searchReturn) told(uids []mailbox.UID) []mailbox.UID {
	r.save = false
	return r.saved(uids)
}

// highestOf returns the highest modseq of some messages, 0 of none.
func (s *session) highestOf(uids []mailbox.UID) (highest mailbox.ModSeq, err error) {
	entries, err := s.srv.opts.Store.Entries(s.account.ID, s.view.folder, uids)
	for _, e := range entries {
		highest = max(highest, e.ModSeq)
	}
	return highest, err
}

// writeSearch writes the result, as sequence numbers or UIDs, with a modseq if
// it is not 0. IMAP4rev2 has
// only the extended form.
func (s *session) writeSearch(c *call, ret searchReturn, uids []mailbox.UID, modSeq mailbox.ModSeq) {
	numbers := make([]uint32, len(uids))
	for i, uid := range uids {
		if numbers[i] = uint32(uid); !c.uid {
			numbers[i] = s.view.number(uid)
		}
	}
	if !ret.extended && !s.has("IMAP4rev2") {
		s.enc.Raw("* SEARCH")
		for _, n := range numbers {
			s.enc.Raw(" ").Number(uint64(n))
		}
		if modSeq != 0 {
			s.enc.Raw(" (MODSEQ ").Number(uint64(modSeq)).Raw(")")
		}
		s.enc.Raw("\r\n")
		return
	}
	if ret.save && !ret.min && !ret.max && !ret.all && !ret.count {
		return
	}
	s.enc.Raw("* ESEARCH (TAG ").String(c.tag).Raw(")")
	if c.uid {
		s.enc.Raw(" UID")
	}
	if n := len(numbers); n > 0 {
		if ret.min {
			s.enc.Raw(" MIN ").Number(uint64(numbers[0]))
		}
		if ret.max {
			s.enc.Raw(" MAX ").Number(uint64(numbers[n-1]))
		}
		if ret.all {
			s.enc.Raw(" ALL ").Ranges(wire.Ranges(numbers))
		}
	}
	if ret.count {
		s.enc.Raw(" COUNT ").Number(uint64(len(numbers)))
	}
	if modSeq != 0 {
		s.enc.Raw(" MODSEQ ").Number(uint64(modSeq))
	}
	s.enc.Raw("\r\n")
}

// searchCharset reads CHARSET. Texts are UTF-8 or its subset.
func (s *searchParser) charset() {
	if !s.accept("CHARSET") {
		return
	}
	s.dec.SP()
	charset := s.dec.AString()
	s.dec.SP()
	if charset = strings.ToUpper(charset); s.dec.Err() == nil && charset != "UTF-8" && charset != "US-ASCII" {
		s.dec.Fail(no("BADCHARSET (US-ASCII UTF-8)", "unknown charset"))
	}
}
