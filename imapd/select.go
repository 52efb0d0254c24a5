package imapd

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// selecting brings the commands that open and close a mailbox.
func selecting() extension {
	return extension{commands: []command{
		{name: "SELECT", in: loggedIn, opens: true, run: selectMailbox(false)},
		{name: "EXAMINE", in: loggedIn, opens: true, run: selectMailbox(true)},
		{name: "CLOSE", in: selected, run: closeMailbox},
		{name: "UNSELECT", in: selected, run: unselect},
		{name: "CHECK", in: selected, run: noop},
	}}
}

func selectMailbox(readOnly bool) func(context.Context, *session, *call) error {
	return func(_ context.Context, s *session, c *call) error {
		s.dec.SP()
		name := s.mailboxName()
		o := opening{readOnly: readOnly}
		if s.dec.Accept(' ') {
			s.selectParams(&o)
		}
		if err := s.dec.EndLine(); err != nil {
			return err
		}
		if s.view != nil {
			// RFC 9051 section 6.3.2: the mailbox is closed even if the other
			// cannot be opened.
			s.view = nil
			s.enc.Raw("* OK [CLOSED] the mailbox before\r\n")
		}
		if o.condstore {
			s.modSeqs = true // the responses below tell the modseq
		}
		return s.open(name, o)
	}
}

// opening is how a mailbox is to be opened.
type opening struct {
	readOnly  bool
	condstore bool
	resync    *resync // nil: the client remembers nothing
}

// A selectParam is one line of the table of parameters of SELECT (RFC 4466
// section 2.2).
type selectParam struct {
	name  string
	parse func(s *session, o *opening) // reads what follows the name
}

func (s *session) selectParams(o *opening) {
	n := 0
	s.dec.List(func() {
		n++
		name := s.dec.Keyword()
		p, known := s.srv.tables.selecting[name]
		if s.dec.Err() != nil {
			return
		}
		if !known {
			s.dec.Failf("unknown parameter %.40q", name)
			return
		}
		p.parse(s, o)
	})
	if n == 0 {
		s.dec.Failf("expected a parameter")
	}
}

// mailboxName reads a mailbox name in the encoding that the session speaks.
func (s *session) mailboxName() string { return s.dec.Mailbox(s.enc.UTF8) }

func (s *session) open(name string, o opening) error {
	store, id := s.srv.opts.Store, s.account.ID
	bell := store.Bell(id) // before reading: nothing falls between
	f, err := store.FolderNamed(id, name)
	if err != nil {
		return err
	}
	snap, err := store.Snapshot(id, f.ID)
	if err != nil {
		return err
	}
	v := newView(snap, bell)
	v.readOnly = o.readOnly
	s.view = v
	s.claimRecent(snap.Folder)

	s.writeFlagLists(&snap.Folder)
	s.writeExists()
	for i, e := range snap.Entries {
		if e.Flags&mailbox.Seen == 0 && !s.has(imap.CapIMAP4rev2) && !s.has(imap.CapUIDOnly) {
			s.enc.Raw("* OK [UNSEEN ").Number(uint64(i + 1)).Raw("] first unseen\r\n")
			break
		}
	}
	s.enc.Raw("* OK [UIDVALIDITY ").Number(uint64(snap.Folder.UIDValidity)).Raw("] UIDs are valid\r\n")
	s.enc.Raw("* OK [UIDNEXT ").Number(uint64(snap.Folder.UIDNext)).Raw("] next UID\r\n")
	s.writeHighestModSeq(snap.Folder.HighestModSeq)
	s.enc.Raw("* OK [MAILBOXID ").Raw(mailboxID(&snap.Folder)).Raw("] name for good\r\n")
	if s.has(imap.CapIMAP4rev2) {
		s.enc.Raw("* LIST () \"/\" ").Mailbox(snap.Folder.Name).Raw("\r\n")
	}
	if o.resync != nil {
		if err := s.catchUp(o.resync, &snap.Folder); err != nil {
			s.view = nil
			return err
		}
	}
	if o.readOnly {
		return ok("READ-ONLY", "EXAMINE completed")
	}
	return ok("READ-WRITE", "SELECT completed")
}

func closeMailbox(ctx context.Context, s *session, c *call) error {
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	v := s.view
	s.view = nil
	if v.readOnly {
		return nil
	}
	done, err := s.srv.opts.Store.Expunge(ctx, s.account.ID, v.folder, nil)
	s.ownMessages(v.folder, done.UIDs)
	if err == nil && s.modSeqs && len(done.UIDs) > 0 {
		return ok("HIGHESTMODSEQ "+decimal(done.Folder.HighestModSeq), "CLOSE completed")
	}
	return err
}

func unselect(_ context.Context, s *session, _ *call) error {
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	s.view = nil
	return nil
}
