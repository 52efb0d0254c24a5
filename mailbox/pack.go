package mailbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// packNumber is the number in a pack's file name, from 1.
type packNumber uint32

// packSize is where a pack is full: small enough to be rewritten or copied in a
// few seconds, large enough that ten years of mail are some hundred files.
const packSize = 128 << 20

// packs are the files DIR/packs/NNNNNNNN.pack: records one behind the other,
// never changed once written. See record.go for what a record is.
type packs struct {
	dir string

	mu    sync.RWMutex
	files map[packNumber]*os.File
	last  packNumber // the one that grows; 0 when the next append starts one
	end   int64      // of the last
	next  packNumber
	full  int64                  // where a pack is full
	grown map[packNumber]*growth // those that were written to, until they are synced

	// Somebody needs the pack, though no row may say so: a record in it waits to
	// be committed, or a backup copies it. Only the pack that grows gets records.
	pins map[packNumber]int

	// These were longer than their rows said when the store was opened.
	tails map[packNumber]bool

	// These had rows and no files when the store was opened.
	lost []packNumber

	// A sync of these failed: the kernel may have dropped what was appended and
	// not yet committed, and another sync would not tell.
	suspect map[packNumber]bool
}

// packRow is what the store knows of one pack.
type packRow struct {
	size    int64 // up to the end of the last record that was committed
	live    int64 // bytes of records that some message or outbox row needs
	records int64 // that are live
}

func (p *packs) path(name string) string { return filepath.Join(p.dir, name) }

func packName(n packNumber) string { return fmt.Sprintf("%08d.pack", n) }

// openPacks opens every pack that the store has rows in. A pack that is longer
// than its row says holds what was not committed when the process died: it is
// left as it is, in case an old roost.db was put back, and a new one is begun.
// clean tells that there is nothing of the kind. One that is missing or too
// short is told of, and what is left of the mail is served.
func openPacks(dir string, tx *tx, log *slog.Logger) (p *packs, clean bool, err error) {
	p = &packs{
		dir: dir, full: packSize, next: packNumber(tx.Bucket(bPacks).Sequence()) + 1,
		files: make(map[packNumber]*os.File), grown: make(map[packNumber]*growth),
		suspect: make(map[packNumber]bool), tails: make(map[packNumber]bool), pins: make(map[packNumber]int),
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, false, err
	}
	clean = true
	for _, e := range names {
		if base, ok := strings.CutSuffix(e.Name(), ".pack"); ok {
			if n, err := strconv.ParseUint(base, 10, 32); err == nil {
				p.next = max(p.next, packNumber(n)+1)
				clean = clean && tx.Bucket(bPacks).Get(be32(uint32(n))) != nil
			}
		}
	}
	err = tx.each(bPacks, nil, func(k, v []byte) error {
		n := packNumber(binary.BigEndian.Uint32(k))
		p.next = max(p.next, n+1)
		row, err := parsePackRow(v)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(filepath.Join(dir, packName(n)), os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			if row.records > 0 {
				p.lost = append(p.lost, n)
				log.Error("a pack is missing: run `roost check`", "pack", n, "messages", row.records)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("open pack %d: %w", n, err)
		}
		p.files[n] = f
		st, err := f.Stat()
		if err != nil {
			return err
		}
		switch p.last = 0; {
		case st.Size() == row.size:
			p.last, p.end = n, row.size
		case st.Size() > row.size:
			clean, p.tails[n] = false, true
		default:
			log.Error("a pack is shorter than it was: run `roost check`", "pack", n, "bytes", st.Size(), "want", row.size)
		}
		return nil
	})
	if err != nil {
		p.close()
		return nil, false, err
	}
	if p.last+1 != p.next {
		p.last = 0
	}
	return p, clean, nil
}

func (p *packs) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, f := range p.files {
		errs = append(errs, f.Close())
	}
	clear(p.files)
	return errors.Join(errs...)
}

