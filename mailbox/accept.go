package mailbox

import (
	"context"
	"fmt"
	"time"
)

// Intake is one message that Roost takes responsibility for, with everything
// that its `250` promises. It goes into one commit: all of it or nothing.
type Intake struct {
	Body    *Spool      // the message with CRLF line ends, as it is stored; the caller closes it
	From    string      // reverse-path, for the pack's record; empty for <>
	Place   []Placement // local mailboxes
	Queue   []Outgoing  // remote destinations
	Journal []Line

	// Sending: one of ours sends it. Nil: it is not counted.
	Sending *Sending
	// Author wrote the message, as SPF or DKIM confirms; it is counted with the
	// author's reputation. Empty: nobody knows.
	Author Address
}

// Placement puts one copy of a message into one mailbox: that with the ID
// Folder, or that with the Use, or that with the Name, which is made when it
// is missing; INBOX if none is given or the Use is nowhere.
type Placement struct {
	Account  AccountID
	Folder   FolderID
	Use      SpecialUse
	Name     string
	Prefix   []byte // header fields put in front of the body, each ending in CRLF
	Flags    Flags
	Keywords []string
	Date     time.Time // INTERNALDATE; zero is now
	// Uncounted lets the message in though the account is over its quota.
	Uncounted bool
	// Replaces is a message of the account that this one takes the place of.
	Replaces *Replaced
}

// Placed tells where a copy came to lie, in the order of Intake.Place.
type Placed struct {
	Account     AccountID
	Folder      FolderID
	UIDValidity uint32
	UID         UID
}

// Accepted is the receipt for an Intake.
type Accepted struct {
	ID     BodyID
	Placed []Placed
}

// String is the receipt's number, as SMTP replies and the journal show it.
func (id BodyID) String() string { return fmt.Sprintf("%08x", uint64(id)) }

// Accept stores a message. When it returns nil, the message is on disk, synced,
// everywhere that it has to go; after any error it is nowhere. Errors:
// ErrOverQuota, ErrFull, ErrNotFound (an account or the mailbox with the ID is
// gone), ErrLimit and ErrInvalid (keywords, names), and with Sending ErrSendLimit,
// ErrFrozen, ErrLogin and *Burst; anything else is trouble.
func (s *Store) Accept(ctx context.Context, in Intake) (Accepted, error) {
	st, err := s.stage(&in)
	if err != nil {
		return Accepted{}, err
	}
	defer s.unstage(st)
	var out Accepted
	err = s.updateMail(ctx, func(tx *tx) (err error) {
		out, err = tx.accept(st)
		return err
	})
	return out, err
}

