package mailbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Damage is a message body that did not hold against its checksums, or that the
// disk did not give back. It stays in quarantine: it is not opened, and its
// pack is kept as it is, until its last message is expunged or a check finds it
// whole again.
type Damage struct {
	Body   BodyID    `json:"body"`
	Found  time.Time `json:"found"`
	Pack   uint32    `json:"pack"`
	Offset int64     `json:"offset"` // of the record in the pack
	What   string    `json:"what"`
}

// Damaged lists the bodies in quarantine.
func (s *Store) Damaged() ([]Damage, error) {
	var all []Damage
	err := s.view(func(tx *tx) error {
		return tx.Bucket(bDamaged).ForEach(func(_, v []byte) error {
			var d Damage
			err := json.Unmarshal(v, &d)
			all = append(all, d)
			return err
		})
	})
	return all, err
}

// damagesWaiting is how many damages may wait for the writer. More are told when
// they are met again.
const damagesWaiting = 256

// damaged is told of every error in reading a body. The writer notes a damage
// with its next commit: a reader may be anywhere, also in a transaction, and
// must not wait for one.
func (s *Store) damaged(id BodyID, row bodyRow, err error) {
	if !errors.Is(err, ErrCorrupt) {
		return
	}
	select {
	case s.damages <- damageOf(id, row, err):
	default:
	}
}

func damageOf(id BodyID, row bodyRow, err error) Damage {
	return Damage{Body: id, Found: time.Now().UTC(), Pack: uint32(row.pack), Offset: row.offset, What: err.Error()}
}

// noting is the commit that puts what was found into quarantine.
func (w *writer) noting(all ...Damage) *commit {
	for more := true; more; {
		select {
		case d := <-w.damages:
			all = append(all, d)
		default:
			more = false
		}
	}
	if len(all) == 0 {
		return nil
	}
	return &commit{operation: &operation{done: make(chan struct{})}, run: func(tx *tx) error {
		for _, d := range all {
			if err := tx.quarantine(d, w.log); err != nil {
				return err
			}
		}
		return nil
	}}
}

func (tx *tx) quarantine(d Damage, log *slog.Logger) error {
	row, err := tx.bodyRow(d.Body)
	k := be64(uint64(d.Body))
	if err != nil || row.pack != packNumber(d.Pack) || row.offset != d.Offset || tx.Bucket(bDamaged).Get(k) != nil {
		return nil // expunged, moved, or known
	}
	tx.after = append(tx.after, func() {
		log.Error("a message is damaged and is not served any more", "message", d.Body.String(), "pack", d.Pack, "offset", d.Offset, "error", d.What)
	})
	if err := tx.log(Line{Event: Damaged, Message: d.Body, Size: row.raw, Detail: []string{
		fmt.Sprintf("the bytes in %s at %d are damaged: %s", packName(row.pack), d.Offset, d.What)}}); err != nil {
		return err
	}
	return tx.putJSON(bDamaged, k, &d)
}

// quarantined is ErrCorrupt when a body is in quarantine.
func (tx *tx) quarantined(id BodyID) error {
	v := tx.Bucket(bDamaged).Get(be64(uint64(id)))
	if v == nil {
		return nil
	}
	var d Damage
	if err := json.Unmarshal(v, &d); err != nil {
		return err
	}
	return faultf(ErrCorrupt, "the message is damaged on the disk; found on %s in %s at %d", d.Found.Format(time.DateOnly), packName(packNumber(d.Pack)), d.Offset)
}

// recheck lets bodies out of quarantine that were read without a fault.
func (s *Store) recheck(ctx context.Context, whole []BodyID) error {
	if len(whole) == 0 {
		return nil
	}
	return s.update(ctx, func(tx *tx) error {
		for _, id := range whole {
			if err := tx.delete(bDamaged, be64(uint64(id))); err != nil {
				return err
			}
			s.log.Info("a message is whole again", "message", id.String())
		}
		return nil
	})
}
