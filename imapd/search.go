package imapd

import (
	"context"
	"errors"
	"slices"
	"strings"

	"roost/imapd/wire"
	"roost/mailbox"
)

// searching brings SEARCH (RFC 9051 section 6.4.4) with the return options of
// RFC 4731 and RFC 5182, and its keys.
func searching() extension {
	return extension{
		commands: []command{
			{name: "SEARCH", in: selected, numbered: true, counts: true, run: runSearch},
			{name: "UID SEARCH", in: selected, run: runSearch},
		},
		search: searchKeys(),
	}
}

// searchReturn is what SEARCH and SORT are asked to return.
type searchReturn struct {
	extended             bool // RETURN was there
	min, max, all, count bool
	save                 bool
	partial              *portion // nil: not asked for
}

func runSearch(ctx context.Context, s *session, c *call) error {
	s.dec.SP()
	p := searchParser{session: s}
	ret := p.searchReturn()
	p.charset()
	q := p.keys()
	found, err := s.find(ctx, c, &p, ret, q, s.dec.EndLine())
	if err != nil {
		return err
	}
	s.writeSearch(c, "SEARCH", ret, &p, found, nil)
	return s.searched(c)
}

// find runs a search once its line was read, and saves the result if that was
// asked for. What the client was not told of yet is not found.
func (s *session) find(ctx context.Context, c *call, p *searchParser, ret searchReturn, q mailbox.Query, err error) ([]mailbox.Entry, error) {
	v := s.view
	if err == nil {
		q = p.bind(q, v) // "$" is what was saved before
	}
	var refused *response
	if ret.save && (err == nil || errors.As(err, &refused)) {
		// RFC 5182 section 2.1: a search that ends in NO saves the empty result.
		v.saved = nil
	}
	if err != nil {
		return nil, err
	}
	if p.modSeq {
		s.useModSeq()
	}
	var found []mailbox.Entry
	err = s.patiently(ctx, c, func() (err error) {
		found, err = s.srv.opts.Store.Find(ctx, s.account.ID, v.folder, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	if p.modSeq {
		if err := s.upTo(ctx, newest(found)); err != nil {
			return nil, err
		}
	}
	found = slices.DeleteFunc(found, func(e mailbox.Entry) bool { return v.number(e.UID) == 0 })
	if ret.save {
		v.saved = wire.Ranges(uidsOf(ret.saved(found)))
	}
	return found, nil
}

// searched ends a search. By sequence numbers it may have named a message that
// is gone.
func (s *session) searched(c *call) error {
	if len(s.view.gone) > 0 && !c.uid {
		return ok("EXPUNGEISSUED", c.name+" completed")
	}
	return nil
}

func uidsOf(entries []mailbox.Entry) []mailbox.UID {
	uids := make([]mailbox.UID, len(entries))
	for i, e := range entries {
		uids[i] = e.UID
	}
	return uids
}

// searchReturn reads RETURN (…).
func (s *searchParser) searchReturn() searchReturn {
	var r searchReturn
	if !s.accept("RETURN") {
		return searchReturn{all: true}
	}
	r.extended = true
	pages := 0
	s.dec.SP()
	s.dec.List(func() {
		switch word := s.dec.Keyword(); word {
		case "MIN":
			r.min = true
		case "MAX":
			r.max = true
		case "ALL":
			pages++
			r.all = true
		case "COUNT":
			r.count = true
		case "SAVE":
			r.save = true
		case "PARTIAL":
			s.dec.SP()
			pages++
			r.partial = s.portion()
		default:
			s.dec.Failf("unknown return option %.40q", word)
		}
	})
	s.dec.SP()
	if pages > 1 {
		s.dec.Failf("ALL and PARTIAL exclude each other and stand once") // RFC 9394 section 3.1
	}
	if !r.min && !r.max && !r.count && !r.save && r.partial == nil {
		r.all = true // RFC 4731 section 3.1: RETURN () means ALL
	}
	return r
}

// saved picks what SAVE keeps of a result (RFC 5182 section 2.4, RFC 9394
// section 3.1).
func (r searchReturn) saved(found []mailbox.Entry) []mailbox.Entry {
	if r.all || r.count || !r.min && !r.max && r.partial == nil || len(found) == 0 {
		return found
	}
	var out []mailbox.Entry
	if r.partial != nil {
		lo, hi := r.partial.of(len(found))
		out = append(out, found[lo:hi]...)
	}
	if r.min {
		out = append(out, found[0])
	}
	if r.max {
		out = append(out, found[len(found)-1])
	}
	slices.SortFunc(out, func(a, b mailbox.Entry) int { return int(int64(a.UID) - int64(b.UID)) })
	return slices.Compact(out)
}

// writeSearch writes the result of the search name, as sequence numbers or
// UIDs, in the order in which they come, and the highest modseq of the messages
// that are told if the program asked for modseqs (RFC 7162 section 3.1.10).
// IMAP4rev2 has only the extended form of SEARCH. With in the response says which
// mailbox it is about (RFC 7377 section 2.1).
func (s *session) writeSearch(c *call, name string, ret searchReturn, p *searchParser, found []mailbox.Entry, in *mailbox.Folder) {
	var modSeq mailbox.ModSeq
	if p.modSeq {
		for _, e := range ret.saved(slices.Clone(found)) {
			modSeq = max(modSeq, e.ModSeq)
		}
	}
	numbers := make([]uint32, len(found))
	for i, e := range found {
		if numbers[i] = uint32(e.UID); !c.uid {
			numbers[i] = s.view.number(e.UID)
		}
	}
	if !ret.extended && (name != "SEARCH" || !s.has("IMAP4rev2")) {
		s.enc.Raw("* ").Raw(name)
		for _, n := range numbers {
			s.enc.Raw(" ").Number(uint64(n))
		}
		if modSeq != 0 {
			s.enc.Raw(" (MODSEQ ").Number(uint64(modSeq)).Raw(")")
		}
		s.enc.Raw("\r\n")
		return
	}
	if ret.save && !ret.min && !ret.max && !ret.all && !ret.count && ret.partial == nil {
		return
	}
	s.enc.Raw("* ESEARCH (TAG ").String(c.tag)
	if in != nil {
		s.enc.Raw(" MAILBOX ").Mailbox(in.Name).Raw(" UIDVALIDITY ").Number(uint64(in.UIDValidity))
	}
	s.enc.Raw(")")
	if c.uid {
		s.enc.Raw(" UID")
	}
	s.writeResult(ret, numbers)
	if modSeq != 0 {
		s.enc.Raw(" MODSEQ ").Number(uint64(modSeq))
	}
	s.enc.Raw("\r\n")
}

// writeResult writes the return data of ESEARCH.
func (s *session) writeResult(ret searchReturn, numbers []uint32) {
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
	if ret.partial != nil {
		lo, hi := ret.partial.of(len(numbers))
		s.enc.Raw(" PARTIAL (").Raw(ret.partial.String()).Raw(" ")
		if lo == hi {
			s.enc.Raw("NIL)")
		} else {
			s.enc.Ranges(wire.Ranges(numbers[lo:hi])).Raw(")")
		}
	}
}

// charset reads CHARSET. Texts are UTF-8 or its subset.
func (s *searchParser) charset() {
	if !s.accept("CHARSET") {
		return
	}
	s.dec.SP()
	s.charsetName()
	s.dec.SP()
}

func (s *searchParser) charsetName() {
	charset := strings.ToUpper(s.dec.AString())
	if s.dec.Err() == nil && charset != "UTF-8" && charset != "US-ASCII" {
		s.dec.Fail(no("BADCHARSET (US-ASCII UTF-8)", "unknown charset"))
	}
}
