package imapd

import (
	"context"
	"errors"
	"strings"

	"roost/mailbox"
)

// folders brings the commands that make, remove and rename mailboxes.
func folders() extension {
	return extension{commands: []command{
		{name: "CREATE", in: loggedIn, run: createMailbox},
		{name: "DELETE", in: loggedIn, run: deleteMailbox},
		{name: "RENAME", in: loggedIn, run: renameMailbox},
		{name: "SUBSCRIBE", in: loggedIn, run: subscribe(true)},
		{name: "UNSUBSCRIBE", in: loggedIn, run: subscribe(false)},
	}}
}

// createMailbox obeys CREATE-SPECIAL-USE too (RFC 6154 section 3).
func createMailbox(ctx context.Context, s *session, _ *call) error {
	s.dec.SP()
	// RFC 9051 section 6.3.4: a separator at the end says that names below
	// will follow, and is no part of the name.
	name := strings.TrimSuffix(s.mailboxName(), mailbox.Separator)
	var uses []string
	if s.dec.Accept(' ') {
		s.dec.List(func() {
			if word := s.dec.Keyword(); word != "USE" && s.dec.Err() == nil {
				s.dec.Failf("unknown parameter of CREATE")
			}
			s.dec.SP()
			s.dec.List(func() { uses = append(uses, string(s.dec.Flag())) })
		})
	}
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	use, err := specialUse(uses)
	if err != nil {
		return err
	}
	store := s.srv.opts.Store
	f, err := store.CreateFolder(ctx, s.account.ID, name, use)
	if err == nil {
		if err := s.ownFolders(name); err != nil {
			return err
		}
		return ok("MAILBOXID "+mailboxID(&f), "CREATE completed")
	}
	if errors.Is(err, mailbox.ErrExists) && use != "" {
		if _, ferr := store.FolderNamed(s.account.ID, name); ferr != nil {
			return no("USEATTR", "%v", err)
		}
	}
	return err
}

// specialUse finds the use that a client asked for.
func specialUse(uses []string) (mailbox.SpecialUse, error) {
	if len(uses) == 0 {
		return "", nil
	}
	for _, u := range []mailbox.SpecialUse{
		mailbox.UseDrafts, mailbox.UseSent, mailbox.UseArchive, mailbox.UseJunk, mailbox.UseTrash,
	} {
		if len(uses) == 1 && strings.EqualFold(uses[0], string(u)) {
			return u, nil
		}
	}
	return "", no("USEATTR", "a mailbox can have one of the uses \\Drafts, \\Sent, \\Archive, \\Junk and \\Trash")
}

func deleteMailbox(ctx context.Context, s *session, _ *call) error {
	s.dec.SP()
	name := s.mailboxName()
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	store := s.srv.opts.Store
	f, err := store.FolderNamed(s.account.ID, name)
	if err != nil {
		return err
	}
	if err := store.DeleteFolder(ctx, s.account.ID, name); err != nil {
		return err
	}
	s.ownDelete(f.ID)
	if s.isSelected(f.ID) {
		s.view = nil
		s.enc.Raw("* OK [CLOSED] the mailbox was deleted\r\n")
	}
	return nil
}

func renameMailbox(ctx context.Context, s *session, _ *call) error {
	s.dec.SP()
	from := s.mailboxName()
	s.dec.SP()
	to := strings.TrimSuffix(s.mailboxName(), mailbox.Separator)
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	if err := s.srv.opts.Store.RenameFolder(ctx, s.account.ID, from, to); err != nil {
		return err
	}
	return s.ownRename(from, to)
}

func subscribe(on bool) func(context.Context, *session, *call) error {
	return func(ctx context.Context, s *session, _ *call) error {
		s.dec.SP()
		name := strings.TrimSuffix(s.mailboxName(), mailbox.Separator)
		if err := s.dec.EndLine(); err != nil {
			return err
		}
		err := s.srv.opts.Store.Subscribe(ctx, s.account.ID, name, on)
		if err == nil {
			s.ownSubscription(name, on)
		}
		return err
	}
}
