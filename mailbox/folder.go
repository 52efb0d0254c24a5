package mailbox

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// FolderID names a mailbox (RFC 9051 2.3.1) of an account for good; a rename
// keeps it. INBOX is always 1.
type FolderID uint32

// InboxID is every account's INBOX.
const InboxID FolderID = 1

// Inbox is the one name that is the same in any case (RFC 9051 5.1).
const Inbox = "INBOX"

// Separator stands between the levels of a mailbox name.
const Separator = "/"

// ModSeq is a modification sequence (RFC 7162): it counts the operations of an
// account, and each message, mailbox and expunge carries that of the last
// operation which touched it.
type ModSeq uint64

// SpecialUse is a mailbox's purpose (RFC 6154), or empty. Programs go by it,
// never by the name.
type SpecialUse string

// The uses that a mailbox may have. Of each there is at most one in an account.
const (
	UseDrafts  SpecialUse = `\Drafts`
	UseSent    SpecialUse = `\Sent`
	UseArchive SpecialUse = `\Archive`
	UseJunk    SpecialUse = `\Junk`
	UseTrash   SpecialUse = `\Trash`
)

var firstFolders = []struct {
	name string
	use  SpecialUse
}{{"Drafts", UseDrafts}, {"Sent", UseSent}, {"Archive", UseArchive}, {"Junk", UseJunk}, {"Trash", UseTrash}}

const (
	maxFolders    = 10_000
	maxFolderName = 1000 // bytes
	maxLevels     = 50
	maxKeywords   = 64
)

// Folder is a mailbox as its owner sees it.
type Folder struct {
	ID            FolderID
	Name          string // UTF-8, levels separated by "/"
	Use           SpecialUse
	UIDValidity   uint32
	UIDNext       UID
	HighestModSeq ModSeq
	Messages      uint32
	Unseen        uint32
	Deleted       uint32
	Bytes         int64    // the sum of RFC822.SIZE
	Keywords      []string // bit n of an Entry's Keywords is Keywords[n]

	recent UID // messages from this UID on were not yet told to any session
}

