package imapd

import (
	"context"

	"github.com/emersion/go-imap/v2"
)

// notify brings NOTIFY (RFC 5465): the client says of which mailboxes it wants to
// be told what, and is told at once, also while no command runs.
func notify() extension {
	return extension{
		name:     imap.CapNotify,
		commands: []command{{name: "NOTIFY", in: loggedIn, run: runNotify}},
	}
}

// events is a set of the events of RFC 5465 section 5.
type events uint8

const (
	messageNew events = 1 << iota
	messageExpunge
	flagChange
	mailboxName
	subscriptionChange
	mailboxMetadata
	serverMetadata

	messageEvents = messageNew | messageExpunge | flagChange
)

// eventNames are the supported events, in the order in which BADEVENT tells them.
var eventNames = [...]struct {
	name  string // as it is asked for, in upper case
	shown string
	event events
}{
	{"MESSAGENEW", "MessageNew", messageNew},
	{"MESSAGEEXPUNGE", "MessageExpunge", messageExpunge},
	{"FLAGCHANGE", "FlagChange", flagChange},
	{"MAILBOXNAME", "MailboxName", mailboxName},
	{"SUBSCRIPTIONCHANGE", "SubscriptionChange", subscriptionChange},
	{"MAILBOXMETADATACHANGE", "MailboxMetadataChange", mailboxMetadata},
	{"SERVERMETADATACHANGE", "ServerMetadataChange", serverMetadata},
}

// An eventGroup is what is to be told of some mailboxes other than the selected one.
type eventGroup struct {
	filter
	events
}

// A notification is what the last NOTIFY asked for.
type notification struct {
	selected events     // of the selected mailbox; none freezes what the client sees
	delayed  bool       // expunges wait for a command that may tell of them
	atts     []fetchAtt // to be told of each new message
	groups   []eventGroup

	specified   bool // selected or selected-delayed was there
	unsupported bool // an event was asked for that there is not
}

// listens reports whether the client is to be told while no command runs.
func (n *notification) listens() bool {
	return n != nil && (n.selected != 0 || len(n.groups) > 0)
}

// frozen reports whether the client wants to hear nothing of the selected mailbox
// but what its own commands do.
func (s *session) frozen() bool { return s.notify != nil && s.notify.selected == 0 }

func runNotify(ctx context.Context, s *session, _ *call) error {
	n := new(notification)
	set, status := false, false
	s.dec.SP()
	switch word := s.dec.Keyword(); word {
	case "NONE":
	case "SET":
		set = true
		if s.dec.SP(); !s.dec.Peek('(') {
			if status = s.dec.Keyword() == "STATUS"; !status {
				s.dec.Failf("expected STATUS or a list")
			}
			s.dec.SP()
		}
		for more := true; more; more = s.dec.Accept(' ') {
			s.eventGroup(n)
		}
	default:
		s.dec.Failf("expected SET or NONE")
	}
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	if n.unsupported {
		names := ""
		for _, e := range eventNames {
			names += " " + e.shown
		}
		return no("BADEVENT ("+names[1:]+")", "there is no such event")
	}
	// RFC 5465 section 3.1: SET tells first what has gathered.
	if set {
		if err := s.update(ctx, true); err != nil {
			return err
		}
	}
	s.notify, s.others = n, nil
	if len(n.groups) == 0 {
		return nil
	}
	return s.watch(n.groups, status)
}

// eventGroup reads (mailboxes events).
func (s *session) eventGroup(n *notification) {
	s.dec.Expect('(')
	f := s.filter()
	s.dec.SP()
	var e events
	if s.dec.Peek('(') {
		if s.dec.List(func() { e |= s.event(n, f) }); e == 0 && !n.unsupported {
			s.dec.Failf("expected an event")
		}
	} else if word := s.dec.Keyword(); word != "NONE" {
		s.dec.Failf("expected events or NONE")
	}
	s.dec.Expect(')')
	switch {
	case f.kind == "SUBTREE-ONE":
		s.dec.Failf("SUBTREE-ONE is of ESEARCH alone")
	case e&messageNew != 0 != (e&messageExpunge != 0):
		s.dec.Failf("MessageNew and MessageExpunge go together")
	case e&flagChange != 0 && e&messageNew == 0:
		s.dec.Failf("FlagChange goes with MessageNew and MessageExpunge")
	case f.selected() && n.specified:
		s.dec.Failf("the selected mailbox is specified twice")
	case f.selected() && e&^messageEvents != 0:
		s.dec.Failf("of the selected mailbox only events of messages are told")
	case f.selected():
		n.selected, n.specified, n.delayed = e, true, f.kind == "SELECTED-DELAYED"
	case e != 0:
		n.groups = append(n.groups, eventGroup{f, e})
	}
}

// event reads one event, MessageNew of the selected mailbox with what to fetch.
func (s *session) event(n *notification, f filter) events {
	word := s.dec.Keyword()
	for _, e := range eventNames {
		if e.name != word {
			continue
		}
		if e.event == messageNew && f.selected() && s.dec.PeekAll(" (") {
			s.dec.SP()
			n.atts = prepareAtts(s.fetchAtts(), false)
		}
		return e.event
	}
	n.unsupported = true
	return 0
}

// await waits for the client's next command. Who asked for it is told meanwhile
// what happens.
func (s *session) await(ctx context.Context) error {
	if s.notify.listens() && s.dec.Buffered() == 0 {
		return s.idle(ctx, !s.notify.delayed)
	}
	s.allow(autologout)
	return s.dec.Wait()
}

// arrived tells of new messages what NOTIFY asked for, but not of those that the
// session itself brought (RFC 5465 section 5.2).
func (s *session) arrived(ctx context.Context) error {
	v := s.view
	uids := v.arrived
	v.arrived = nil
	f := fetchRun{session: s, atts: s.notify.atts}
	for len(uids) > 0 {
		page := uids[:min(len(uids), fetchPage)]
		uids = uids[len(page):]
		if err := f.page(ctx, page); err != nil {
			return err
		}
	}
	return nil // what could not be had is not what the client asked for now
}
