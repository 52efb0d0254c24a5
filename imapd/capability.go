package imapd

import (
	"context"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// An extension is a capability and all that it brings. The base protocol's
// command families are extensions without a name.
type extension struct {
	name imap.Cap                  // as CAPABILITY shows it
	more func(*session) []imap.Cap // further names, where they vary

	early   bool                 // shown before login too
	enable  bool                 // ENABLE takes it
	enabled func(*session) error // called when ENABLE took it; may be nil

	commands  []command
	fetch     []fetchItem
	narrow    []fetchModifier
	search    []searchKey
	status    []statusItem
	selecting []selectParam
}

// A command is one line of the command table.
type command struct {
	name string // in upper case, "UID " before it for the variant with UIDs
	in   state
	// numbered forbids EXPUNGE responses while the command runs, because it
	// may work with sequence numbers (RFC 9051 section 7.5.1).
	numbered bool
	// counts says that it takes or tells sequence numbers, which UIDONLY forbids.
	counts bool
	// opens says that it tells of a mailbox as it is at one moment. What happened
	// since is told by the next command, so that a client which resynchronises can
	// tell the one from the other (RFC 7162 section 3.2.5).
	opens bool
	run   func(context.Context, *session, *call) error
}

// extensions is the capability table.
func extensions() []extension {
	return []extension{
		{name: imap.CapIMAP4rev1, early: true},
		{name: imap.CapIMAP4rev2, early: true, enable: true},
		anytime(),
		startTLS(),
		login(),
		{name: imap.CapSASLIR, early: true},
		{name: imap.CapLiteralPlus, early: true},
		id(),
		enable(),
		selecting(),
		folders(),
		namespace(),
		list(),
		{name: imap.CapListExtended},
		{name: imap.CapListStatus},
		{name: imap.CapChildren},
		{name: imap.CapSpecialUse},
		{name: imap.CapCreateSpecialUse},
		status(),
		{name: imap.CapStatusSize},
		appending(),
		appendLimit(),
		idle(),
		{name: imap.CapUnselect},
		expunging(),
		searching(),
		{name: imap.CapESearch},
		{name: imap.CapSearchRes},
		within(),
		fetching(),
		binary(),
		storing(),
		copying(),
		condstore(),
		qresync(),
		sorting(),
		{name: imap.CapSortDisplay},
		{name: imap.CapESort},
		threading(),
		objectID(),
		partial(),
		quota(),
		saveDate(),
		preview(),
		progress(),
		replacing(),
		unauthenticate(),
		metadata(),
		{name: "LIST-METADATA"},
		{name: imap.CapUTF8Accept, enable: true},
		uidOnly(),
		multiSearch(),
		notify(),
	}
}

// tables are the extensions' lines by name. They are never changed.
type tables struct {
	extensions []extension
	commands   map[string]command
	fetch      map[string]fetchItem
	narrow     map[string]fetchModifier
	search     map[string]searchKey
	status     map[string]statusItem
	selecting  map[string]selectParam
}

func newTables(all []extension) *tables {
	t := &tables{
		extensions: all,
		commands:   make(map[string]command),
		fetch:      make(map[string]fetchItem),
		narrow:     make(map[string]fetchModifier),
		search:     make(map[string]searchKey),
		status:     make(map[string]statusItem),
		selecting:  make(map[string]selectParam),
	}
	for _, e := range all {
		for _, c := range e.commands {
			t.commands[c.name] = c
		}
		for _, f := range e.fetch {
			t.fetch[f.name] = f
		}
		for _, m := range e.narrow {
			t.narrow[m.name] = m
		}
		for _, k := range e.search {
			t.search[k.name] = k
		}
		for _, i := range e.status {
			t.status[i.name] = i
		}
		for _, p := range e.selecting {
			t.selecting[p.name] = p
		}
	}
	return t
}

// hides reports whether the account's programs are not told of a capability,
// which goes by its name with or without a value. What it brings works all the
// same, but ENABLE does not take it. Nobody can do without the base.
func (s *session) hides(c imap.Cap) bool {
	if s.account == nil || c == imap.CapIMAP4rev1 {
		return false
	}
	name, _, _ := strings.Cut(string(c), "=")
	return slices.ContainsFunc(s.account.Hidden, func(hidden string) bool {
		return strings.EqualFold(hidden, string(c)) || strings.EqualFold(hidden, name)
	})
}

// capabilities returns what the session can do now, separated by spaces.
func (s *session) capabilities() string {
	var caps []string
	add := func(c imap.Cap) {
		if !s.hides(c) {
			caps = append(caps, string(c))
		}
	}
	for _, e := range s.srv.tables.extensions {
		if e.name != "" && (e.early || s.account != nil) {
			add(e.name)
		}
		if e.more != nil {
			for _, c := range e.more(s) {
				add(c)
			}
		}
	}
	return strings.Join(caps, " ")
}
