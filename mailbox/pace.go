package mailbox

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Paces, of one app password or of an account's own password. One that sends more
// than this, and more than usualTimes what it did at the most before, is frozen.
const (
	hourMessages  = 120
	hourStrangers = 60
	dayMessages   = 500
	dayStrangers  = 150

	usualTimes = 3
	usualFades = 90 // days after which what was the most counts half
)

// paced are the numbers that are watched.
var paced = [4]struct {
	free uint32
	what string
}{
	{hourMessages, "messages in an hour"},
	{hourStrangers, "new recipients in an hour"},
	{dayMessages, "messages in a day"},
	{dayStrangers, "new recipients in a day"},
}

// pace is what one device sent lately. Hours and days are UTC's.
type pace struct {
	hour  int64      // since 1970, of now
	now   [4]uint32  // as paced names them
	usual [4]float64 // the most before, fading

	frozen time.Time // zero: it is not
	burst  Burst     // why
}

// Burst is that a device suddenly wants to send much more than it ever did. It is
// the error of the message with which it would, and why the device is frozen.
type Burst struct {
	counts [4]uint32 // with that message
	which  int       // of them it is
	usual  uint32    // the most before
}

// Error tells it in words.
func (b *Burst) Error() string {
	most := "never one before"
	if b.usual > 0 {
		most = fmt.Sprintf("never more than %d before", b.usual)
	}
	return fmt.Sprintf("%d %s, and %s", b.counts[b.which], paced[b.which].what, most)
}

func (p *pace) encode() []byte {
	b := binary.AppendVarint(nil, p.hour)
	for i := range p.now {
		b = binary.AppendUvarint(b, uint64(p.now[i]))
		b = binary.BigEndian.AppendUint32(b, math.Float32bits(float32(p.usual[i])))
	}
	if p.frozen.IsZero() {
		return b
	}
	b = binary.AppendVarint(b, p.frozen.Unix())
	for _, n := range p.burst.counts {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(p.burst.which)), uint64(p.burst.usual))
}

func parsePace(v []byte) (pace, error) {
	d := decoder{b: v}
	p := pace{hour: d.varint()}
	for i := range p.now {
		p.now[i] = uint32(d.uvarint())
		if len(d.b) < 4 {
			return p, faultf(ErrCorrupt, "the pace of a device is cut off")
		}
		p.usual[i] = float64(math.Float32frombits(binary.BigEndian.Uint32(d.b)))
		d.b = d.b[4:]
	}
	if len(d.b) > 0 {
		p.frozen = time.Unix(d.varint(), 0).UTC()
		for i := range p.burst.counts {
			p.burst.counts[i] = uint32(d.uvarint())
		}
		p.burst.which, p.burst.usual = int(d.uvarint()), uint32(d.uvarint())
		d.bad = d.bad || p.burst.which >= len(paced)
	}
	return p, d.err("the pace of a device")
}

// advance brings the pace to a time.
func (p *pace) advance(to time.Time) {
	hour := to.Unix() / 3600
	if hour <= p.hour {
		return
	}
	closed := 2 // the hour's
	if hour/24 > p.hour/24 {
		closed = len(p.now)
	}
	left := math.Exp2(-float64(hour-p.hour) / 24 / usualFades)
	for i := range p.now {
		if i < closed {
			p.usual[i] = max(p.usual[i], float64(p.now[i]))
			p.now[i] = 0
		}
		p.usual[i] *= left
	}
	p.hour = hour
}

// count adds a message. What has no limit is not watched. A Burst is that it would
// be too many.
func (p *pace) count(l SendLimits, strangers int) error {
	with := p.now
	for i := range with {
		add, limit := 1, l.Messages
		if i%2 == 1 {
			add, limit = strangers, l.Strangers
		}
		with[i] += uint32(add)
		if add > 0 && limit >= 0 && float64(with[i]) > max(float64(paced[i].free), usualTimes*p.usual[i]) {
			b := &Burst{counts: with, which: i, usual: uint32(p.usual[i])}
			for k := i + 1; k < len(with); k++ {
				b.counts[k] += uint32([2]int{1, strangers}[k%2])
			}
			return b
		}
	}
	p.now = with
	return nil
}

