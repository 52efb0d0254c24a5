package imapd

import (
	"hash/maphash"
	"slices"
	"strings"

	"roost/mailbox"
)

// others is what a session watches beside the selected mailbox, and how the
// client was told that it is.
type others struct {
	groups []eventGroup
	picture
	seed         maphash.Seed    // of the hashes of annotations
	bell, server <-chan struct{} // closed when something may have changed
}

// A picture is an account's mailboxes at one moment, as far as it is watched.
type picture struct {
	folders    []mailbox.Folder // by name, INBOX first; without keywords
	subscribed []string         // in order
	notes      map[note]uint64  // annotations: a hash of each value
}

// A note is an annotation of a mailbox; with mailbox.NoFolder of the account or
// the server.
type note struct {
	folder mailbox.FolderID
	entry  string
}

// watch begins to watch, and with status tells how mailboxes are of which the
// client wants to hear about messages (RFC 5465 section 3.1).
func (s *session) watch(groups []eventGroup, status bool) error {
	o := &others{groups: groups, seed: maphash.MakeSeed()}
	var err error
	if o.picture, err = s.look(o); err != nil {
		return err
	}
	s.others = o
	for _, f := range o.folders {
		e := o.eventsOf(f.Name, o.isSubscribed(f.Name))
		if status && e&messageNew != 0 && !s.isSelected(f.ID) {
			s.writeNews(&f, messageStatus|validityStatus|statusIf(s.modSeqs, modSeqStatus)|statusIf(e&flagChange != 0, modSeqStatus|unseenStatus))
		}
	}
	return nil
}

// watchMetadata obeys ENABLE METADATA: changes by others are told in the course of
// commands (RFC 5464 section 4.4). After a NOTIFY its word holds.
func watchMetadata(s *session) error {
	if s.notify != nil {
		return nil
	}
	return s.watch([]eventGroup{{filter{kind: "PERSONAL"}, mailboxMetadata | serverMetadata}}, false)
}

func (s *session) isSelected(f mailbox.FolderID) bool { return s.view != nil && s.view.folder == f }

// look reads what is watched. It takes the bells first: nothing falls between.
func (s *session) look(o *others) (p picture, err error) {
	store, id := s.srv.opts.Store, s.account.ID
	o.bell, o.server = store.Bell(id), nil
	var all events
	bySubscription := false
	for _, g := range o.groups {
		all |= g.events
		bySubscription = bySubscription || g.kind == "SUBSCRIBED"
	}
	if p.folders, err = store.Folders(id); err != nil {
		return p, err
	}
	for i := range p.folders {
		p.folders[i].Keywords = nil
	}
	if bySubscription || all&(mailboxName|subscriptionChange) != 0 {
		if p.subscribed, err = store.Subscriptions(id); err != nil {
			return p, err
		}
	}
	if all&(mailboxMetadata|serverMetadata) == 0 {
		return p, nil
	}
	p.notes = make(map[note]uint64)
	keep := func(folder mailbox.FolderID, a mailbox.Annotation) {
		if (folder == mailbox.NoFolder && all&serverMetadata != 0) || (folder != mailbox.NoFolder && all&mailboxMetadata != 0) {
			p.notes[note{folder, a.Entry}] = maphash.Bytes(o.seed, a.Value)
		}
	}
	err = store.EachAnnotation(id, keep)
	if err == nil && all&serverMetadata != 0 {
		o.server = store.ServerBell()
		err = store.EachAnnotation(mailbox.ServerAccount, keep)
	}
	return p, err
}

// eventsOf returns what the client wants to be told of a mailbox.
func (o *others) eventsOf(name string, subscribed bool) (e events) {
	for i := range o.groups {
		if g := &o.groups[i]; g.matches(name, subscribed) {
			e |= g.events
		}
	}
	return e
}

func (p *picture) isSubscribed(name string) bool {
	_, is := slices.BinarySearch(p.subscribed, name)
	return is
}

// The methods below note what the session itself did: of that it is not told (RFC
// 5465 section 5).

// ownFolders notes a mailbox that the session made, and levels above it.
func (s *session) ownFolders(name string) error {
	o := s.others
	if o == nil {
		return nil
	}
	all, err := s.srv.opts.Store.Folders(s.account.ID)
	if err != nil {
		return err
	}
	known := byID(o.folders)
	for _, f := range all {
		if known[f.ID] == nil && (f.Name == name || strings.HasPrefix(name, f.Name+mailbox.Separator)) {
			o.folders = append(o.folders, f)
		}
	}
	return nil
}

func (s *session) ownDelete(id mailbox.FolderID) {
	if s.others != nil {
		s.others.folders = slices.DeleteFunc(s.others.folders, func(f mailbox.Folder) bool { return f.ID == id })
	}
}

func (s *session) ownRename(from, to string) error {
	if s.others == nil {
		return nil
	}
	for i := range s.others.folders {
		f := &s.others.folders[i]
		if below, found := strings.CutPrefix(f.Name, from); found && from != mailbox.Inbox && (below == "" || below[0] == mailbox.Separator[0]) {
			f.Name = to + below
		}
	}
	return s.ownFolders(to)
}

func (s *session) ownSubscription(name string, on bool) {
	if s.others == nil {
		return
	}
	all := s.others.subscribed
	i, is := slices.BinarySearch(all, name)
	switch {
	case on && !is:
		all = slices.Insert(all, i, name)
	case !on && is:
		all = slices.Delete(all, i, i+1)
	}
	s.others.subscribed = all
}

// ownMessages notes that the session brought messages into a mailbox or took them
// out, with their UIDs in order. If others changed something there too, that is told, and shows both.
func (s *session) ownMessages(id mailbox.FolderID, uids []mailbox.UID) {
	if s.others == nil {
		return
	}
	i := slices.IndexFunc(s.others.folders, func(f mailbox.Folder) bool { return f.ID == id })
	if i < 0 {
		return
	}
	f := &s.others.folders[i]
	c, err := s.srv.opts.Store.Changes(s.account.ID, id, f.HighestModSeq)
	if err != nil {
		return // it is told of once too often, or it is gone
	}
	foreign := func(uid mailbox.UID) bool {
		_, own := slices.BinarySearch(uids, uid)
		return !own
	}
	if !slices.ContainsFunc(c.Vanished, foreign) && !slices.ContainsFunc(c.Changed, func(e mailbox.Entry) bool { return foreign(e.UID) }) {
		f.Messages, f.UIDNext, f.Unseen, f.HighestModSeq = c.Folder.Messages, c.Folder.UIDNext, c.Folder.Unseen, c.Folder.HighestModSeq
	}
}

func (s *session) ownNotes(folder mailbox.FolderID, changes []mailbox.Annotation) {
	if s.others == nil || s.others.notes == nil {
		return
	}
	for _, c := range changes {
		if n := (note{folder, c.Entry}); c.Value == nil {
			delete(s.others.notes, n)
		} else {
			s.others.notes[n] = maphash.Bytes(s.others.seed, c.Value)
		}
	}
}