// AcceptAll is Accept for several messages in one commit: all or none.
func (s *Store) AcceptAll(ctx context.Context, all []Intake) ([]Accepted, error) {
	var staged []*staged
	defer func() {
		for _, st := range staged {
			s.unstage(st)
		}
	}()
	for i := range all {
		st, err := s.stage(&all[i])
		if err != nil {
			return nil, err
		}
		staged = append(staged, st)
	}
	out := make([]Accepted, len(all))
	err := s.updateMail(ctx, func(tx *tx) (err error) {
		for i, st := range staged {
			if out[i], err = tx.accept(st); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// staged is an Intake whose body is in a pack already.
type staged struct {
	*Intake
	packs *packs
	id    BodyID
	row   bodyRow
	what  *analysis
	facts []Facts // of each placement

	flushed chan struct{} // if the pack is synced while the message is analysed
}

// stage does the work that needs no transaction: it compresses the body and
// appends it to a pack, parses the message and renders what FETCH will ask for.
func (s *Store) stage(in *Intake) (*staged, error) {
	if err := s.room(in.Body.Size()); err != nil {
		return nil, err
	}
	now := time.Now()
	st := &staged{Intake: in, packs: s.packs, id: in.Body.id}
	if in.Body.used {
		st.id = BodyID(s.bodyID.Add(1))
	}
	in.Body.used = true
	for i := range in.Place {
		if in.Place[i].Date.IsZero() {
			in.Place[i].Date = now
		}
	}
	h := recordHead{id: st.id, raw: in.Body.Size(), stored: now, from: in.From}
	if err := s.describe(&h, in); err != nil {
		return nil, err
	}
	var last []byte
	h.chunks, last = in.Body.record()
	start, size := h.encode(), in.Body.stored()+int64(len(last))
	if len(start) > preambleLength+maxHead {
		return nil, faultf(ErrLimit, "too many recipients for one message")
	}
	st.row = bodyRow{head: int64(len(start)), stored: size, raw: h.raw}
	var err error
	if st.row.pack, st.row.offset, err = s.packs.append(start, in.Body.storedReader(last), size); err != nil {
		return nil, s.trouble(fmt.Errorf("write the pack: %w", err))
	}
	if s.delivering.Add(1) == 1 {
		// Nobody else would share the sync that the commit is going to need.
		st.flushed = make(chan struct{})
		go func() {
			defer close(st.flushed)
			s.packs.flush(st.row.pack) // the commit is told of an error
		}()
	}
	if len(in.Place) == 0 { // nobody here will read it
		st.what = &analysis{facts: Facts{Size: in.Body.Size()}}
		return st, nil
	}
	if st.what, err = analyse(in.Body, in.Body.Size()); err != nil {
		s.unstage(st)
		return nil, err
	}
	for i := range in.Place {
		m := st.what.in(st.id, in.Place[i].Prefix)
		m.Date, m.Saved = in.Place[i].Date, now.UTC()
		st.facts = append(st.facts, m)
	}
	return st, nil
}

// unstage is called when a staged message is committed, or given up.
func (s *Store) unstage(st *staged) {
	if st.flushed != nil {
		<-st.flushed
	}
	s.delivering.Add(-1)
	s.packs.unpin(st.row.pack)
}

// describe writes into a record's head where the message goes, by name as well.
// What is not there any more, the commit finds out.
func (s *Store) describe(h *recordHead, in *Intake) error {
	for i := range in.Queue {
		o := &in.Queue[i]
		r := recordRoute{account: o.Account, domain: o.Domain, eightBit: o.EightBit, utf8: o.UTF8}
		for _, to := range o.Recipients {
			r.recipients = append(r.recipients, to.Address)
		}
		h.routes = append(h.routes, r)
	}
	return s.view(func(tx *tx) error {
		addresses := make(map[AccountID]string)
		for i := range in.Place {
			p := &in.Place[i]
			r := recordPlace{account: p.Account, folder: p.Folder, name: p.Name, flags: p.Flags, keywords: p.Keywords, date: p.Date, prefix: p.Prefix}
			if _, ok := addresses[p.Account]; !ok {
				addresses[p.Account] = ""
				if row, err := tx.account(p.Account); err == nil {
					addresses[p.Account] = string(row.Address)
				}
			}
			r.address = addresses[p.Account]
			if p.Name == "" || p.Folder != 0 || p.Use != "" {
				if f, err := tx.target(p); err == nil {
					r.folder, r.name = f.ID, f.Name
				}
			}
			h.places = append(h.places, r)
		}
		return nil
	})
}

func (tx *tx) accept(st *staged) (Accepted, error) {
	if !st.packs.trusted(st.row.pack) {
		return Accepted{}, ErrFull // only a full disk lets the store go on after a failed sync
	}
	for i := range st.Place {
		if err := tx.admit(&st.Place[i], st.what.facts.Size); err != nil {
			return Accepted{}, err
		}
	}
	if st.Sending != nil {
		if err := tx.countSending(st.Sending); err != nil {
			return Accepted{}, err
		}
	}
	row := st.row
	row.refs = int64(len(st.Place) + len(st.Queue))
	out := Accepted{ID: st.id}
	if row.refs > 0 {
		if err := tx.addBody(st.id, row); err != nil {
			return out, err
		}
	}
	if len(st.Place) > 0 {
		if err := tx.putDigest(st.id, st.what); err != nil {
			return out, err
		}
	}
	for i := range st.Place {
		p := &st.Place[i]
		f, err := tx.target(p)
		if err != nil {
			return out, err
		}
		m := st.facts[i]
		keywords, err := f.keywordBits(p.Keywords, true)
		if err != nil {
			return out, err
		}
		if err := tx.assignThread(p.Account, &m, &st.what.digest.keys); err != nil {
			return out, err
		}
		if err := tx.addMessages(p.Account, &f, []Facts{m}, []Entry{{Flags: p.Flags, Keywords: keywords}}); err != nil {
			return out, err
		}
		out.Placed = append(out.Placed, Placed{p.Account, f.ID, f.UIDValidity, f.UIDNext - 1})
		if p.Replaces != nil {
			if err := tx.replace(p.Account, *p.Replaces); err != nil {
				return out, err
			}
		}
	}
	if err := tx.countReceived(st); err != nil {
		return out, err
	}
	for i := range st.Queue {
		if err := tx.enqueue(st.id, st.what.facts.Size, st.Queue[i]); err != nil {
			return out, err
		}
	}
	for i := range st.Journal {
		if st.Journal[i].Message == 0 {
			st.Journal[i].Message = st.id
		}
		if err := tx.log(st.Journal[i]); err != nil {
			return out, err
		}
	}
	return out, nil
}

// admit holds a placement against its account before the first put.
func (tx *tx) admit(p *Placement, size int64) error {
	if p.Replaces != nil {
		_, _, err := tx.replaceable(p.Account, *p.Replaces)
		if err != nil {
			return err
		}
		k := messageKey(p.Account, p.Replaces.Folder, p.Replaces.UID)
		old, err := parseRow(k, tx.Bucket(bFacts).Get(k))
		if err != nil {
			return err
		}
		size = max(size-old.Size, 0) // it goes in the same commit
	}
	use := p.Use
	if p.Folder != 0 {
		f, err := tx.folder(p.Account, p.Folder)
		if err != nil {
			return err
		}
		use = f.Use
	}
	if p.Uncounted {
		size = 0
	}
	err := tx.roomFor(p.Account, use, size)
	if err != nil || p.Folder != 0 {
		return err
	}
	if p.Name != "" {
		p.Name, err = checkName(p.Name)
	}
	return err
}

// roomFor holds an account's quota against what is to come. \Sent may exceed it by
// a tenth: what has been sent is to be found there.
func (tx *tx) roomFor(id AccountID, use SpecialUse, size int64) error {
	a, err := tx.account(id)
	if err != nil || a.Quota == 0 || size == 0 {
		return err
	}
	st, err := tx.state(id)
	if err != nil {
		return err
	}
	most := a.Quota
	if use == UseSent {
		most += a.Quota / 10
	}
	if st.bytes+size > most {
		return faultf(ErrOverQuota, "the mailboxes of %s are full", a.Address)
	}
	return nil
}

func (tx *tx) target(p *Placement) (Folder, error) {
	switch {
	case p.Folder != 0:
		return tx.folder(p.Account, p.Folder)
	case p.Use != "":
		all, err := tx.folders(p.Account)
		if err != nil {
			return Folder{}, err
		}
		for _, f := range all {
			if f.Use == p.Use {
				return f, nil
			}
		}
	case p.Name != "":
		if tx.Bucket(bNames).Get(nameKey(p.Account, p.Name)) == nil {
			if err := tx.createAbove(p.Account, p.Name); err != nil {
				return Folder{}, err
			}
			if err := tx.createFolder(p.Account, p.Name, "", true); err != nil {
				return Folder{}, err
			}
		}
		return tx.folderNamed(p.Account, p.Name)
	}
	return tx.folder(p.Account, InboxID)
}

// addMessages puts messages behind the last one of a mailbox, giving them UIDs
// in order and one modseq. Their bodies are counted by the caller.
func (tx *tx) addMessages(id AccountID, f *Folder, facts []Facts, entries []Entry) error {
	modSeq, err := tx.advance(id)
	if err != nil {
		return err
	}
	st, err := tx.state(id)
	if err != nil {
		return err
	}
	if uint64(f.UIDNext)+uint64(len(facts)) >= 1<<32 {
		return faultf(ErrLimit, "the mailbox %s has used up its UIDs", f.Name)
	}
	for len(facts) > 0 {
		first := f.UIDNext
		block, err := tx.block(id, f.ID, first)
		if err != nil {
			return err
		}
		for len(facts) > 0 && f.UIDNext/blockUIDs == first/blockUIDs {
			m, e := &facts[0], entries[0]
			m.UID, e.UID, e.ModSeq = f.UIDNext, f.UIDNext, modSeq
			f.UIDNext++
			if err := tx.putFacts(id, f.ID, m); err != nil {
				return err
			}
			f.count(e, 1)
			f.Bytes += m.Size
			st.messages++
			st.bytes += m.Size
			block = append(block, e)
			facts, entries = facts[1:], entries[1:]
		}
		if err := tx.putBlock(id, f.ID, first, block); err != nil {
			return err
		}
	}
	f.HighestModSeq = modSeq
	if err := tx.putState(id, st); err != nil {
		return err
	}
	return tx.putFolder(id, *f)
}