// append reserves room for a record and writes it: the start, which tells where
// the next record begins, before anyone else can append, and the rest, if it is
// large, beside others. What it wrote is durable after the next sync. The pack
// is pinned: the caller unpins it when the record's row is committed, or given up.
func (p *packs) append(start []byte, rest io.Reader, size int64) (packNumber, int64, error) {
	if size <= wholeRecord {
		start = slices.Grow(start, int(size))[:len(start)+int(size)]
		if _, err := io.ReadFull(rest, start[len(start)-int(size):]); err != nil {
			return 0, 0, err
		}
		size = 0
	}
	n, off, f, err := p.reserve(start, size)
	if err != nil || size == 0 {
		return n, off, err
	}
	at, flushed := off+int64(len(start)), off
	for buf := make([]byte, min(size, chunkSize)); size > 0 && err == nil; {
		buf = buf[:min(int64(len(buf)), size)]
		if _, err = io.ReadFull(rest, buf); err == nil {
			_, err = f.WriteAt(buf, at)
		}
		at += int64(len(buf))
		size -= int64(len(buf))
		if err == nil && at-flushed >= flushBytes {
			p.mu.Lock()
			p.wrote(n)
			p.mu.Unlock()
			flushed, err = at, p.flush(n)
		}
	}
	if err != nil {
		p.unpin(n)
		return 0, 0, err
	}
	p.mu.Lock()
	p.wrote(n)
	p.mu.Unlock()
	return n, off, nil
}

// reserve writes the start of a record and keeps the room behind it.
func (p *packs) reserve(start []byte, rest int64) (packNumber, int64, *os.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == 0 || p.end >= p.full {
		if err := p.begin(); err != nil {
			return 0, 0, nil, fmt.Errorf("begin a pack: %w", err)
		}
	}
	f, off := p.files[p.last], p.end
	if _, err := f.WriteAt(start, off); err != nil {
		if f.Truncate(off) != nil {
			p.last = 0 // what is at the end of this one is not known
		}
		return 0, 0, nil, err
	}
	p.end += int64(len(start)) + rest
	p.wrote(p.last)
	p.pins[p.last]++
	return p.last, off, f, nil
}

func (p *packs) unpin(n packNumber) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pins[n]--; p.pins[n] == 0 {
		delete(p.pins, n)
	}
}

// idle tells that nothing will be added to a pack and nobody has pinned it.
func (p *packs) idle(n packNumber) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return n != p.last && p.pins[n] == 0
}

// retire ends the pack that grows, unless it has only begun.
func (p *packs) retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end >= p.full/8 {
		p.last = 0
	}
}

// tailAge is how long a pack is kept for what is behind its last known record: an
// owner who put an old roost.db back may still want that.
const tailAge = 30 * 24 * time.Hour

