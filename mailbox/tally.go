package mailbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Day is a day of UTC, counted from 1970-01-01; 0 is never.
type Day uint32

// DayOf gives the day that a time is in.
func DayOf(t time.Time) Day { return Day(t.Unix() / (24 * 60 * 60)) }

// Tally is what is counted about a correspondent. The numbers fade: each is worth
// half after halfLife days without mail.
type Tally struct {
	First, Last Day     // of mail from it, or to it
	Wrote       Day     // when it was last written to
	Received    float64 // messages that it sent, by SPF or DKIM really, and that came elsewhere than into \Junk
	Junked      float64 // messages that a reader moved to \Junk, or marked $Junk
	Rescued     float64 // messages that a reader moved out of \Junk, or marked $NotJunk there
	Sent        float64 // messages to it
}

const (
	halfLife = 90 // days

	// maxCorrespondents bounds the tallies of one account, by address, and
	// maxDomains those of all accounts together, by domain.
	maxCorrespondents = 20_000
	maxDomains        = 100_000

	// tallySample is among how many tallies the one is chosen that makes room.
	tallySample = 64
)

// Tallies of an account are about addresses, those of account 0 about domains. A
// key ends in a digest, so that it is short, and what lies beside it is anybody's.
func tallyKey(id AccountID, about string) []byte {
	sum := sha256.Sum256([]byte(about))
	return append(be32(uint32(id)), sum[:12]...)
}

func parseTally(v []byte) (Tally, error) {
	if len(v) != 28 {
		return Tally{}, faultf(ErrCorrupt, "a tally of %d bytes", len(v))
	}
	day := func(i int) Day { return Day(binary.BigEndian.Uint32(v[i:])) }
	number := func(i int) float64 { return float64(math.Float32frombits(binary.BigEndian.Uint32(v[i:]))) }
	return Tally{day(0), day(4), day(8), number(12), number(16), number(20), number(24)}, nil
}

func (t *Tally) encode() []byte {
	b := make([]byte, 0, 28)
	for _, d := range []Day{t.First, t.Last, t.Wrote} {
		b = binary.BigEndian.AppendUint32(b, uint32(d))
	}
	for _, n := range []float64{t.Received, t.Junked, t.Rescued, t.Sent} {
		b = binary.BigEndian.AppendUint32(b, math.Float32bits(float32(n)))
	}
	return b
}

// fade brings the numbers to a day.
func (t *Tally) fade(now Day) {
	if now <= t.Last {
		return
	}
	left := math.Exp2(-float64(now-t.Last) / halfLife)
	for _, n := range []*float64{&t.Received, &t.Junked, &t.Rescued, &t.Sent} {
		*n *= left
	}
}

// tally reads one; the zero value when there is none.
func (tx *tx) tally(key []byte, now Day) (Tally, error) {
	v := tx.Bucket(bCorrespondents).Get(key)
	if v == nil {
		return Tally{}, nil
	}
	t, err := parseTally(v)
	t.fade(now)
	return t, err
}

// countTally changes a tally, and makes it where there is none. Where that would be
// one too many, another goes.
func (tx *tx) countTally(key []byte, now Day, count func(*Tally)) error {
	t, err := tx.tally(key, now)
	if err != nil {
		return err
	}
	if t.First == 0 {
		t.First = now
		if err := tx.makeRoom(key); err != nil {
			return err
		}
	}
	t.Last = max(t.Last, now)
	count(&t)
	return tx.put(bCorrespondents, key, t.encode())
}

// makeRoom counts a tally that is about to be made. Of those that come behind it in
// the order of their digests, which is none, the one goes that matters least: first
// those that nobody wrote to, and of these the one without mail for the longest time.
func (tx *tx) makeRoom(key []byte) error {
	id := AccountID(binary.BigEndian.Uint32(key))
	most := uint32(maxCorrespondents)
	if id == 0 {
		most = maxDomains
	}
	a, err := tx.allowance(id)
	if err != nil {
		return err
	}
	if a.tallies < most {
		a.tallies++
		return tx.putAllowance(id, a)
	}
	var least []byte
	var worth Tally
	seen := 0
	look := func(from, prefix []byte) error {
		c := tx.Bucket(bCorrespondents).Cursor()
		for k, v := c.Seek(from); bytes.HasPrefix(k, prefix) && seen < tallySample; k, v = c.Next() {
			t, err := parseTally(v)
			if err != nil {
				return err
			}
			seen++
			if least == nil || t.less(worth) {
				least, worth = bytes.Clone(k), t
			}
		}
		return nil
	}
	if err := look(key, key[:4]); err != nil {
		return err
	}
	if err := look(key[:4], key[:4]); err != nil { // round the end
		return err
	}
	if least == nil {
		return faultf(ErrCorrupt, "account %d has no tallies, and counts %d", id, a.tallies)
	}
	return tx.delete(bCorrespondents, least)
}

