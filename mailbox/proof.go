package mailbox

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"net/netip"
	"strings"

	"roost/mailbox/sasl"
)

// TakesProofs tells whether SCRAM works for everybody who may log in: it only can
// with app passwords, and a mail program prefers it wherever it is offered, so it
// must not be while anybody reads mail with a password of their own.
func (s *Store) TakesProofs() (bool, error) {
	some := false
	err := s.view(func(tx *tx) error {
		return tx.eachAccount(func(row *accountRow) error {
			off, err := tx.disabled(row)
			if off != nil || err != nil {
				return err
			}
			if !row.AppOnly && row.Password != nil {
				return errFound // one is enough: this is asked for each connection
			}
			some = true
			return nil
		})
	})
	if errors.Is(err, errFound) {
		return false, nil
	}
	return some, err
}

// Salt gives what an exchange of SCRAM begins with for a login name. A name that
// means nobody has a salt too, and always the same.
func (s *Store) Salt(name string) (salt []byte, iterations int, err error) {
	n, err := s.named(name)
	if err != nil {
		return nil, 0, err
	}
	if n.row != nil {
		return n.row.ScramSalt, n.row.ScramIters, nil
	}
	key, err := s.ForwardingKey()
	if err != nil {
		return nil, 0, err
	}
	if addr, err := ParseAddress(name); err == nil {
		name = string(addr)
	}
	m := hmac.New(sha256.New, key)
	m.Write([]byte("salt for nobody\x00" + strings.ToLower(strings.TrimSpace(name))))
	return m.Sum(nil)[:16], scramIterations, nil
}

// LoginProof is Login by SCRAM, with an app password: the proof is tried against
// each of the account's. It also gives the key with which the server proves itself.
func (s *Store) LoginProof(ctx context.Context, from netip.Addr, name string, p sasl.Proof) (a Account, serverKey []byte, err error) {
	a, err = s.knock(ctx, from, name, "", func() (Account, error) {
		who, key, err := s.prove(ctx, name, p)
		serverKey = key
		return toRead(who, err)
	})
	return a, serverKey, err
}

// LoginProofToSend is LoginToSend by SCRAM.
func (s *Store) LoginProofToSend(ctx context.Context, from netip.Addr, name string, p sasl.Proof) (who Submitter, serverKey []byte, err error) {
	who, err = s.knockToSend(ctx, from, name, "", func() (who Submitter, err error) {
		who, serverKey, err = s.prove(ctx, name, p)
		return who, err
	})
	return who, serverKey, err
}

func (s *Store) prove(ctx context.Context, name string, p sasl.Proof) (who Submitter, serverKey []byte, err error) {
	n, err := s.named(name)
	if err != nil {
		return Submitter{}, nil, err
	}
	for _, d := range n.devices {
		if p.Fits(d.StoredKey) {
			who, err = s.loginDevice(ctx, n, d)
			return who, d.ServerKey, err
		}
	}
	return Submitter{}, nil, ErrLogin
}
