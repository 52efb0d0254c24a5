package mailbox

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"

	"roost/mailbox/sasl"
)

// scramIterations is RFC 7677's least count. The secrets that it stretches are
// generated, of 120 bits, so more would only cost the server.
const scramIterations = 4096

// passwordHash is a person's password by argon2id (RFC 9106).
type passwordHash struct {
	Salt    []byte `json:"salt"`
	Hash    []byte `json:"hash"`
	Passes  uint32 `json:"passes"`
	Memory  uint32 `json:"memory"` // KiB
	Threads uint8  `json:"threads"`
}

func newPasswordHash(password string) *passwordHash {
	h := &passwordHash{Salt: make([]byte, 16), Passes: 2, Memory: 19 << 10, Threads: 1}
	rand.Read(h.Salt)
	h.Hash = h.derive(password)
	return h
}

func (h *passwordHash) derive(password string) []byte {
	return argon2.IDKey([]byte(password), h.Salt, h.Passes, h.Memory, h.Threads, 32)
}

// checkPassword brings a password into one form (RFC 8265 OpaqueString), so
// that another keyboard's way of writing "é" is the same password.
func checkPassword(password string) (string, error) {
	if len(password) > 1024 || !utf8.ValidString(password) {
		return "", faultf(ErrInvalid, "a password is UTF-8 text of at most 1024 bytes")
	}
	p, err := precis.OpaqueString.String(password)
	if err != nil {
		return "", faultf(ErrInvalid, "a password is not empty and has no control characters")
	}
	return p, nil
}

// Device is an app password: a generated secret for one program or machine,
// which can be taken away without a change for the others.
type Device struct {
	ID       string    `json:"id"` // short, unique in the account
	Name     string    `json:"name"`
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"last_used,omitzero"` // to the hour

	// SendAs makes it one that only sends, in this name alone: for a scanner, or a
	// disk that tells of itself. Empty: it may do all that its account may.
	SendAs Address `json:"send_as,omitempty"`
}

// deviceRow is a device as it lies in the bucket "devices". The secret itself
// is nowhere.
type deviceRow struct {
	Device
	SHA256    []byte `json:"sha256"`
	StoredKey []byte `json:"stored_key"` // SCRAM-SHA-256 (RFC 5802 3), with the account's salt
	ServerKey []byte `json:"server_key"`
}

const maxDevices = 100

// AddDevice makes an app password and returns it for the one time that it is
// shown: six groups of four letters and digits, 120 random bits. Errors:
// ErrNotFound, ErrExists when a device of the account has the name, ErrInvalid for
// a name that is empty or longer than 100 bytes, ErrLimit at 100 devices.
func (s *Store) AddDevice(ctx context.Context, addr Address, name string) (Device, string, error) {
	return s.addDevice(ctx, addr, Device{Name: name})
}

// AddSender is AddDevice for one that only sends, in the name of an address that
// the account may send from; ErrInvalid for another.
func (s *Store) AddSender(ctx context.Context, addr Address, name string, as Address) (Device, string, error) {
	if may, err := s.maySendFor(addr, as); err != nil {
		return Device{}, "", err
	} else if !may {
		return Device{}, "", faultf(ErrInvalid, "%s is not an address of %s", as, addr)
	}
	return s.addDevice(ctx, addr, Device{Name: name, SendAs: as})
}

func (s *Store) maySendFor(addr, as Address) (bool, error) {
	a, err := s.Account(addr)
	if err != nil {
		return false, err
	}
	return s.MaySendAs(a.ID, as)
}

func (s *Store) addDevice(ctx context.Context, addr Address, d Device) (Device, string, error) {
	name := d.Name
	name = strings.TrimSpace(name)
	if name == "" || len(name) > 100 || !utf8.ValidString(name) || strings.ContainsFunc(name, isControl) {
		return Device{}, "", faultf(ErrInvalid, "a device needs a name of 1 to 100 bytes, such as \"Anna's phone\"")
	}
	random := make([]byte, 15+5)
	rand.Read(random)
	text := strings.ToLower(base32.StdEncoding.EncodeToString(random))
	id, secret := text[24:], text[:4]
	for i := 4; i < 24; i += 4 {
		secret += "-" + text[i:i+4]
	}
	d.ID, d.Name, d.Created = id, name, time.Now().UTC().Truncate(time.Second)
	row := deviceRow{Device: d, SHA256: secretHash(secret)}
	return row.Device, secret, s.update(ctx, func(tx *tx) error {
		a, err := tx.accountAt(addr)
		if err != nil {
			return err
		}
		have, err := tx.devices(a.ID)
		if err != nil {
			return err
		}
		if len(have) >= maxDevices {
			return faultf(ErrLimit, "%s has %d devices; remove one first", addr, len(have))
		}
		for _, d := range have {
			if strings.EqualFold(d.Name, name) {
				return faultf(ErrExists, "%s has a device named %s already", addr, d.Name)
			}
		}
		if row.StoredKey, row.ServerKey, err = sasl.Keys(secret, a.ScramSalt, a.ScramIters); err != nil {
			return err
		}
		return tx.putJSON(bDevices, deviceKey(a.ID, id), &row)
	})
}

// Devices lists an account's devices, oldest first. ErrNotFound.
func (s *Store) Devices(addr Address) ([]Device, error) {
	var all []Device
	err := s.view(func(tx *tx) error {
		a, err := tx.accountAt(addr)
		if err != nil {
			return err
		}
		rows, err := tx.devices(a.ID)
		for _, r := range rows {
			all = append(all, r.Device)
		}
		return err
	})
	return all, err
}

// RemoveDevice takes an app password away. ErrNotFound.
func (s *Store) RemoveDevice(ctx context.Context, addr Address, id string) error {
	return s.update(ctx, func(tx *tx) error {
		a, err := tx.accountAt(addr)
		if err != nil {
			return err
		}
		if tx.Bucket(bDevices).Get(deviceKey(a.ID, id)) == nil {
			return faultf(ErrNotFound, "%s has no device %s", addr, id)
		}
		if err := tx.delete(bPaces, deviceKey(a.ID, id)); err != nil {
			return err
		}
		return tx.delete(bDevices, deviceKey(a.ID, id))
	})
}

func deviceKey(id AccountID, device string) []byte { return nameKey(id, device) }

func (tx *tx) devices(id AccountID) ([]deviceRow, error) {
	var all []deviceRow
	err := tx.each(bDevices, be32(uint32(id)), func(_, v []byte) error {
		var row deviceRow
		err := json.Unmarshal(v, &row)
		all = append(all, row)
		return err
	})
	return all, err
}

// secretHash hashes what a person typed of an app password: case, dashes and
// spaces do not matter.
func secretHash(typed string) []byte {
	sum := sha256.Sum256([]byte(strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(typed))))
	return sum[:]
}
