package imapd

import (
	"context"
	"slices"
	"strings"

	"roost/mailbox"
)

// list brings LIST with RFC 5258's options, RFC 5819's STATUS, RFC 9590's
// METADATA and RFC 6154's SPECIAL-USE, and LSUB of RFC 3501.
func list() extension {
	return extension{commands: []command{
		{name: "LIST", in: loggedIn, run: runList},
		{name: "LSUB", in: loggedIn, run: runLsub},
	}}
}

// listOptions are what LIST is asked to select and to return.
type listOptions struct {
	subscribed, recursive, special bool // select
	showSubscribed                 bool
	status                         []statusItem // nil: none
	metadata                       []string     // entries (RFC 9590)
}

func runList(_ context.Context, s *session, _ *call) error {
	var o listOptions
	s.dec.SP()
	extended := s.dec.Peek('(')
	if extended {
		s.listSelect(&o)
		s.dec.SP()
	}
	reference := s.mailboxName()
	s.dec.SP()
	var patterns []string
	if s.dec.Peek('(') {
		extended = true
		s.dec.List(func() { patterns = append(patterns, reference+s.pattern()) })
	} else {
		patterns = []string{reference + s.pattern()}
	}
	if s.dec.Accept(' ') {
		extended = true
		s.listReturn(&o)
	}
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	if !extended && patterns[0] == reference {
		// RFC 9051 section 6.3.9: an empty pattern asks for the separator.
		s.enc.Raw("* LIST (\\Noselect) \"/\" \"\"\r\n")
		return nil
	}
	all, err := s.listed()
	if err != nil {
		return err
	}
	for _, l := range all {
		if l.wanted(o) && matchAny(patterns, l.name) {
			if err := s.writeList(l, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// pattern reads one pattern. Its length bounds the work of matching it.
func (s *session) pattern() string {
	p := s.dec.Pattern(s.enc.UTF8)
	if len(p) > 2000 {
		s.dec.Failf("a pattern of more than 2000 octets")
	}
	return p
}

func (s *session) listSelect(o *listOptions) {
	s.dec.List(func() {
		switch word := s.dec.Keyword(); word {
		case "SUBSCRIBED":
			o.subscribed, o.showSubscribed = true, true
		case "RECURSIVEMATCH":
			o.recursive = true
		case "SPECIAL-USE":
			o.special = true
		case "REMOTE": // there are none
		default:
			s.dec.Failf("unknown selection option %.40q", word)
		}
	})
	if o.recursive && !o.subscribed && !o.special {
		s.dec.Failf("RECURSIVEMATCH needs another selection option")
	}
}

func (s *session) listReturn(o *listOptions) {
	if word := s.dec.Keyword(); word != "RETURN" {
		s.dec.Failf("expected RETURN")
	}
	s.dec.SP()
	s.dec.List(func() {
		switch word := s.dec.Keyword(); word {
		case "SUBSCRIBED":
			o.showSubscribed = true
		case "CHILDREN", "SPECIAL-USE": // always shown
		case "STATUS":
			s.dec.SP()
			o.status = s.statusItems()
		case "METADATA":
			s.dec.SP()
			o.metadata = s.entryNames()
		default:
			s.dec.Failf("unknown return option %.40q", word)
		}
	})
}

// A listing is a name that LIST may show: a mailbox, a level above one, or a
// subscription.
type listing struct {
	name       string
	folder     *mailbox.Folder // nil: \NonExistent
	subscribed bool
	children   bool

	subscribedBelow, specialBelow bool

	oldName string // the name before a rename that is told of (RFC 5465 section 5.4)
}

// wanted applies the selection options.
func (l *listing) wanted(o listOptions) bool {
	switch {
	case o.recursive && (o.subscribed && l.subscribedBelow || o.special && l.specialBelow):
		return true
	case o.subscribed && !l.subscribed, o.special && (l.folder == nil || l.folder.Use == ""):
		return false
	case o.subscribed || o.special:
		return true
	}
	return l.folder != nil || l.children
}

// listed gathers all names, INBOX first, then in order.
func (s *session) listed() ([]*listing, error) {
	store, id := s.srv.opts.Store, s.account.ID
	folders, err := store.Folders(id)
	if err != nil {
		return nil, err
	}
	subscriptions, err := store.Subscriptions(id)
	if err != nil {
		return nil, err
	}
	return listings(folders, subscriptions), nil
}

func listings(folders []mailbox.Folder, subscriptions []string) []*listing {
	byName := make(map[string]*listing, len(folders))
	get := func(name string) *listing {
		l := byName[name]
		if l == nil {
			l = &listing{name: name}
			byName[name] = l
		}
		return l
	}
	above := func(name string, f func(*listing)) {
		for i := range len(name) {
			if name[i] == mailbox.Separator[0] {
				f(get(name[:i]))
			}
		}
	}
	for i := range folders {
		f := &folders[i]
		get(f.Name).folder = f
		above(f.Name, func(l *listing) {
			l.children = true
			l.specialBelow = l.specialBelow || f.Use != ""
		})
	}
	for _, name := range subscriptions {
		get(name).subscribed = true
		above(name, func(l *listing) { l.subscribedBelow = true })
	}
	all := make([]*listing, 0, len(byName))
	for _, l := range byName {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *listing) int {
		if (a.name == mailbox.Inbox) != (b.name == mailbox.Inbox) {
			if a.name == mailbox.Inbox {
				return -1
			}
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	return all
}

// writeListing writes a LIST response.
func (s *session) writeListing(l *listing, o listOptions) {
	var attrs []string
	if l.folder == nil {
		attrs = append(attrs, `\NonExistent`, `\Noselect`)
	}
	if l.children {
		attrs = append(attrs, `\HasChildren`)
	} else {
		attrs = append(attrs, `\HasNoChildren`)
	}
	if l.folder != nil && l.folder.Use != "" {
		attrs = append(attrs, string(l.folder.Use))
	}
	if l.subscribed && o.showSubscribed {
		attrs = append(attrs, `\Subscribed`)
	}
	s.enc.Raw("* LIST (").Raw(strings.Join(attrs, " ")).Raw(`) "/" `).Mailbox(l.name)
	if o.recursive {
		var info []string
		if o.subscribed && l.subscribedBelow {
			info = append(info, `"SUBSCRIBED"`)
		}
		if o.special && l.specialBelow {
			info = append(info, `"SPECIAL-USE"`)
		}
		if info != nil {
			s.enc.Raw(` ("CHILDINFO" (`).Raw(strings.Join(info, " ")).Raw("))")
		}
	}
	if l.oldName != "" {
		s.enc.Raw(` ("OLDNAME" (`).Mailbox(l.oldName).Raw("))")
	}
	s.enc.Raw("\r\n")
}

// writeList writes a LIST response and what was asked for besides.
func (s *session) writeList(l *listing, o listOptions) error {
	s.writeListing(l, o)
	if l.folder == nil {
		return nil
	}
	if o.status != nil {
		if err := s.writeStatus(l.folder, o.status); err != nil {
			return err
		}
	}
	if o.metadata == nil {
		return nil
	}
	all, err := s.srv.opts.Store.Annotations(s.account.ID, l.folder.ID)
	if err != nil {
		return err
	}
	q := entryQuery{entries: o.metadata, maxSize: mailbox.MaxAnnotation}
	found, _ := q.pick(all)
	s.writeMetadata(l.name, found)
	return nil
}

// runLsub shows subscriptions, and with "%" the levels above them (RFC 3501
// section 6.3.9).
func runLsub(_ context.Context, s *session, _ *call) error {
	s.dec.SP()
	reference := s.mailboxName()
	s.dec.SP()
	patterns := []string{reference + s.pattern()}
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	all, err := s.listed()
	if err != nil {
		return err
	}
	levels := strings.HasSuffix(patterns[0], "%")
	for _, l := range all {
		if !l.subscribed && !(levels && l.subscribedBelow) || !matchAny(patterns, l.name) {
			continue
		}
		attr := ""
		if !l.subscribed {
			attr = `\Noselect`
		}
		s.enc.Raw("* LSUB (").Raw(attr).Raw(`) "/" `).Mailbox(l.name).Raw("\r\n")
	}
	return nil
}
