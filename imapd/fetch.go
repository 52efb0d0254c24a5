package imapd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
	"roost/mailbox/message"
)

// A fetchItem is one line of the table of FETCH items.
type fetchItem struct {
	name string // as it is asked for, in upper case
	// parse reads what follows the name and returns what the item needs and
	// writes.
	parse func(s *session) fetchAtt
}

// A fetchAtt is one item of a FETCH command.
type fetchAtt struct {
	row    bool // needs the message's row of fixed width
	facts  bool // needs all of the message's facts
	opens  bool // needs the message itself
	parses bool // needs its structure
	seen   bool // fetching it sets \Seen
	flags  bool // it is FLAGS
	uid    bool // it is UID
	modSeq bool // it is MODSEQ

	// check finds out what can go wrong before anything is written; may be nil.
	check func(m *fetched) error
	write func(s *session, m *fetched) error
}

// fetched is one message while a FETCH response about it is written.
type fetched struct {
	folder *mailbox.Folder
	entry  mailbox.Entry
	facts  *mailbox.Facts

	message *mailbox.Message
	part    *message.Part   // nil unless an item parses
	header  *message.Header // nil until an item needs it
}

// prepare opens the message as far as the items need it, and reads its first
// octets, so that damage shows before the response begins.
func (m *fetched) prepare(s *session, atts []fetchAtt, parses bool) error {
	var err error
	if m.message, err = s.srv.opts.Store.OpenMessage(s.account.ID, s.view.folder, m.entry.UID); err != nil {
		return err
	}
	var first [1]byte
	if _, err = m.message.ReadAt(first[:], int64(len(m.message.Prefix))); err != nil && err != io.EOF {
		return err
	}
	if parses {
		if m.part, err = message.Parse(m.message.Reader()); err != nil {
			return err
		}
	}
	for _, a := range atts {
		if a.check != nil {
			if err := a.check(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetchPage is how many messages a FETCH works on between two looks at the
// store, and the most that one commit makes \Seen.
const fetchPage = 256

func runFetch(ctx context.Context, s *session, c *call) error {
	s.dec.SP()
	set := s.dec.Set()
	s.dec.SP()
	atts := s.fetchAtts()
	var narrow narrowing
	if s.dec.Accept(' ') {
		narrow = s.narrowing(c)
	}
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	uids, err := s.view.pick(set, c.uid)
	if err != nil {
		return err
	}
	if narrow.since != nil || slices.ContainsFunc(atts, func(a fetchAtt) bool { return a.modSeq }) {
		s.useModSeq()
	}
	if uids, err = s.narrowed(narrow, set, uids); err != nil {
		return err
	}
	if narrow.since != nil {
		atts = append(atts, s.srv.tables.fetch["MODSEQ"].parse(s))
	}
	f := fetchRun{session: s, atts: prepareAtts(atts, c.uid && !s.has(imap.CapUIDOnly))}
	for len(uids) > 0 {
		page := uids[:min(len(uids), fetchPage)]
		uids = uids[len(page):]
		if err := f.page(ctx, page); err != nil {
			return err
		}
	}
	if f.missing && !c.uid {
		// RFC 2180 section 4.1.2, RFC 5530.
		return no("EXPUNGEISSUED", "some of the messages were expunged meanwhile")
	}
	return f.failed
}

// fetchAtts reads one item, a list of them, or a macro.
func (s *session) fetchAtts() []fetchAtt {
	var atts []fetchAtt
	one := func() {
		name := s.dec.Keyword()
		item, known := s.srv.tables.fetch[name]
		if s.dec.Err() != nil {
			return
		}
		if !known {
			s.dec.Failf("unknown FETCH item %.40q", name)
			return
		}
		atts = append(atts, item.parse(s))
	}
	if s.dec.Peek('(') {
		s.dec.List(one)
		if len(atts) == 0 {
			s.dec.Failf("expected a FETCH item")
		}
		return atts
	}
	name := s.dec.Keyword()
	macro, isMacro := fetchMacro(name)
	if !isMacro {
		macro = []string{name}
	}
	for _, name := range macro {
		item, known := s.srv.tables.fetch[name]
		if s.dec.Err() != nil || !known {
			s.dec.Failf("unknown FETCH item %.40q", name)
			return nil
		}
		atts = append(atts, item.parse(s))
	}
	return atts
}

// fetchMacro spells out the macros of RFC 9051 section 6.4.5.
func fetchMacro(name string) ([]string, bool) {
	switch name {
	case "ALL":
		return []string{"FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"}, true
	case "FAST":
		return []string{"FLAGS", "INTERNALDATE", "RFC822.SIZE"}, true
	case "FULL":
		return []string{"FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"}, true
	}
	return nil, false
}

// prepareAtts puts UID first where UIDs are spoken of (RFC 9051 section 6.4.9)
// and leaves out what is asked for twice.
func prepareAtts(atts []fetchAtt, uid bool) []fetchAtt {
	var out []fetchAtt
	flags, modSeq := false, false
	if uid {
		out = append(out, uidAtt())
	}
	for _, a := range atts {
		if a.uid && uid || a.flags && flags || a.modSeq && modSeq {
			continue
		}
		uid, flags, modSeq = uid || a.uid, flags || a.flags, modSeq || a.modSeq
		out = append(out, a)
	}
	return out
}

// fetchRun is one FETCH command while it runs.
type fetchRun struct {
	*session
	atts    []fetchAtt
	opens   bool  // an item needs the message itself
	parses  bool  // or its structure
	missing bool  // a message was gone
	failed  error // an item of some message could not be had
}

func (f *fetchRun) page(ctx context.Context, uids []mailbox.UID) error {
	entries, seen, folder, err := f.entries(ctx, uids)
	if err != nil {
		return err
	}
	if f.modSeqs {
		if err := f.upTo(ctx, newest(entries)); err != nil {
			return err
		}
	}
	f.missing = f.missing || len(entries) < len(uids)
	row, facts, tellFlags := false, false, true
	for _, a := range f.atts {
		row, facts = row || a.row, facts || a.facts
		f.opens, f.parses = f.opens || a.opens || a.parses, f.parses || a.parses
		tellFlags = tellFlags && !a.flags
	}
	m := new(fetched)
	if !row && !facts {
		for _, e := range entries {
			*m = fetched{folder: &folder, entry: e}
			if err := f.one(ctx, m, tellFlags && seen[e.UID]); err != nil {
				return err
			}
		}
		return nil
	}
	uids = uids[:0:0]
	for _, e := range entries {
		uids = append(uids, e.UID)
	}
	told := 0
	read := f.srv.opts.Store.Rows
	if facts {
		read = f.srv.opts.Store.Facts
	}
	err = read(f.account.ID, f.view.folder, uids, func(row *mailbox.Facts) error {
		for len(entries) > 0 && entries[0].UID < row.UID {
			entries = entries[1:]
		}
		if len(entries) == 0 {
			return nil
		}
		told++
		*m = fetched{folder: &folder, entry: entries[0], facts: row}
		return f.one(ctx, m, tellFlags && seen[row.UID])
	})
	f.missing = f.missing || told < len(uids)
	return err
}

// entries reads the messages' flags, and makes the messages \Seen first if the
// items ask for it; seen are those that were not before.
func (f *fetchRun) entries(ctx context.Context, uids []mailbox.UID) (entries []mailbox.Entry, seen map[mailbox.UID]bool, folder mailbox.Folder, err error) {
	store, id := f.srv.opts.Store, f.account.ID
	if entries, err = store.Entries(id, f.view.folder, uids); err != nil {
		return
	}
	var unseen []mailbox.UID
	for _, a := range f.atts {
		if a.seen && !f.view.readOnly {
			for _, e := range entries {
				if e.Flags&mailbox.Seen == 0 {
					unseen = append(unseen, e.UID)
				}
			}
			break
		}
	}
	if len(unseen) > 0 {
		done, err := f.setFlags(ctx, unseen, mailbox.FlagUpdate{Change: mailbox.AddFlags, Flags: mailbox.Seen})
		if err != nil {
			return nil, nil, folder, err
		}
		seen = make(map[mailbox.UID]bool, len(unseen))
		for _, e := range done.Entries {
			seen[e.UID] = true
		}
		if entries, err = store.Entries(id, f.view.folder, uids); err != nil {
			return nil, nil, folder, err
		}
	}
	// After the entries: a keyword that one of them has is there.
	folder, err = store.Folder(id, f.view.folder)
	if err == nil && len(folder.Keywords) > f.view.keywords {
		f.writeFlagLists(&folder)
	}
	return entries, seen, folder, err
}

// one writes the FETCH response about one message.
func (f *fetchRun) one(ctx context.Context, m *fetched, tellFlags bool) error {
	n := f.view.number(m.entry.UID)
	if err := ctx.Err(); n == 0 || err != nil {
		return err
	}
	var err error
	if f.opens {
		err = m.prepare(f.session, f.atts, f.parses)
	}
	switch {
	case errors.Is(err, mailbox.ErrNotFound):
		f.missing = true
		return nil
	case err != nil:
		// The others are fetched all the same; the command ends with this.
		f.failed = fmt.Errorf("message %d: %w", m.entry.UID, err)
		return nil
	}
	f.reading.Store(m.message)
	defer f.reading.Store(nil)
	f.beginFetch(n, m.entry.UID, false)
	for i := range f.atts {
		if i > 0 {
			f.enc.Raw(" ")
		}
		if err := f.atts[i].write(f.session, m); err != nil {
			f.enc.Fail(err) // in the middle of a response: no way back
			return err
		}
	}
	if tellFlags {
		f.enc.Raw(" ")
		f.writeFlagItem(m.entry, m.folder)
		if f.modSeqs && !slices.ContainsFunc(f.atts, func(a fetchAtt) bool { return a.modSeq }) {
			f.enc.Raw(" ")
			f.writeModSeq(m.entry)
		}
	}
	f.enc.Raw(")\r\n")
	return f.enc.Err()
}