// paceOf reads a device's pace.
func (tx *tx) paceOf(id AccountID, device string, now time.Time) (p pace, err error) {
	if v := tx.Bucket(bPaces).Get(deviceKey(id, device)); v != nil {
		p, err = parsePace(v)
	}
	p.advance(now)
	return p, err
}

func (tx *tx) putPace(id AccountID, device string, p pace) error {
	return tx.put(bPaces, deviceKey(id, device), p.encode())
}

// maySend is paceOf for a device that wants to send. Errors: ErrFrozen; ErrLogin when
// the app password is gone.
func (tx *tx) maySend(id AccountID, device string, now time.Time) (pace, error) {
	if device != "" && tx.Bucket(bDevices).Get(deviceKey(id, device)) == nil {
		return pace{}, faultf(ErrLogin, "this app password has been taken away")
	}
	p, err := tx.paceOf(id, device, now)
	if err == nil && !p.frozen.IsZero() {
		err = faultf(ErrFrozen, "sending is frozen for this device since %s, as it suddenly wanted to send much; its owner has a message in INBOX that tells how to go on", clock(p.frozen))
	}
	return p, err
}

// clock writes a time as people are told it.
func clock(t time.Time) string { return t.UTC().Format("15:04 on 2 January (UTC)") }

// Frozen is that a device may not send.
type Frozen struct {
	Device string // the app password's id; empty: the account's own password
	Since  time.Time
	Why    string
}

// Freeze keeps a device from sending until Unfreeze, and puts a notice into the
// mailboxes of its owner, in one commit. It tells whether it did: a device that is
// frozen stays as it is, and the notice goes nowhere.
func (s *Store) Freeze(ctx context.Context, who Submitter, b *Burst, notice *Intake) (bool, error) {
	st, err := s.stage(notice)
	if err != nil {
		return false, err
	}
	defer s.unstage(st)
	did := false
	err = s.update(ctx, func(tx *tx) error {
		did = false
		now := time.Now()
		if _, err := tx.account(who.Account.ID); err != nil {
			return err
		}
		if who.Device != "" && tx.Bucket(bDevices).Get(deviceKey(who.Account.ID, who.Device)) == nil {
			return nil // taken away meanwhile
		}
		p, err := tx.paceOf(who.Account.ID, who.Device, now)
		if err != nil || !p.frozen.IsZero() {
			return err
		}
		if _, err := tx.accept(st); err != nil {
			return err
		}
		p.frozen, p.burst, did = now, *b, true
		return tx.putPace(who.Account.ID, who.Device, p)
	})
	return did && err == nil, err
}

// Unfreeze lets a device send again. What it wanted to send counts as usual from now
// on. ErrNotFound when it is not frozen.
func (s *Store) Unfreeze(ctx context.Context, id AccountID, device string) error {
	return s.update(ctx, func(tx *tx) error {
		p, err := tx.paceOf(id, device, time.Now())
		if err != nil {
			return err
		}
		if p.frozen.IsZero() {
			return faultf(ErrNotFound, "sending is not frozen for this device")
		}
		for i := range p.usual {
			p.usual[i] = max(p.usual[i], float64(p.burst.counts[i]))
		}
		p.frozen, p.burst = time.Time{}, Burst{}
		return tx.putPace(id, device, p)
	})
}

// Frozen lists the devices of an account that may not send.
func (s *Store) Frozen(id AccountID) ([]Frozen, error) {
	var all []Frozen
	prefix := be32(uint32(id))
	err := s.view(func(tx *tx) error {
		return tx.each(bPaces, prefix, func(k, v []byte) error {
			p, err := parsePace(v)
			if err == nil && !p.frozen.IsZero() {
				all = append(all, Frozen{string(k[len(prefix):]), p.frozen, p.burst.Error()})
			}
			return err
		})
	})
	return all, err
}
