package mailbox

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// AccountID names an account for good: it is never given to another one.
type AccountID uint32

// Account is a person (or a machine) that has mailboxes and may log in.
type Account struct {
	ID       AccountID `json:"id"`
	Address  Address   `json:"address"` // the login name, and the address to begin with
	Admin    bool      `json:"admin"`
	Disabled bool      `json:"disabled,omitempty"`
	Quota    int64     `json:"quota,omitempty"` // bytes of mail; 0 is no limit
	Created  time.Time `json:"created"`

	// Sending is how much it may send, where that is not what all may.
	Sending SendLimits `json:"sending,omitzero"`

	// Hidden are IMAP capabilities that its programs are not told of.
	Hidden []string `json:"hidden,omitempty"`

	// AppOnly is that mail programs log in with app passwords alone: its own
	// password opens the panel, and no mail.
	AppOnly bool `json:"app_only,omitempty"`
}

// Usage is what an account's mailboxes hold.
type Usage struct {
	Messages int64 `json:"messages"`
	Bytes    int64 `json:"bytes"` // the sum of RFC822.SIZE
}

// accountRow is an account as it lies in the bucket "accounts".
type accountRow struct {
	Account
	Password *passwordHash `json:"password,omitempty"`
	// One salt and iteration count for the account, since SCRAM's server-first
	// message goes out before the server knows which app password is meant.
	ScramSalt  []byte `json:"scram_salt"`
	ScramIters int    `json:"scram_iters"`
}

// NewAccount is what CreateAccount needs to know.
type NewAccount struct {
	Address  Address
	Password string // empty: nobody can log in with a password until one is set
	Admin    bool
	Quota    int64
}

// CreateAccount makes an account with INBOX and its subscribed Drafts, Sent,
// Archive, Junk and Trash (RFC 6154). Errors: ErrExists when an account or
// alias has the address, ErrNotFound when its domain is not ours, ErrInvalid
// for a password that is too short.
func (s *Store) CreateAccount(ctx context.Context, n NewAccount) (Account, error) {
	row := accountRow{
		Account:    Account{Address: n.Address, Admin: n.Admin, Quota: n.Quota, Created: time.Now().UTC().Truncate(time.Second)},
		ScramSalt:  make([]byte, 16),
		ScramIters: scramIterations,
	}
	rand.Read(row.ScramSalt)
	if n.Password != "" {
		h, err := s.logins.hash(ctx, n.Password)
		if err != nil {
			return Account{}, err
		}
		row.Password = h
	}
	err := s.update(ctx, func(tx *tx) error {
		if tx.Bucket(bDomains).Get([]byte(n.Address.Domain())) == nil {
			return faultf(ErrNotFound, "the domain %s is not one of ours; add it first: roost domain add %[1]s", n.Address.Domain())
		}
		if tx.Bucket(bAddresses).Get([]byte(n.Address)) != nil {
			return faultf(ErrExists, "%s exists already", n.Address)
		}
		seq, err := tx.nextSequence(bAccounts)
		if err != nil {
			return err
		}
		row.ID = AccountID(seq)
		if err := tx.putJSON(bAccounts, be32(uint32(row.ID)), &row); err != nil {
			return err
		}
		if err := tx.putJSON(bAddresses, []byte(n.Address), &addressRow{Account: row.ID}); err != nil {
			return err
		}
		if err := tx.createFolder(row.ID, Inbox, "", true); err != nil {
			return err
		}
		for _, f := range firstFolders {
			if err := tx.createFolder(row.ID, f.name, f.use, true); err != nil {
				return err
			}
		}
		return nil
	})
	return row.Account, err
}

// Accounts lists every account by address.
func (s *Store) Accounts() ([]Account, error) {
	var all []Account
	err := s.view(func(tx *tx) error {
		return tx.eachAccount(func(row *accountRow) error {
			all = append(all, row.Account)
			return nil
		})
	})
	slices.SortFunc(all, func(a, b Account) int {
		if a.Address < b.Address {
			return -1
		}
		return 1
	})
	return all, err
}

// Account finds an account by its own address (not by an alias). ErrNotFound.
func (s *Store) Account(addr Address) (Account, error) {
	var row *accountRow
	err := s.view(func(tx *tx) (err error) {
		row, err = tx.accountAt(addr)
		return err
	})
	if err != nil {
		return Account{}, err
	}
	return row.Account, nil
}

// AccountByID finds an account. ErrNotFound.
func (s *Store) AccountByID(id AccountID) (Account, error) {
	var row *accountRow
	err := s.view(func(tx *tx) (err error) {
		row, err = tx.account(id)
		return err
	})
	if err != nil {
		return Account{}, err
	}
	return row.Account, nil
}

