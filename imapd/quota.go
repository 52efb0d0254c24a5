package imapd

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// quota brings QUOTA with the resource STORAGE (RFC 9208): all mailboxes of an
// account are below one root, named "". The owner sets limits, not clients.
func quota() extension {
	return extension{
		name: imap.CapQuota,
		more: func(s *session) []imap.Cap {
			if s.account == nil {
				return nil
			}
			return []imap.Cap{"QUOTA=RES-STORAGE"}
		},
		commands: []command{
			{name: "GETQUOTA", in: loggedIn, run: getQuota},
			{name: "GETQUOTAROOT", in: loggedIn, run: getQuotaRoot},
			{name: "SETQUOTA", in: loggedIn, run: setQuota},
		},
		status: []statusItem{{name: "DELETED-STORAGE", value: deletedStorage}},
	}
}

func getQuota(_ context.Context, s *session, _ *call) error {
	s.dec.SP()
	root := s.dec.AString()
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	if root != "" {
		return no("NONEXISTENT", "there is one quota root, \"\"")
	}
	return s.writeQuota()
}

func getQuotaRoot(_ context.Context, s *session, _ *call) error {
	s.dec.SP()
	name := s.mailboxName()
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	if _, err := s.srv.opts.Store.FolderNamed(s.account.ID, name); err != nil {
		return err
	}
	s.enc.Raw("* QUOTAROOT ").Mailbox(name).Raw(" \"\"\r\n")
	return s.writeQuota()
}

func setQuota(_ context.Context, s *session, _ *call) error {
	s.dec.SP()
	s.dec.AString()
	s.dec.SP()
	s.dec.List(func() {
		s.dec.Keyword()
		s.dec.SP()
		s.dec.Number64()
	})
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	return no("NOPERM", "the server's owner sets the limits")
}

// writeQuota writes what the account uses and may use, in units of 1,024 octets
// (RFC 9208 section 5.1). An account without a limit has no resource.
func (s *session) writeQuota() error {
	store := s.srv.opts.Store
	a, err := store.AccountByID(s.account.ID)
	if err != nil {
		return err
	}
	use, err := store.AccountUsage(a.ID)
	if err != nil {
		return err
	}
	s.enc.Raw("* QUOTA \"\" (")
	if a.Quota > 0 {
		s.enc.Raw("STORAGE ").Number(uint64(use.Bytes+1023) / 1024).Raw(" ").Number(uint64(a.Quota) / 1024)
	}
	s.enc.Raw(")\r\n")
	return nil
}

// deletedStorage sums the sizes of the messages that EXPUNGE would remove, in the unit of
// STORAGE: the example of RFC 9208 has 8 for four messages.
func deletedStorage(s *session, f *mailbox.Folder) (uint64, error) {
	if f.Deleted == 0 {
		return 0, nil
	}
	snap, err := s.srv.opts.Store.Snapshot(s.account.ID, f.ID)
	if err != nil {
		return 0, err
	}
	var uids []mailbox.UID
	for _, e := range snap.Entries {
		if e.Flags&mailbox.Deleted != 0 {
			uids = append(uids, e.UID)
		}
	}
	sum := uint64(0)
	err = s.srv.opts.Store.Rows(s.account.ID, f.ID, uids, func(m *mailbox.Facts) error {
		sum += uint64(m.Size)
		return nil
	})
	return (sum + 1023) / 1024, err
}