// Folders lists an account's mailboxes by name, INBOX first.
func (s *Store) Folders(id AccountID) ([]Folder, error) {
	var all []Folder
	err := s.view(func(tx *tx) (err error) {
		all, err = tx.folders(id)
		return err
	})
	slices.SortFunc(all, func(a, b Folder) int {
		if (a.ID == InboxID) != (b.ID == InboxID) {
			return cmp.Compare(a.ID, b.ID)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all, err
}

// FolderNamed finds a mailbox by name, INBOX in any case. ErrNotFound.
func (s *Store) FolderNamed(id AccountID, name string) (Folder, error) {
	var f Folder
	err := s.view(func(tx *tx) (err error) {
		f, err = tx.folderNamed(id, name)
		return err
	})
	return f, err
}

// Folder finds a mailbox by its id. ErrNotFound.
func (s *Store) Folder(id AccountID, folder FolderID) (Folder, error) {
	var f Folder
	err := s.view(func(tx *tx) (err error) {
		f, err = tx.folder(id, folder)
		return err
	})
	return f, err
}

// CreateFolder makes a mailbox, and the levels above it that are missing. use
// may be empty. Errors: ErrExists (the name, or another mailbox with the use),
// ErrInvalid for a name that can't be, ErrLimit at 10,000 mailboxes.
func (s *Store) CreateFolder(ctx context.Context, id AccountID, name string, use SpecialUse) (Folder, error) {
	name, err := checkName(name)
	if err != nil {
		return Folder{}, err
	}
	var f Folder
	err = s.update(ctx, func(tx *tx) error {
		if _, err := tx.account(id); err != nil {
			return err
		}
		all, err := tx.folders(id)
		if err != nil {
			return err
		}
		levels := strings.Count(name, Separator) + 1
		if len(all)+levels > maxFolders {
			return faultf(ErrLimit, "there are %d mailboxes; no more can be made", len(all))
		}
		for _, have := range all {
			if have.Name == name {
				return faultf(ErrExists, "the mailbox %s exists already", name)
			}
			if use != "" && have.Use == use {
				return faultf(ErrExists, "the mailbox %s is %s already", have.Name, use)
			}
		}
		if err := tx.createAbove(id, name); err != nil {
			return err
		}
		if err := tx.createFolder(id, name, use, false); err != nil {
			return err
		}
		f, err = tx.folderNamed(id, name)
		return err
	})
	return f, err
}

// RenameFolder gives a mailbox, and those below it, a new name; missing levels
// above are made. Renaming INBOX moves its messages into a new mailbox and
// leaves INBOX empty (RFC 9051 6.3.6). Errors: ErrNotFound, ErrExists,
// ErrInvalid.
func (s *Store) RenameFolder(ctx context.Context, id AccountID, from, to string) error {
	from, err := checkName(from)
	if err != nil {
		return err
	}
	if to, err = checkName(to); err != nil {
		return err
	}
	if to == Inbox {
		return faultf(ErrExists, "the mailbox INBOX exists already")
	}
	if strings.HasPrefix(to, from+Separator) && from != Inbox {
		return faultf(ErrInvalid, "a mailbox can't be moved below itself")
	}
	return s.update(ctx, func(tx *tx) error {
		f, err := tx.folderNamed(id, from)
		if err != nil {
			return err
		}
		all, err := tx.folders(id)
		if err != nil {
			return err
		}
		var below []Folder
		for _, have := range all {
			if have.Name == to {
				return faultf(ErrExists, "the mailbox %s exists already", to)
			}
			if strings.HasPrefix(have.Name, from+Separator) {
				below = append(below, have)
			}
		}
		if f.ID == InboxID {
			return tx.renameInbox(id, to)
		}
		for _, b := range below {
			moved := to + b.Name[len(from):]
			if _, err := checkName(moved); err != nil {
				return err
			}
			if tx.Bucket(bNames).Get(nameKey(id, moved)) != nil {
				return faultf(ErrExists, "the mailbox %s exists already", moved)
			}
		}
		if err := tx.createAbove(id, to); err != nil {
			return err
		}
		for _, b := range append(below, f) {
			if err := tx.delete(bNames, nameKey(id, b.Name)); err != nil {
				return err
			}
			b.Name = to + b.Name[len(from):]
			if err := tx.put(bNames, nameKey(id, b.Name), be32(uint32(b.ID))); err != nil {
				return err
			}
			if err := tx.putFolder(id, b); err != nil {
				return err
			}
		}
		_, err = tx.advance(id)
		return err
	})
}

func (tx *tx) renameInbox(id AccountID, to string) error {
	if err := tx.createAbove(id, to); err != nil {
		return err
	}
	if err := tx.createFolder(id, to, "", false); err != nil {
		return err
	}
	f, err := tx.folderNamed(id, to)
	if err != nil {
		return err
	}
	inbox, err := tx.folder(id, InboxID)
	if err != nil {
		return err
	}
	entries, err := tx.entries(id, InboxID)
	if err != nil {
		return err
	}
	_, err = tx.transfer(id, inbox, f, entries, true)
	return err
}

// DeleteFolder removes a mailbox with its messages; mailboxes below it stay.
// Errors: ErrNotFound, ErrInvalid for INBOX.
func (s *Store) DeleteFolder(ctx context.Context, id AccountID, name string) error {
	return s.update(ctx, func(tx *tx) error {
		f, err := tx.folderNamed(id, name)
		if err != nil {
			return err
		}
		if f.ID == InboxID {
			return faultf(ErrInvalid, "INBOX can't be deleted")
		}
		if _, err := tx.advance(id); err != nil {
			return err
		}
		keep, err := tx.keeps()
		if err != nil {
			return err
		}
		return tx.dropFolder(id, f, keep)
	})
}

// Subscribe notes or forgets a subscription. A name may be subscribed that no
// mailbox has (RFC 9051 6.3.7).
func (s *Store) Subscribe(ctx context.Context, id AccountID, name string, on bool) error {
	name, err := checkName(name)
	if err != nil {
		return err
	}
	return s.update(ctx, func(tx *tx) error {
		k := nameKey(id, name)
		if (tx.Bucket(bSubscriptions).Get(k) != nil) == on {
			return nil
		}
		if _, err := tx.advance(id); err != nil {
			return err
		}
		if !on {
			return tx.delete(bSubscriptions, k)
		}
		return tx.put(bSubscriptions, k, []byte{1})
	})
}

// Subscriptions lists the subscribed names in order.
func (s *Store) Subscriptions(id AccountID) ([]string, error) {
	var names []string
	err := s.view(func(tx *tx) error {
		return tx.each(bSubscriptions, be32(uint32(id)), func(k, _ []byte) error {
			names = append(names, string(k[4:]))
			return nil
		})
	})
	return names, err
}

// checkName brings INBOX into its one form and refuses what no mailbox may be
// called.
func checkName(name string) (string, error) {
	if strings.EqualFold(name, Inbox) {
		return Inbox, nil
	}
	if len(name) > len(Inbox) && name[len(Inbox)] == Separator[0] && strings.EqualFold(name[:len(Inbox)], Inbox) {
		name = Inbox + name[len(Inbox):]
	}
	switch {
	case name == "" || len(name) > maxFolderName:
		return "", faultf(ErrInvalid, "a mailbox name has 1 to %d bytes", maxFolderName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, isControl):
		return "", faultf(ErrInvalid, "a mailbox name must be UTF-8 without control characters")
	case strings.Count(name, Separator) >= maxLevels:
		return "", faultf(ErrInvalid, "a mailbox name has at most %d levels", maxLevels)
	}
	for level := range strings.SplitSeq(name, Separator) {
		if level == "" {
			return "", faultf(ErrInvalid, "a mailbox name has no empty level: %q", name)
		}
	}
	return name, nil
}

func (tx *tx) createAbove(id AccountID, name string) error {
	for i := range len(name) {
		if name[i] != Separator[0] || tx.Bucket(bNames).Get(nameKey(id, name[:i])) != nil {
			continue
		}
		if err := tx.createFolder(id, name[:i], "", false); err != nil {
			return err
		}
	}
	return nil
}

func (tx *tx) createFolder(id AccountID, name string, use SpecialUse, subscribe bool) error {
	st, err := tx.state(id)
	if err != nil {
		return err
	}
	// Never the same twice in an account, so that a name that comes back does
	// not bring old UIDs to life (RFC 9051 2.3.1.1).
	st.uidValidity = max(st.uidValidity+1, uint32(time.Now().Unix()))
	st.modSeq++
	f := Folder{ID: st.nextFolder, Name: name, Use: use, UIDValidity: st.uidValidity, UIDNext: 1, HighestModSeq: st.modSeq, recent: 1}
	st.nextFolder++
	if err := tx.putState(id, st); err != nil {
		return err
	}
	tx.ring(id)
	if err := tx.put(bNames, nameKey(id, name), be32(uint32(f.ID))); err != nil {
		return err
	}
	if subscribe {
		if err := tx.put(bSubscriptions, nameKey(id, name), []byte{1}); err != nil {
			return err
		}
	}
	return tx.putFolder(id, f)
}

// dropFolder takes a mailbox out of sight. With keep its messages can be had back
// for a while, see Undelete.
func (tx *tx) dropFolder(id AccountID, f Folder, keep bool) error {
	st, err := tx.state(id)
	if err != nil {
		return err
	}
	st.messages -= int64(f.Messages)
	st.bytes -= f.Bytes
	if err := tx.putState(id, st); err != nil {
		return err
	}
	if err := tx.delete(bNames, nameKey(id, f.Name)); err != nil {
		return err
	}
	if err := tx.delete(bFolders, folderKey(id, f.ID)); err != nil {
		return err
	}
	if err := tx.deletePrefix(bAnnotations, folderKey(id, f.ID)); err != nil {
		return err
	}
	return tx.discard(id, f, keep)
}

func (tx *tx) folders(id AccountID) ([]Folder, error) {
	var all []Folder
	err := tx.each(bFolders, be32(uint32(id)), func(k, v []byte) error {
		f, err := parseFolder(k, v)
		all = append(all, f)
		return err
	})
	return all, err
}

func (tx *tx) folder(id AccountID, folder FolderID) (Folder, error) {
	k := folderKey(id, folder)
	v := tx.Bucket(bFolders).Get(k)
	if v == nil {
		return Folder{}, faultf(ErrNotFound, "the mailbox is gone")
	}
	return parseFolder(k, v)
}

func (tx *tx) folderNamed(id AccountID, name string) (Folder, error) {
	if strings.EqualFold(name, Inbox) {
		return tx.folder(id, InboxID)
	}
	v := tx.Bucket(bNames).Get(nameKey(id, name))
	if v == nil {
		return Folder{}, faultf(ErrNotFound, "there is no mailbox %s", name)
	}
	return tx.folder(id, FolderID(binary.BigEndian.Uint32(v)))
}

func folderKey(id AccountID, folder FolderID) []byte {
	return binary.BigEndian.AppendUint32(be32(uint32(id)), uint32(folder))
}

func splitFolderKey(k []byte) (AccountID, FolderID) {
	return AccountID(binary.BigEndian.Uint32(k)), FolderID(binary.BigEndian.Uint32(k[4:]))
}

func nameKey(id AccountID, name string) []byte { return append(be32(uint32(id)), name...) }

func parseFolder(k, v []byte) (Folder, error) {
	if len(k) != 8 {
		return Folder{}, faultf(ErrCorrupt, "mailbox row with a key of %d bytes", len(k))
	}
	d := decoder{b: v}
	f := Folder{
		ID:            FolderID(binary.BigEndian.Uint32(k[4:])),
		Name:          d.string(),
		Use:           SpecialUse(d.string()),
		UIDValidity:   uint32(d.uvarint()),
		UIDNext:       UID(d.uvarint()),
		HighestModSeq: ModSeq(d.uvarint()),
		Messages:      uint32(d.uvarint()),
		Unseen:        uint32(d.uvarint()),
		Deleted:       uint32(d.uvarint()),
		Bytes:         int64(d.uvarint()),
		recent:        UID(d.uvarint()),
	}
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		f.Keywords = append(f.Keywords, d.string())
	}
	return f, d.err("mailbox row")
}

func (tx *tx) putFolder(id AccountID, f Folder) error {
	b := make([]byte, 0, 96)
	b = appendBytes(b, []byte(f.Name))
	b = appendBytes(b, []byte(f.Use))
	for _, n := range []uint64{
		uint64(f.UIDValidity), uint64(f.UIDNext), uint64(f.HighestModSeq), uint64(f.Messages),
		uint64(f.Unseen), uint64(f.Deleted), uint64(f.Bytes), uint64(f.recent), uint64(len(f.Keywords)),
	} {
		b = binary.AppendUvarint(b, n)
	}
	for _, k := range f.Keywords {
		b = appendBytes(b, []byte(k))
	}
	return tx.put(bFolders, folderKey(id, f.ID), b)
}