// AccountUsage tells what an account's mailboxes hold. ErrNotFound.
func (s *Store) AccountUsage(id AccountID) (Usage, error) {
	var u Usage
	err := s.view(func(tx *tx) error {
		if _, err := tx.account(id); err != nil {
			return err
		}
		st, err := tx.state(id)
		u = Usage{Messages: st.messages, Bytes: st.bytes}
		return err
	})
	return u, err
}

// SetPassword gives an account a new password. Browsers that are signed in are
// signed out; IMAP sessions that are open stay.
// ErrNotFound, ErrInvalid.
func (s *Store) SetPassword(ctx context.Context, addr Address, password string) error {
	h, err := s.logins.hash(ctx, password)
	if err != nil {
		return err
	}
	return s.update(ctx, func(tx *tx) error {
		row, err := tx.accountAt(addr)
		if err != nil {
			return err
		}
		row.Password = h
		// Who sent with the old one can't any more.
		if err := tx.delete(bPaces, deviceKey(row.ID, "")); err != nil {
			return err
		}
		if err := tx.dropTokens(func(t *Token) bool { return t.Account == row.ID }); err != nil {
			return err
		}
		return tx.putJSON(bAccounts, be32(uint32(row.ID)), row)
	})
}

// ChangeAccount lets f change whether an account is an administrator's, whether
// it is disabled, its quota, its sending limits, its hidden capabilities and which
// passwords open its mail, in one commit. Who is disabled is signed out of the
// panel. An error of f is returned, and nothing changes; f may run more than
// once. Errors: ErrNotFound; ErrInvalid where no administrator could log in any
// more.
func (s *Store) ChangeAccount(ctx context.Context, addr Address, f func(*Account) error) (Account, error) {
	var changed Account
	return changed, s.update(ctx, func(tx *tx) error {
		row, err := tx.accountAt(addr)
		if err != nil {
			return err
		}
		changed = row.Account
		if err := f(&changed); err != nil {
			return err
		}
		if changed.Quota < 0 {
			return faultf(ErrInvalid, "a quota is a number of bytes, or 0 for none")
		}
		if err := checkHidden(changed.Hidden); err != nil {
			return err
		}
		if row.Admin && !row.Disabled && (!changed.Admin || changed.Disabled) {
			if err := tx.keepAdministrator(func(a *accountRow) bool { return a.ID == row.ID }); err != nil {
				return err
			}
		}
		if changed.Disabled && !row.Disabled {
			if err := tx.dropTokensOf(func(a *accountRow) bool { return a.ID == row.ID }); err != nil {
				return err
			}
		}
		changed.ID, changed.Address, changed.Created = row.ID, row.Address, row.Created
		row.Account = changed
		tx.ring(row.ID)
		return tx.putJSON(bAccounts, be32(uint32(row.ID)), row)
	})
}

// maxHidden is how many capabilities an account may not be told of.
const maxHidden = 64

// checkHidden refuses what can't be the names of capabilities.
func checkHidden(names []string) error {
	if len(names) > maxHidden {
		return faultf(ErrLimit, "at most %d capabilities can be hidden", maxHidden)
	}
	for _, name := range names {
		if name == "" || len(name) > 64 || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`(){%*"\]`, c) }) {
			return faultf(ErrInvalid, "%q is no name of a capability", name)
		}
	}
	return nil
}

// keepAdministrator refuses to lose the last administrator who can log in. Lost
// are those that it is asked about.
func (tx *tx) keepAdministrator(lost func(*accountRow) bool) error {
	var last *accountRow
	stay := false
	err := tx.eachAccount(func(row *accountRow) error {
		off, err := tx.disabled(row)
		able := row.Admin && off == nil
		switch {
		case !lost(row):
			stay = stay || able
		case able:
			last = row
		}
		return err
	})
	if err == nil && last != nil && !stay {
		err = faultf(ErrInvalid, "%s is the last administrator; make somebody else one first: roost account promote ADDRESS", last.Address)
	}
	return err
}

// dropTokensOf signs accounts out.
func (tx *tx) dropTokensOf(which func(*accountRow) bool) error {
	ids := make(map[AccountID]bool)
	err := tx.eachAccount(func(row *accountRow) error {
		ids[row.ID] = which(row)
		return nil
	})
	if err != nil {
		return err
	}
	return tx.dropTokens(func(t *Token) bool { return ids[t.Account] })
}