// less says whether a tally matters less than another.
func (t Tally) less(than Tally) bool {
	if (t.Wrote == 0) != (than.Wrote == 0) {
		return t.Wrote == 0
	}
	return t.Last < than.Last
}

// Reputation is what is known of a sender whom SPF or DKIM confirms. Its zero value
// is nothing.
type Reputation struct {
	Sender  Address
	Now     Day
	Address Tally // with the account
	Domain  Tally // with all accounts of the server
}

// Reputation tells what is known of a sender to an account; 0 is that none is meant.
func (s *Store) Reputation(id AccountID, sender Address) (Reputation, error) {
	now := DayOf(time.Now())
	r := Reputation{Sender: sender, Now: now}
	err := s.view(func(tx *tx) (err error) {
		if id != 0 {
			if r.Address, err = tx.tally(tallyKey(id, string(sender)), now); err != nil {
				return err
			}
		}
		r.Domain, err = tx.tally(tallyKey(0, sender.Domain()), now)
		return err
	})
	return r, err
}

// known says whether an account has to do with an address already: it wrote to it,
// or was written to.
func (t *Tally) known() bool { return t.Wrote != 0 || t.Received > 0 }

// origin is who sent a body, in the digests of its tallies, and what readers said
// of it: none of them counts twice.
type origin struct {
	domain, address []byte
	said            []readerWord
}

type readerWord struct {
	account AccountID
	junk    bool
}

func parseOrigin(v []byte) (origin, error) {
	if len(v) < 24 || (len(v)-24)%5 != 0 {
		return origin{}, faultf(ErrCorrupt, "an origin of %d bytes", len(v))
	}
	o := origin{domain: v[:12:12], address: v[12:24:24]}
	for v = v[24:]; len(v) > 0; v = v[5:] {
		o.said = append(o.said, readerWord{AccountID(binary.BigEndian.Uint32(v)), v[4] != 0})
	}
	return o, nil
}

func (o *origin) encode() []byte {
	b := slices.Concat(o.domain, o.address)
	for _, w := range o.said {
		b = binary.BigEndian.AppendUint32(b, uint32(w.account))
		b = append(b, 0)
		if w.junk {
			b[len(b)-1] = 1
		}
	}
	return b
}

// countReceived counts a message with its sender's tallies: once for the server,
// and for each account that it came to, unless it went into \Junk.
func (tx *tx) countReceived(st *staged) error {
	if st.Author == "" || len(st.Place) == 0 {
		return nil
	}
	now := DayOf(time.Now())
	domain := tallyKey(0, st.Author.Domain())
	address := tallyKey(0, string(st.Author))
	o := origin{domain: domain[4:], address: address[4:]}
	if err := tx.put(bOrigins, be64(uint64(st.id)), o.encode()); err != nil {
		return err
	}
	received := func(t *Tally) { t.Received++ }
	counted := map[AccountID]bool{}
	for i := range st.Place {
		id := st.Place[i].Account
		if counted[id] || st.Place[i].Use == UseJunk {
			continue
		}
		counted[id] = true
		if err := tx.countTally(append(be32(uint32(id)), o.address...), now, received); err != nil {
			return err
		}
	}
	if len(counted) == 0 {
		return nil
	}
	return tx.countTally(domain, now, received)
}

// readerMoved notes what a reader said of messages by moving or copying them from
// one mailbox into another.
func (tx *tx) readerMoved(id AccountID, from, to SpecialUse, bodies []BodyID) error {
	switch {
	case to == UseJunk && from != UseJunk:
		return tx.readerSaid(id, bodies, true, false)
	case from == UseJunk && to != UseJunk && to != UseTrash:
		return tx.readerSaid(id, bodies, false, false)
	}
	return nil
}

