package imapd

import (
	"slices"
	"strings"

	"roost/mailbox"
)

// tellOthers tells what changed beside the selected mailbox.
func (s *session) tellOthers() error {
	o := s.others
	if o == nil {
		return nil
	}
	select {
	case <-o.bell:
	case <-o.server:
	default:
		return nil
	}
	before := o.picture
	now, err := s.look(o)
	if err != nil {
		return err
	}
	s.tellNames(o, &before, &now)
	s.tellStatus(o, &before, &now)
	s.tellNotes(o, &before, &now)
	o.picture = now
	return nil
}

func byID(folders []mailbox.Folder) map[mailbox.FolderID]*mailbox.Folder {
	m := make(map[mailbox.FolderID]*mailbox.Folder, len(folders))
	for i := range folders {
		m[folders[i].ID] = &folders[i]
	}
	return m
}

// tellNames tells of mailboxes that came, went or have another name, and of
// subscriptions (RFC 5465 sections 5.4 and 5.5).
func (s *session) tellNames(o *others, before, now *picture) {
	affected := make(map[string]events)
	renamed := make(map[string]string) // new name → old name
	was, is := byID(before.folders), byID(now.folders)
	newName := make(map[string]string) // of all that were renamed
	for id, f := range is {
		if old := was[id]; old != nil && old.Name != f.Name {
			newName[old.Name] = f.Name
		}
	}
	cameOrWent := func(name string) {
		affected[name] |= mailboxName
		if up := parent(name); up != "" {
			affected[up] |= mailboxName
		}
	}
	for id, f := range is {
		switch old := was[id]; {
		case old == nil:
			cameOrWent(f.Name)
		case old.Name == f.Name:
		default:
			leaf := strings.TrimPrefix(old.Name, parent(old.Name))
			if up := newName[parent(old.Name)]; up == "" || up+leaf != f.Name { // else it went along
				affected[f.Name] |= mailboxName
				renamed[f.Name] = old.Name
			}
		}
	}
	for id, f := range was {
		if is[id] == nil {
			cameOrWent(f.Name)
		}
	}
	for _, lists := range [][2][]string{{before.subscribed, now.subscribed}, {now.subscribed, before.subscribed}} {
		for _, name := range lists[0] {
			if _, both := slices.BinarySearch(lists[1], name); !both {
				affected[name] |= subscriptionChange
			}
		}
	}
	if len(affected) == 0 {
		return
	}
	byName := make(map[string]*listing)
	for _, l := range listings(now.folders, now.subscribed) {
		byName[l.name] = l
	}
	for _, name := range sortedNames(affected) {
		wanted := o.eventsOf(name, before.isSubscribed(name) || now.isSubscribed(name))
		if wanted&affected[name] == 0 {
			continue
		}
		l := byName[name]
		if l == nil {
			l = &listing{name: name}
		}
		if wanted&mailboxName != 0 {
			l.oldName = renamed[name]
		}
		s.writeListing(l, listOptions{showSubscribed: true})
	}
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// tellStatus tells of messages in mailboxes that are not selected (RFC 5465
// sections 5.1 to 5.3). Of the selected one it notes what the client knows.
func (s *session) tellStatus(o *others, before, now *picture) {
	was := byID(before.folders)
	for i := range now.folders {
		f := &now.folders[i]
		old := was[f.ID]
		if old == nil { // its name may be one that the client knows with another UIDVALIDITY
			old = new(mailbox.Folder)
		}
		if s.isSelected(f.ID) {
			if s.frozen() {
				f.UIDNext, f.Messages, f.HighestModSeq, f.Unseen = old.UIDNext, old.Messages, old.HighestModSeq, old.Unseen
			} else {
				f.UIDNext, f.Messages, f.HighestModSeq = s.view.next, uint32(s.view.uids.len()-len(s.view.gone)), s.view.modSeq
			}
			continue
		}
		e := o.eventsOf(f.Name, now.isSubscribed(f.Name))
		seen := statusIf(e&flagChange != 0 && f.Unseen != old.Unseen, unseenStatus)
		modSeq := statusIf(s.modSeqs, modSeqStatus)
		switch {
		case e&messageNew != 0 && (f.UIDNext != old.UIDNext || f.Messages != old.Messages):
			s.writeNews(f, messageStatus|validityStatus|modSeq|seen)
		case e&flagChange != 0 && f.HighestModSeq != old.HighestModSeq && modSeq|seen != 0:
			s.writeNews(f, validityStatus|modSeq|seen)
		}
	}
}

// statusParts is what a STATUS response of NOTIFY shows.
type statusParts uint8

const (
	messageStatus statusParts = 1 << iota
	validityStatus
	modSeqStatus
	unseenStatus
)

func statusIf(on bool, p statusParts) statusParts {
	if on {
		return p
	}
	return 0
}

func (s *session) writeNews(f *mailbox.Folder, p statusParts) {
	s.enc.Raw("* STATUS ").Mailbox(f.Name)
	sep := " ("
	item := func(name string, n uint64) {
		s.enc.Raw(sep).Raw(name).Raw(" ").Number(n)
		sep = " "
	}
	if p&messageStatus != 0 {
		item("MESSAGES", uint64(f.Messages))
		item("UIDNEXT", uint64(f.UIDNext))
	}
	if p&validityStatus != 0 {
		item("UIDVALIDITY", uint64(f.UIDValidity))
	}
	if p&modSeqStatus != 0 {
		item("HIGHESTMODSEQ", uint64(f.HighestModSeq))
	}
	if p&unseenStatus != 0 {
		item("UNSEEN", uint64(f.Unseen))
	}
	s.enc.Raw(")\r\n")
}

// tellNotes names the annotations that changed (RFC 5464 section 4.4.2).
func (s *session) tellNotes(o *others, before, now *picture) {
	changed := make(map[mailbox.FolderID]map[string]bool)
	for _, maps := range [][2]map[note]uint64{{before.notes, now.notes}, {now.notes, before.notes}} {
		for n, hash := range maps[0] {
			if other, both := maps[1][n]; both && other == hash {
				continue
			}
			if changed[n.folder] == nil {
				changed[n.folder] = make(map[string]bool)
			}
			changed[n.folder][n.entry] = true
		}
	}
	if len(changed) == 0 {
		return
	}
	s.writeChangedNotes("", changed[mailbox.NoFolder])
	for _, f := range now.folders {
		if o.eventsOf(f.Name, now.isSubscribed(f.Name))&mailboxMetadata != 0 {
			s.writeChangedNotes(f.Name, changed[f.ID])
		}
	}
}

func (s *session) writeChangedNotes(name string, entries map[string]bool) {
	if len(entries) == 0 {
		return
	}
	s.enc.Raw("* METADATA ").Mailbox(name)
	for _, e := range sortedNames(entries) {
		s.enc.Raw(" ").AString(e)
	}
	s.enc.Raw("\r\n")
}
