package mailbox

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

// SendLimits are how much an account may send to other domains within 24 hours, which
// begin with the first message. Of each: 0 is what holds for all, or the default;
// less than 0 is no limit.
type SendLimits struct {
	Messages int `json:"messages,omitempty"`
	// Strangers are addresses that the account never wrote to, and that never wrote
	// to it as far as SPF and DKIM can tell.
	Strangers int `json:"strangers,omitempty"`
}

// The limits unless the settings, or the account, say otherwise.
const (
	DailyMessages  = 1000
	DailyStrangers = 200
)

const sendingDay = 24 * time.Hour

// Or fills in what is not set.
func (l SendLimits) Or(otherwise SendLimits) SendLimits {
	return SendLimits{cmp.Or(l.Messages, otherwise.Messages), cmp.Or(l.Strangers, otherwise.Strangers)}
}

// SendLimits gives the limits that hold for an account.
func (v *Settings) SendLimits(a *Account) SendLimits {
	return a.Sending.Or(v.Sending).Or(SendLimits{DailyMessages, DailyStrangers})
}

// Sending tells of an Intake that one of ours sends it. It is counted in the commit.
type Sending struct {
	Account AccountID
	Device  string    // the id of the app password; empty: the account's own password
	To      []Address // the recipients in other domains
}

// allowance is what an account has sent of what it may.
type allowance struct {
	begun     uint64 // when the 24 hours began, in Unix seconds
	messages  uint32
	strangers uint32
	tallies   uint32 // that the account has, or all accounts together for 0
}

func parseAllowance(v []byte) (allowance, error) {
	if v == nil {
		return allowance{}, nil
	}
	if len(v) != 20 {
		return allowance{}, faultf(ErrCorrupt, "an allowance of %d bytes", len(v))
	}
	number := func(i int) uint32 { return binary.BigEndian.Uint32(v[i:]) }
	return allowance{binary.BigEndian.Uint64(v), number(8), number(12), number(16)}, nil
}

func (tx *tx) allowance(id AccountID) (allowance, error) {
	return parseAllowance(tx.Bucket(bAllowances).Get(be32(uint32(id))))
}

func (tx *tx) putAllowance(id AccountID, a allowance) error {
	b := be64(a.begun)
	for _, n := range []uint32{a.messages, a.strangers, a.tallies} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return tx.put(bAllowances, be32(uint32(id)), b)
}

// at begins a new day where the last is over.
func (a allowance) at(now time.Time) allowance {
	if end := time.Unix(int64(a.begun), 0).Add(sendingDay); !now.Before(end) {
		a.begun, a.messages, a.strangers = uint64(now.Unix()), 0, 0
	}
	return a
}

// admit refuses what would be more than the limits, and says when it will not be.
func (a allowance) admit(l SendLimits, messages, strangers int) error {
	opens := clock(time.Unix(int64(a.begun), 0).Add(sendingDay))
	switch {
	case l.Messages >= 0 && int(a.messages)+messages > l.Messages:
		return faultf(ErrSendLimit, "The limit of %s in 24 hours is reached; the next can go at %s", plural(l.Messages, "message", "messages"), opens)
	case l.Strangers >= 0 && int(a.strangers)+strangers > l.Strangers:
		return faultf(ErrSendLimit, "The limit of %s in 24 hours is reached; more can be written to at %s", plural(l.Strangers, "new recipient", "new recipients"), opens)
	}
	return nil
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Sent tells how much of its limits an account has used up.
type Sent struct {
	Limits    SendLimits
	Messages  int
	Strangers int
	Until     time.Time // when the counting begins anew; zero: nothing was sent
}

// Sent tells what an account sent in the 24 hours that run. ErrNotFound.
func (s *Store) Sent(id AccountID) (Sent, error) {
	var out Sent
	err := s.view(func(tx *tx) error {
		limits, err := tx.sendLimits(id)
		if err != nil {
			return err
		}
		a, err := tx.allowance(id)
		if err != nil {
			return err
		}
		now := a.at(time.Now())
		out = Sent{Limits: limits, Messages: int(now.messages), Strangers: int(now.strangers)}
		if now.messages > 0 {
			out.Until = time.Unix(int64(now.begun), 0).Add(sendingDay).UTC()
		}
		return nil
	})
	return out, err
}

func (tx *tx) sendLimits(id AccountID) (SendLimits, error) {
	row, err := tx.account(id)
	if err != nil {
		return SendLimits{}, err
	}
	var v Settings
	err = tx.settings(&v)
	return v.SendLimits(&row.Account), err
}

// MaySend tells before a message comes whether it could be sent: one more, to a
// recipient in another domain (empty: to none yet), where so many others of its
// recipients are strangers. It tells whether this one is, too. Errors: ErrSendLimit
// and ErrFrozen, with when or how that ends; ErrLogin when the app password is gone.
// The commit counts again.
func (s *Store) MaySend(who Submitter, to Address, strangers int) (stranger bool, err error) {
	err = s.view(func(tx *tx) error {
		now := time.Now()
		if _, err := tx.maySend(who.Account.ID, who.Device, now); err != nil {
			return err
		}
		limits, err := tx.sendLimits(who.Account.ID)
		if err != nil {
			return err
		}
		a, err := tx.allowance(who.Account.ID)
		if err != nil {
			return err
		}
		if to != "" {
			if stranger, err = tx.stranger(who.Account.ID, to, DayOf(now)); err != nil {
				return err
			}
			if stranger {
				strangers++
			}
		}
		return a.at(now).admit(limits, 1, strangers)
	})
	return stranger, err
}

func (tx *tx) stranger(id AccountID, to Address, now Day) (bool, error) {
	t, err := tx.tally(tallyKey(id, string(to)), now)
	return !t.known(), err
}

// countSending counts a message that one of ours sends, unless that would be more
// than may be.
func (tx *tx) countSending(sending *Sending) error {
	now := time.Now()
	id, today := sending.Account, DayOf(now)
	p, err := tx.maySend(id, sending.Device, now)
	if err != nil {
		return err
	}
	limits, err := tx.sendLimits(id)
	if err != nil {
		return err
	}
	a, err := tx.allowance(id)
	if err != nil {
		return err
	}
	a = a.at(now)
	to := slices.Compact(slices.Sorted(slices.Values(sending.To)))
	strangers := 0
	for _, addr := range to {
		is, err := tx.stranger(id, addr, today)
		if err != nil {
			return err
		}
		if is {
			strangers++
		}
	}
	if err := a.admit(limits, 1, strangers); err != nil {
		return err
	}
	if err := p.count(limits, strangers); err != nil {
		return err
	}
	if err := tx.putPace(id, sending.Device, p); err != nil {
		return err
	}
	a.messages++
	a.strangers += uint32(strangers)
	if err := tx.putAllowance(id, a); err != nil {
		return err
	}
	sent := func(t *Tally) { t.Sent++; t.Wrote = today }
	domains := map[string]bool{}
	for _, addr := range to {
		if err := tx.countTally(tallyKey(id, string(addr)), today, sent); err != nil {
			return err
		}
		if d := addr.Domain(); !domains[d] {
			domains[d] = true
			if err := tx.countTally(tallyKey(0, d), today, sent); err != nil {
				return err
			}
		}
	}
	return nil
}
