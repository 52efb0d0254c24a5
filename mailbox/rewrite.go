package mailbox

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Packs of which less than half is mail that anybody has are rewritten: the live
// records are copied to the pack that grows, as they are, and their rows switched
// once the copies are synced. With its last record the old pack goes. It may be
// killed at any moment: until a row is switched it leads to the old place, and
// the copy is dead bytes; after that the old place is.

const (
	// rewriteBytes and rewriteRecords bound what is copied between two commits.
	rewriteBytes   = 4 << 20
	rewriteRecords = 200
)

// rewritePacks rewrites what is mostly dead, one pack after the other, so that it
// needs room on the disk for half a pack. It ends early when there is less.
func (s *Store) rewritePacks(ctx context.Context) error {
	if err := s.sweepPacks(ctx); err != nil {
		return err
	}
	if s.room(0) != nil {
		s.packs.retire() // what is dead in it may be all that can be had
	}
	work, err := s.sparsePacks()
	if err != nil {
		return err
	}
	live := func(n packNumber) (sum int64) {
		for _, m := range work[n] {
			sum += m.from.head + m.from.stored
		}
		return sum
	}
	for _, n := range slices.SortedFunc(maps.Keys(work), func(a, b packNumber) int { return cmp.Compare(live(a), live(b)) }) {
		if err := s.rewritePack(ctx, work[n]); err != nil {
			return fmt.Errorf("rewrite pack %d: %w", n, err)
		}
	}
	return nil
}

// move is a record that is to be copied, and its copy.
type move struct {
	id   BodyID
	from bodyRow
	pack packNumber
	off  int64
}

// sparsePacks finds the records of mostly dead packs, in the order in which they
// lie there. Damaged ones stay where they are, and so does their pack.
func (s *Store) sparsePacks() (map[packNumber][]move, error) {
	work := make(map[packNumber][]move)
	err := s.view(func(tx *tx) error {
		err := tx.each(bPacks, nil, func(k, v []byte) error {
			n := packNumber(binary.BigEndian.Uint32(k))
			row, err := parsePackRow(v)
			if err == nil && row.records > 0 && row.live < row.size/2 && s.packs.idle(n) && s.packs.trusted(n) {
				work[n] = nil
			}
			return err
		})
		if err != nil || len(work) == 0 {
			return err
		}
		return tx.each(bBodies, nil, func(k, v []byte) error {
			row, err := parseBodyRow(v)
			if err != nil {
				return err
			}
			if _, ok := work[row.pack]; ok && tx.Bucket(bDamaged).Get(k) == nil {
				work[row.pack] = append(work[row.pack], move{id: BodyID(bodyKey(k)), from: row})
			}
			return nil
		})
	})
	for _, moves := range work {
		slices.SortFunc(moves, func(a, b move) int { return int(a.from.offset - b.from.offset) })
	}
	return work, err
}

func (s *Store) rewritePack(ctx context.Context, moves []move) error {
	var need int64
	for _, m := range moves {
		need += m.from.head + m.from.stored
	}
	if err := s.roomToRewrite(need); err != nil {
		return err
	}
	var copied []move
	var size int64
	for i, m := range moves {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, s.switchOver(context.WithoutCancel(ctx), copied))
		}
		err := s.copyRecord(&m)
		switch {
		case errors.Is(err, errPackGone):
			return s.switchOver(ctx, copied) // all in it was expunged
		case errors.Is(err, ErrCorrupt):
			s.damaged(m.id, m.from, err)
			continue
		case err != nil:
			return errors.Join(err, s.switchOver(ctx, copied))
		}
		copied = append(copied, m)
		size += m.from.head + m.from.stored
		if size >= rewriteBytes || len(copied) == rewriteRecords || i == len(moves)-1 {
			if err := s.switchOver(ctx, copied); err != nil {
				return err
			}
			copied, size = copied[:0], 0
		}
	}
	return s.switchOver(ctx, copied)
}

