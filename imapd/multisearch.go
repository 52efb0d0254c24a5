package imapd

import (
	"context"
	"slices"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// multiSearch brings MULTISEARCH (RFC 7377): ESEARCH searches several mailboxes
// and answers with UIDs, whatever is selected.
func multiSearch() extension {
	return extension{
		name:     imap.CapMultiSearch,
		commands: []command{{name: "ESEARCH", in: loggedIn, numbered: true, run: runESearch}},
	}
}

func runESearch(ctx context.Context, s *session, c *call) error {
	s.dec.SP()
	p := searchParser{session: s}
	sources := p.sources()
	ret := p.searchReturn()
	ret.extended = true
	p.charset()
	q := p.keys()
	if ret.save && slices.ContainsFunc(sources, func(f filter) bool { return !f.selected() }) {
		s.dec.Failf("SAVE is for the selected mailbox alone")
	}
	if s.view == nil && slices.ContainsFunc(sources, func(f filter) bool { return f.selected() }) {
		s.dec.Failf("select a mailbox first")
	}
	c.uid = true
	err := s.dec.EndLine()
	if err != nil && s.view == nil {
		return err
	}
	if err != nil { // a search that is refused has its effect on what is saved
		_, err = s.find(ctx, c, &p, ret, q, err)
		return err
	}
	folders, err := s.sourced(sources)
	if err != nil {
		return err
	}
	for _, f := range folders {
		var found []mailbox.Entry
		if s.view != nil && s.view.folder == f.ID {
			found, err = s.find(ctx, c, &p, ret, q, nil)
		} else {
			found, err = s.findIn(ctx, c, &p, q, &f)
		}
		if err != nil {
			return err
		}
		if len(found) > 0 {
			s.writeSearch(c, "SEARCH", ret, &p, found, &f)
		}
	}
	return nil
}

// sources reads IN (…), which mailboxes to search.
func (p *searchParser) sources() []filter {
	if !p.accept("IN") {
		return []filter{{kind: "SELECTED"}}
	}
	p.dec.SP()
	var sources []filter
	p.dec.List(func() {
		if len(sources) > 0 && p.dec.Peek('(') {
			p.dec.Failf("there are no scope options")
		}
		f := p.filter()
		if f.kind == "SELECTED-DELAYED" {
			p.dec.Failf("SELECTED-DELAYED is of NOTIFY alone")
		}
		sources = append(sources, f)
	})
	if len(sources) == 0 {
		p.dec.Failf("expected the mailboxes to search")
	}
	p.dec.SP()
	return sources
}

// sourced finds the mailboxes, each of them once. Those that do not exist are
// passed over.
func (s *session) sourced(sources []filter) ([]mailbox.Folder, error) {
	all, err := s.srv.opts.Store.Folders(s.account.ID)
	if err != nil {
		return nil, err
	}
	var subscribed []string // in order
	if slices.ContainsFunc(sources, func(f filter) bool { return f.kind == "SUBSCRIBED" }) {
		if subscribed, err = s.srv.opts.Store.Subscriptions(s.account.ID); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(all, func(folder mailbox.Folder) bool {
		_, is := slices.BinarySearch(subscribed, folder.Name)
		return !slices.ContainsFunc(sources, func(f filter) bool {
			return f.matches(folder.Name, is) || f.selected() && folder.ID == s.view.folder
		})
	}), nil
}

// findIn searches a mailbox that is not selected. One that was deleted meanwhile
// has no messages.
func (s *session) findIn(ctx context.Context, c *call, p *searchParser, q mailbox.Query, f *mailbox.Folder) ([]mailbox.Entry, error) {
	if p.modSeq {
		s.useModSeq()
	}
	store := s.srv.opts.Store
	var v *view // as it would be if the mailbox was examined, if the program asks
	if len(p.sets) > 0 {
		snap, err := store.Snapshot(s.account.ID, f.ID)
		if err != nil {
			return nil, unlessGone(err)
		}
		v = newView(snap, nil)
		v.seeRecent(store.Recent(s.account.ID, snap.Folder), snap.Folder.UIDNext)
	}
	var found []mailbox.Entry
	err := s.patiently(ctx, c, func() (err error) {
		found, err = store.Find(ctx, s.account.ID, f.ID, p.bind(q, v))
		return err
	})
	return found, unlessGone(err)
}
