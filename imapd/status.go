package imapd

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// A statusItem is one line of the table of STATUS items.
type statusItem struct {
	name string
	// value computes what the item shows of a mailbox.
	value func(s *session, f *mailbox.Folder) (uint64, error)
	text  func(f *mailbox.Folder) string // instead, where it is no number
}

// status brings STATUS (RFC 9051 section 6.3.11) and its items.
func status() extension {
	number := func(name string, of func(f *mailbox.Folder) uint64) statusItem {
		return statusItem{name: name, value: func(_ *session, f *mailbox.Folder) (uint64, error) { return of(f), nil }}
	}
	return extension{
		commands: []command{{name: "STATUS", in: loggedIn, run: runStatus}},
		status: []statusItem{
			number("MESSAGES", func(f *mailbox.Folder) uint64 { return uint64(f.Messages) }),
			number("UIDNEXT", func(f *mailbox.Folder) uint64 { return uint64(f.UIDNext) }),
			number("UIDVALIDITY", func(f *mailbox.Folder) uint64 { return uint64(f.UIDValidity) }),
			number("UNSEEN", func(f *mailbox.Folder) uint64 { return uint64(f.Unseen) }),
			number("DELETED", func(f *mailbox.Folder) uint64 { return uint64(f.Deleted) }),
			number("SIZE", func(f *mailbox.Folder) uint64 { return uint64(f.Bytes) }),
			{name: "RECENT", value: countRecent},
		},
	}
}

// countRecent counts the messages that no session was told of yet.
func countRecent(s *session, f *mailbox.Folder) (uint64, error) {
	store := s.srv.opts.Store
	first := store.Recent(s.account.ID, *f)
	if first >= f.UIDNext {
		return 0, nil
	}
	snap, err := store.Snapshot(s.account.ID, f.ID)
	n := uint64(0)
	for _, e := range snap.Entries {
		if e.UID >= first {
			n++
		}
	}
	return n, err
}

// appendLimit brings APPENDLIMIT (RFC 7889): one limit for all mailboxes.
func appendLimit() extension {
	return extension{
		more: func(s *session) []imap.Cap {
			if s.account == nil {
				return nil
			}
			return []imap.Cap{imap.Cap("APPENDLIMIT=" + decimal(s.srv.opts.Store.MaxMessage()))}
		},
		status: []statusItem{{name: "APPENDLIMIT", value: func(s *session, _ *mailbox.Folder) (uint64, error) {
			return uint64(s.srv.opts.Store.MaxMessage()), nil
		}}},
	}
}

func runStatus(_ context.Context, s *session, _ *call) error {
	s.dec.SP()
	name := s.mailboxName()
	s.dec.SP()
	items := s.statusItems()
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	f, err := s.srv.opts.Store.FolderNamed(s.account.ID, name)
	if err != nil {
		return err
	}
	return s.writeStatus(&f, items)
}

// statusItems reads a list of STATUS items.
func (s *session) statusItems() []statusItem {
	var items []statusItem
	s.dec.List(func() {
		name := s.dec.Keyword()
		item, known := s.srv.tables.status[name]
		if !known {
			s.dec.Failf("unknown STATUS item %.40q", name)
		}
		items = append(items, item)
	})
	if len(items) == 0 {
		s.dec.Failf("expected a STATUS item")
	}
	return items
}

func (s *session) writeStatus(f *mailbox.Folder, items []statusItem) error {
	values := make([]uint64, len(items))
	for i, item := range items {
		if item.value == nil {
			continue
		}
		var err error
		if values[i], err = item.value(s, f); err != nil {
			return err
		}
	}
	s.enc.Raw("* STATUS ").Mailbox(f.Name).Raw(" (")
	for i, item := range items {
		if i > 0 {
			s.enc.Raw(" ")
		}
		s.enc.Raw(item.name).Raw(" ")
		if item.text != nil {
			s.enc.Raw(item.text(f))
		} else {
			s.enc.Number(values[i])
		}
	}
	s.enc.Raw(")\r\n")
	return nil
}