// The keywords by which a mail program says what a reader said (IANA's registry of
// IMAP keywords). Other names, such as Thunderbird's, are set by programs unasked.
const (
	keywordJunk    = "$Junk"
	keywordNotJunk = "$NotJunk"
)

// verdict gives which of the two keywords is among some; empty: none.
func (f *Folder) verdict(bits uint64) string {
	for i, name := range f.Keywords {
		for _, k := range []string{keywordJunk, keywordNotJunk} {
			if bits&(1<<i) != 0 && strings.EqualFold(name, k) {
				return k
			}
		}
	}
	return ""
}

// readerMarked notes what a reader said of messages by marking them. That one is no
// junk says something only where it was taken for it.
func (tx *tx) readerMarked(id AccountID, f Folder, junk, wanted []UID) error {
	for _, m := range []struct {
		uids        []UID
		junk, again bool
	}{{junk, true, false}, {wanted, false, f.Use != UseJunk}} {
		var bodies []BodyID
		for _, uid := range m.uids {
			facts, err := tx.facts(id, f.ID, uid)
			if err != nil {
				return err
			}
			bodies = append(bodies, facts.Body)
		}
		if err := tx.readerSaid(id, bodies, m.junk, m.again); err != nil {
			return err
		}
	}
	return nil
}

// readerSaid notes that a reader took messages for junk, or for none. With again, it
// counts only where it takes back what was said before.
func (tx *tx) readerSaid(id AccountID, bodies []BodyID, junk, again bool) error {
	now := DayOf(time.Now())
	type change struct{ junked, rescued float64 }
	changes := map[string]change{}
	for _, body := range bodies {
		k := be64(uint64(body))
		v := tx.Bucket(bOrigins).Get(k)
		if v == nil {
			continue
		}
		o, err := parseOrigin(bytes.Clone(v))
		if err != nil {
			return err
		}
		i := slices.IndexFunc(o.said, func(w readerWord) bool { return w.account == id })
		var c change
		switch {
		case i >= 0 && o.said[i].junk == junk, i < 0 && again:
			continue
		case i < 0:
			o.said = append(o.said, readerWord{id, junk})
		default:
			o.said[i].junk = junk
			if c.junked = -1; junk {
				c = change{rescued: -1}
			}
		}
		if junk {
			c.junked++
		} else {
			c.rescued++
		}
		for _, key := range []string{string(be32(0)) + string(o.domain), string(be32(uint32(id))) + string(o.address)} {
			sum := changes[key]
			changes[key] = change{sum.junked + c.junked, sum.rescued + c.rescued}
		}
		if err := tx.put(bOrigins, k, o.encode()); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(changes)) {
		c := changes[key]
		err := tx.countTally([]byte(key), now, func(t *Tally) {
			t.Junked = max(t.Junked+c.junked, 0)
			t.Rescued = max(t.Rescued+c.rescued, 0)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checkTallies holds the numbers of tallies against those that are there.
func (tx *tx) checkTallies(r *Report, _ map[BodyID]int64) error {
	n := map[AccountID]uint32{}
	err := tx.each(bCorrespondents, nil, func(k, v []byte) error {
		if len(k) != 16 {
			r.problem("a tally has a key of %d bytes", len(k))
			return nil
		}
		if _, err := parseTally(v); err != nil {
			r.problem("%v", err)
		}
		n[AccountID(binary.BigEndian.Uint32(k))]++
		return nil
	})
	if err != nil {
		return err
	}
	err = tx.each(bAllowances, nil, func(k, v []byte) error {
		a, err := parseAllowance(v)
		if err != nil || len(k) != 4 {
			r.problem("the allowance of an account can't be read: %v", err)
			return nil
		}
		id := AccountID(binary.BigEndian.Uint32(k))
		if a.tallies != n[id] {
			r.problem("account %d counts %d tallies and has %d", id, a.tallies, n[id])
		}
		delete(n, id)
		return nil
	})
	for id, have := range n {
		r.problem("account %d counts no tallies and has %d", id, have)
	}
	if err != nil {
		return err
	}
	return tx.each(bOrigins, nil, func(k, v []byte) error {
		if _, err := parseOrigin(v); err != nil || len(k) != 8 {
			r.problem("the origin of body %x can't be read: %v", k, err)
		} else if tx.Bucket(bBodies).Get(k) == nil {
			r.problem("an origin of body %x, which is gone", k)
		}
		return nil
	})
}