// copyRecord appends a copy of a record, holding every byte against its checksum.
func (s *Store) copyRecord(m *move) error {
	head := make([]byte, m.from.head)
	if err := s.packs.readAt(m.from.pack, head, m.from.offset); err != nil {
		return err
	}
	h, err := parseHead(head)
	if err != nil {
		return err
	}
	_, body, err := parsePreamble(head)
	if err != nil || h.id != m.id || h.raw != m.from.raw || body != m.from.stored {
		return fmt.Errorf("another record than its row says: %w", ErrCorrupt)
	}
	rest := &chunkReader{packs: s.packs, pack: m.from.pack, off: m.from.offset + m.from.head, chunks: h.chunks}
	m.pack, m.off, err = s.packs.append(head, rest, m.from.stored)
	if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, errPackGone) {
		err = s.trouble(fmt.Errorf("write the pack: %w", err))
	}
	return err
}

// chunkReader reads the chunks of a record as they are stored, none before its
// checksum holds.
type chunkReader struct {
	packs  *packs
	pack   packNumber
	off    int64
	chunks []chunk
	buf    []byte
	now    bytes.Reader
}

func (r *chunkReader) Read(b []byte) (int, error) {
	for r.now.Len() == 0 {
		if len(r.chunks) == 0 {
			return 0, io.EOF
		}
		c := r.chunks[0]
		r.buf = slices.Grow(r.buf[:0], int(c.stored))[:c.stored]
		if err := r.packs.readAt(r.pack, r.buf, r.off); err != nil {
			return 0, err
		}
		if err := c.verify(r.buf); err != nil {
			return 0, err
		}
		r.off += c.stored
		r.chunks = r.chunks[1:]
		r.now.Reset(r.buf)
	}
	return r.now.Read(b)
}

// switchOver makes the rows of copied records lead to the copies. What was
// expunged meanwhile is left alone.
func (s *Store) switchOver(ctx context.Context, copied []move) error {
	if len(copied) == 0 {
		return nil
	}
	defer func() {
		for _, m := range copied {
			s.packs.unpin(m.pack)
		}
	}()
	// Synced here first, so that the writer has little left to do.
	for i, m := range copied {
		if i == 0 || m.pack != copied[i-1].pack {
			if err := s.packs.flush(m.pack); err != nil {
				return s.trouble(fmt.Errorf("sync the pack: %w", err))
			}
		}
	}
	return s.updateBulk(ctx, func(tx *tx) error {
		for _, m := range copied {
			if !tx.packs.trusted(m.pack) {
				return ErrFull
			}
		}
		for _, m := range copied {
			if tx.Bucket(bBodies).Get(be64(uint64(m.id))) == nil {
				continue
			}
			row, err := tx.bodyRow(m.id)
			if err != nil {
				return err
			}
			if row.pack != m.from.pack || row.offset != m.from.offset {
				continue
			}
			if err := tx.vacate(row); err != nil {
				return err
			}
			row.pack, row.offset = m.pack, m.off
			if err := tx.addBody(m.id, row); err != nil {
				return err
			}
		}
		return nil
	})
}

// sweepPacks removes what packs without live records have left: the file, if it
// was pinned when the last one went, and then the row, which is there so that a
// file whose removal a kill prevented is found again.
func (s *Store) sweepPacks(ctx context.Context) error {
	var empty []packNumber
	err := s.view(func(tx *tx) error {
		return tx.each(bPacks, nil, func(k, v []byte) error {
			n := packNumber(binary.BigEndian.Uint32(k))
			row, err := parsePackRow(v)
			if err == nil && row.records == 0 && s.packs.removable(n) {
				empty = append(empty, n)
			}
			return err
		})
	})
	if err != nil || len(empty) == 0 {
		return err
	}
	var gone []packNumber
	for _, n := range empty {
		removed, err := s.packs.remove(n)
		if err != nil {
			return fmt.Errorf("remove pack %d: %w", n, err)
		}
		if removed {
			gone = append(gone, n)
		}
	}
	if err := syncDir(s.packs.dir); err != nil {
		return err
	}
	return s.update(ctx, func(tx *tx) error {
		for _, n := range gone {
			if err := tx.delete(bPacks, be32(uint32(n))); err != nil {
				return err
			}
		}
		return nil
	})
}