// RemoveAccount removes an account with its address, devices, mailboxes and
// all mail in them. The last administrator can't be removed while other
// accounts exist (ErrInvalid); ErrNotFound.
func (s *Store) RemoveAccount(ctx context.Context, addr Address) error {
	return s.update(ctx, func(tx *tx) error {
		row, err := tx.accountAt(addr)
		if err != nil {
			return err
		}
		if tx.Bucket(bAccounts).Stats().KeyN > 1 {
			if err := tx.keepAdministrator(func(a *accountRow) bool { return a.ID == row.ID }); err != nil {
				return err
			}
		}
		if err := tx.forgetAccount(row.ID); err != nil {
			return err
		}
		folders, err := tx.folders(row.ID)
		if err != nil {
			return err
		}
		for _, f := range folders {
			if err := tx.dropFolder(row.ID, f, false); err != nil {
				return err
			}
		}
		prefix := be32(uint32(row.ID))
		for _, b := range [][]byte{bDevices, bRules, bPaces, bCorrespondents, bSubscriptions, bAnnotations, bExpunged, bThreads, bJoined} {
			if err := tx.deletePrefix(b, prefix); err != nil {
				return err
			}
		}
		if err := tx.dropTokens(func(t *Token) bool { return t.Account == row.ID }); err != nil {
			return err
		}
		for _, b := range [][]byte{bState, bAllowances} {
			if err := tx.delete(b, prefix); err != nil {
				return err
			}
		}
		if err := tx.delete(bAddresses, []byte(addr)); err != nil {
			return err
		}
		tx.ring(row.ID)
		return tx.delete(bAccounts, prefix)
	})
}

func (tx *tx) account(id AccountID) (*accountRow, error) {
	v := tx.Bucket(bAccounts).Get(be32(uint32(id)))
	if v == nil {
		return nil, faultf(ErrNotFound, "there is no such account")
	}
	row, err := tx.memos.accounts.parse(v)
	row.Hidden = slices.Clone(row.Hidden)
	return &row, err
}

func (tx *tx) accountAt(addr Address) (*accountRow, error) {
	a, err := tx.address(addr)
	if err != nil {
		return nil, err
	}
	if a == nil || a.Account == 0 {
		return nil, faultf(ErrNotFound, "there is no account %s", addr)
	}
	return tx.account(a.Account)
}

func (tx *tx) eachAccount(f func(*accountRow) error) error {
	return tx.Bucket(bAccounts).ForEach(func(_, v []byte) error {
		row := new(accountRow)
		if err := json.Unmarshal(v, row); err != nil {
			return err
		}
		return f(row)
	})
}

// accountState is what changes with every operation of an account: apart from
// its row, so that a delivery rewrites 36 bytes and not the credentials.
type accountState struct {
	modSeq      ModSeq // of the last operation
	nextFolder  FolderID
	uidValidity uint32 // the last one given
	messages    int64
	bytes       int64
}

func (tx *tx) state(id AccountID) (accountState, error) {
	v := tx.Bucket(bState).Get(be32(uint32(id)))
	if v == nil {
		return accountState{nextFolder: 1}, nil
	}
	if len(v) != 32 {
		return accountState{}, faultf(ErrCorrupt, "account %d: state of %d bytes", id, len(v))
	}
	return accountState{
		modSeq:      ModSeq(binary.BigEndian.Uint64(v)),
		nextFolder:  FolderID(binary.BigEndian.Uint32(v[8:])),
		uidValidity: binary.BigEndian.Uint32(v[12:]),
		messages:    int64(binary.BigEndian.Uint64(v[16:])),
		bytes:       int64(binary.BigEndian.Uint64(v[24:])),
	}, nil
}

func (tx *tx) putState(id AccountID, st accountState) error {
	b := make([]byte, 0, 32)
	b = binary.BigEndian.AppendUint64(b, uint64(st.modSeq))
	b = binary.BigEndian.AppendUint32(b, uint32(st.nextFolder))
	b = binary.BigEndian.AppendUint32(b, st.uidValidity)
	b = binary.BigEndian.AppendUint64(b, uint64(st.messages))
	b = binary.BigEndian.AppendUint64(b, uint64(st.bytes))
	return tx.put(bState, be32(uint32(id)), b)
}

// advance gives the operation at hand its own modseq in the account
// (two closures of one commit never share one) and rings the account's bell
// once the commit stands.
func (tx *tx) advance(id AccountID) (ModSeq, error) {
	st, err := tx.state(id)
	if err != nil {
		return 0, err
	}
	st.modSeq++
	tx.ring(id)
	return st.modSeq, tx.putState(id, st)
}
