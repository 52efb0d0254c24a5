package mailbox

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// logins is the one login door: what it needs to check passwords without being
// worn out by those who guess.
type logins struct {
	turns chan struct{} // argon2id takes 19 MB and 20 ms: two at a time
	key   []byte        // of this process, so that the cache is of no use elsewhere
	dummy *passwordHash // checked for unknown names, so that they take as long

	mu    sync.Mutex
	known map[[sha256.Size]byte]bool // keyed digests of passwords that were right
}

const maxKnownLogins = 1024

func newLogins() *logins {
	l := &logins{turns: make(chan struct{}, 2), key: make([]byte, 32), known: make(map[[sha256.Size]byte]bool)}
	rand.Read(l.key)
	l.dummy = &passwordHash{Salt: l.key[:16], Passes: 2, Memory: 19 << 10, Threads: 1}
	return l
}

func (l *logins) turn(ctx context.Context) (done func(), err error) {
	select {
	case l.turns <- struct{}{}:
		return func() { <-l.turns }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *logins) hash(ctx context.Context, password string) (*passwordHash, error) {
	password, err := checkPassword(password)
	if err != nil {
		return nil, err
	}
	done, err := l.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return newPasswordHash(password), nil
}

// check compares a typed password with a hash; nil is nobody's. The digest
// that it is remembered by covers the hash, so a changed password is forgotten
// by itself.
func (l *logins) check(ctx context.Context, h *passwordHash, password string) (bool, error) {
	password, err := checkPassword(password)
	if err != nil {
		return false, nil
	}
	real := h != nil
	if !real {
		h = l.dummy
	}
	mac := hmac.New(sha256.New, l.key)
	mac.Write(h.Salt)
	mac.Write(h.Hash)
	mac.Write([]byte(password))
	digest := [sha256.Size]byte(mac.Sum(nil))
	l.mu.Lock()
	known := l.known[digest]
	l.mu.Unlock()
	if known {
		return true, nil
	}
	done, err := l.turn(ctx)
	if err != nil {
		return false, err
	}
	derived := h.derive(password)
	done()
	if !real || subtle.ConstantTimeCompare(derived, h.Hash) != 1 {
		return false, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.known) >= maxKnownLogins {
		clear(l.known)
	}
	l.known[digest] = true
	return true, nil
}

// Login checks a login name and a password, an account's own or one of its
// devices'. The name is the account's address in any case with spaces around
// it, or its local part alone where only one account has it. From is where they
// come from, the zero value nowhere; the answer to a wrong one takes its time.
// Errors: ErrLogin, which never tells what was wrong; ErrBlocked for an address
// from which too many came; ErrDisabled with the reason, for those who know the
// password; others are trouble, or ctx's.
func (s *Store) Login(ctx context.Context, from netip.Addr, name, password string) (Account, error) {
	return s.knock(ctx, from, name, password, func() (Account, error) {
		return toRead(s.login(ctx, name, password))
	})
}

// toRead refuses who may send only.
func toRead(who Submitter, err error) (Account, error) {
	if who.Only != "" {
		return Account{}, faultf(ErrDisabled, "this app password of %s is for sending only", who.Account.Address)
	}
	return who.Account, err
}

// Submitter is who has logged in to send.
type Submitter struct {
	Account Account
	Device  string  // the id of the app password; empty: the account's own password
	Only    Address // the one sender of an app password that only sends; empty: all that the account may use
}

// LoginToSend is Login that also takes app passwords which only send. ErrFrozen, for
// those who know the password, when too much came with it.
func (s *Store) LoginToSend(ctx context.Context, from netip.Addr, name, password string) (Submitter, error) {
	return s.knockToSend(ctx, from, name, password, func() (Submitter, error) {
		return s.login(ctx, name, password)
	})
}

func (s *Store) login(ctx context.Context, name, password string) (Submitter, error) {
	n, err := s.named(name)
	if err != nil {
		return Submitter{}, err
	}
	sum := secretHash(password)
	for _, d := range n.devices {
		if subtle.ConstantTimeCompare(sum, d.SHA256) == 1 {
			return s.loginDevice(ctx, n, d)
		}
	}
	a, err := s.loginPerson(ctx, n.row, n.off, password)
	if err == nil && a.AppOnly {
		err = faultf(ErrDisabled, "this password of %s opens the panel only: make an app password there for this program", a.Address)
	}
	if err != nil {
		return Submitter{}, err
	}
	return Submitter{Account: a}, nil
}

// named is what a login name means: row is nil when it means nobody, and off is why
// the account may not log in, if it may not.
type named struct {
	row     *accountRow
	off     error
	devices []deviceRow
}

func (s *Store) named(name string) (n named, err error) {
	err = s.view(func(tx *tx) (err error) {
		if n.row, n.off, err = tx.login(name); err != nil || n.row == nil {
			return err
		}
		n.devices, err = tx.devices(n.row.ID)
		return err
	})
	return n, err
}

// loginDevice lets the holder of an app password in.
func (s *Store) loginDevice(ctx context.Context, n named, d deviceRow) (Submitter, error) {
	if n.off != nil {
		return Submitter{}, n.off
	}
	if err := s.touch(ctx, n.row.ID, d); errors.Is(err, ErrLogin) {
		return Submitter{}, err
	} else if err != nil {
		// Who comes to read is let in while nothing can be written.
		s.log.Warn("could not note the use of a device", "device", d.ID, "error", err)
	}
	return Submitter{n.row.Account, d.ID, d.SendAs}, nil
}

// LoginPerson is Login that takes the account's own password alone: a device's opens
// mail, and nothing that could change the account.
func (s *Store) LoginPerson(ctx context.Context, from netip.Addr, name, password string) (Account, error) {
	return s.knock(ctx, from, name, password, func() (Account, error) {
		var row *accountRow
		var off error
		err := s.view(func(tx *tx) (err error) {
			row, off, err = tx.login(name)
			return err
		})
		if err != nil {
			return Account{}, err
		}
		return s.loginPerson(ctx, row, off, password)
	})
}

func (s *Store) loginPerson(ctx context.Context, row *accountRow, off error, password string) (Account, error) {
	var h *passwordHash
	if row != nil {
		h = row.Password
	}
	ok, err := s.logins.check(ctx, h, password)
	if err != nil {
		return Account{}, err
	}
	if !ok {
		return Account{}, ErrLogin
	}
	if off != nil {
		return Account{}, off
	}
	return row.Account, nil
}

// login finds the account that a login name means, and why it may not log in if
// it may not; nil when it means none.
func (tx *tx) login(name string) (row *accountRow, off, err error) {
	if row, err = tx.named(strings.TrimSpace(name)); row != nil && err == nil {
		off, err = tx.disabled(row)
	}
	return row, off, err
}

func (tx *tx) named(name string) (*accountRow, error) {
	if strings.Contains(name, "@") {
		addr, err := ParseAddress(name)
		if err != nil {
			return nil, nil
		}
		a, err := tx.address(addr)
		if err != nil || a == nil || a.Account == 0 {
			return nil, err
		}
		return tx.account(a.Account)
	}
	var found *accountRow
	several := false
	err := tx.eachAccount(func(row *accountRow) error {
		if strings.EqualFold(row.Address.Local(), name) {
			several = found != nil
			found = row
		}
		return nil
	})
	if several {
		return nil, err
	}
	return found, err
}

// touch notes, once an hour at the most, that a device is in use.
func (s *Store) touch(ctx context.Context, id AccountID, d deviceRow) error {
	now := time.Now().UTC().Truncate(time.Hour)
	if !d.LastUsed.Before(now) {
		return nil
	}
	return s.update(ctx, func(tx *tx) error {
		v := tx.Bucket(bDevices).Get(deviceKey(id, d.ID))
		if v == nil {
			return ErrLogin // taken away meanwhile
		}
		var row deviceRow
		if err := json.Unmarshal(v, &row); err != nil {
			return err
		}
		row.LastUsed = now
		return tx.putJSON(bDevices, deviceKey(id, d.ID), &row)
	})
}