// removable tells that a pack may go once no row needs it.
func (p *packs) removable(n packNumber) bool {
	if !p.idle(n) {
		return false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if f := p.files[n]; p.tails[n] && f != nil {
		st, err := f.Stat()
		return err == nil && time.Since(st.ModTime()) > tailAge
	}
	return true
}

func (p *packs) begin() error {
	f, err := os.OpenFile(filepath.Join(p.dir, packName(p.next)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := syncDir(p.dir); err != nil {
		f.Close()
		return err
	}
	p.files[p.next] = f
	p.last, p.end = p.next, 0
	p.next++
	return nil
}

// growth counts the writes to a pack and which of them are synced, so that a sync
// that somebody began early is not made twice.
type growth struct {
	file   *os.File
	wrote  atomic.Uint64
	synced atomic.Uint64

	mu  sync.Mutex // held while syncing
	err error      // of a sync; the next one would not tell
}

// wrote counts a write that is done. p.mu is held.
func (p *packs) wrote(n packNumber) {
	g := p.grown[n]
	if g == nil {
		g = &growth{file: p.files[n]}
		p.grown[n] = g
	}
	g.wrote.Add(1)
}

// sync makes durable what was written before the call.
func (g *growth) sync() error {
	want := g.wrote.Load()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil || g.synced.Load() >= want {
		return g.err
	}
	now := g.wrote.Load()
	if g.err = fdatasync(g.file); g.err == nil {
		g.synced.Store(now)
	}
	return g.err
}

// sync makes all that was appended before the call durable. After an error,
// nothing more that was appended to the same packs may be committed.
func (p *packs) sync() error {
	p.mu.RLock()
	grown := maps.Clone(p.grown)
	p.mu.RUnlock()
	for n, g := range grown {
		if err := g.sync(); err != nil {
			for n := range grown {
				p.distrust(n)
			}
			p.mu.Lock()
			for n := range grown {
				delete(p.grown, n)
			}
			p.mu.Unlock()
			return err
		}
		p.mu.Lock()
		if n != p.last && g.synced.Load() == g.wrote.Load() && p.pins[n] == 0 {
			delete(p.grown, n)
		}
		p.mu.Unlock()
	}
	return nil
}

// flush syncs one pack beside the writer.
func (p *packs) flush(n packNumber) error {
	p.mu.RLock()
	g := p.grown[n]
	p.mu.RUnlock()
	if g == nil {
		return nil
	}
	err := g.sync()
	if err != nil {
		p.distrust(n)
	}
	return err
}

// flushBytes is how much of a large record is written between two syncs of its
// own, so that the next commit does not have to wait for all of it.
const flushBytes = 4 << 20

// distrust ends a pack: what was committed from it stays, nothing is added.
func (p *packs) distrust(n packNumber) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.suspect[n] = true
	if p.last == n {
		p.last = 0
	}
}

func (p *packs) trusted(n packNumber) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return !p.suspect[n]
}

// errPackGone tells a reader to look up the body's row again.
var errPackGone = errors.New("the pack is gone")

// readAt fills b from a pack. errPackGone when it was removed.
func (p *packs) readAt(n packNumber, b []byte, off int64) error {
	p.mu.RLock()
	f := p.files[n]
	p.mu.RUnlock()
	if f == nil {
		return errPackGone
	}
	_, err := f.ReadAt(b, off)
	switch {
	case errors.Is(err, os.ErrClosed):
		return errPackGone
	case errors.Is(err, io.EOF):
		return fmt.Errorf("pack %d ends too early: %w", n, ErrCorrupt)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

// remove deletes a pack that no row needs. One that was pinned since that was
// found out stays, with gone false: a backup of an earlier moment needs it.
func (p *packs) remove(n packNumber) (gone bool, err error) {
	p.mu.Lock()
	if p.pins[n] > 0 {
		p.mu.Unlock()
		return false, nil
	}
	f := p.files[n]
	delete(p.files, n)
	delete(p.grown, n)
	p.mu.Unlock()
	if f != nil {
		f.Close()
	}
	err = os.Remove(filepath.Join(p.dir, packName(n)))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return err == nil, err
}

func parsePackRow(v []byte) (packRow, error) {
	d := decoder{b: v}
	row := packRow{size: int64(d.uvarint()), live: int64(d.uvarint()), records: int64(d.uvarint())}
	return row, d.err("pack row")
}

func (tx *tx) packRow(n packNumber) (packRow, error) {
	v := tx.Bucket(bPacks).Get(be32(uint32(n)))
	if v == nil {
		return packRow{}, nil
	}
	return parsePackRow(v)
}

func (tx *tx) putPackRow(n packNumber, row packRow) error {
	var b []byte
	b = binary.AppendUvarint(b, uint64(row.size))
	b = binary.AppendUvarint(b, uint64(row.live))
	b = binary.AppendUvarint(b, uint64(row.records))
	if packs := tx.Bucket(bPacks); packs.Sequence() < uint64(n) {
		if err := packs.SetSequence(uint64(n)); err != nil { // a number is never given twice
			return err
		}
	}
	return tx.put(bPacks, be32(uint32(n)), b)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// fdatasync may run beside Close: a file that is closed meanwhile is not mistaken
// for another, which has its number by then.
func fdatasync(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var synced error
	err = c.Control(func(fd uintptr) {
		for synced = syscall.EINTR; synced == syscall.EINTR; {
			synced = syscall.Fdatasync(int(fd))
		}
	})
	return errors.Join(err, synced)
}
