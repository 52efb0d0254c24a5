package mailbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
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
	dirty map[packNumber]bool // written, and not synced since

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

func packName(n packNumber) string { return fmt.Sprintf("%08d.pack", n) }

// openPacks opens every pack that the store has rows in. A pack that is longer
// than its row says holds what was not committed when the process died: it is
// left as it is, in case an old roost.db was put back, and a new one is begun.
func openPacks(dir string, tx *tx) (*packs, error) {
	p := &packs{dir: dir, files: make(map[packNumber]*os.File), dirty: make(map[packNumber]bool), suspect: make(map[packNumber]bool), next: 1}
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range names {
		if base, ok := strings.CutSuffix(e.Name(), ".pack"); ok {
			if n, err := strconv.ParseUint(base, 10, 32); err == nil {
				p.next = max(p.next, packNumber(n)+1)
			}
		}
	}
	err = tx.each(bPacks, nil, func(k, v []byte) error {
		n := packNumber(binary.BigEndian.Uint32(k))
		row, err := parsePackRow(v)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(filepath.Join(dir, packName(n)), os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("open pack %d: %w", n, err)
		}
		p.files[n] = f
		st, err := f.Stat()
		if err != nil {
			return err
		}
		if p.last = 0; st.Size() == row.size && n+1 == p.next {
			p.last, p.end = n, row.size
		}
		return nil
	})
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
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
// the next record begins, before anyone else can append, and the rest, which
// may be large, beside others. What it wrote is durable after the next sync.
func (p *packs) append(start []byte, rest *Spool) (packNumber, int64, error) {
	n, off, f, err := p.reserve(start, rest.Size())
	if err != nil {
		return 0, 0, err
	}
	at := off + int64(len(start))
	for buf, done := make([]byte, min(rest.Size(), 1<<20)), int64(0); done < rest.Size(); {
		k, err := rest.ReadAt(buf[:min(int64(len(buf)), rest.Size()-done)], done)
		if k == 0 {
			return 0, 0, fmt.Errorf("read the spool: %w", err)
		}
		if _, err := f.WriteAt(buf[:k], at+done); err != nil {
			return 0, 0, err
		}
		done += int64(k)
	}
	p.mu.Lock()
	p.dirty[n] = true
	p.mu.Unlock()
	return n, off, nil
}

func (p *packs) reserve(start []byte, rest int64) (packNumber, int64, *os.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == 0 || p.end >= packSize {
		if err := p.begin(); err != nil {
			return 0, 0, nil, fmt.Errorf("begin a pack: %w", err)
		}
	}
	f, off := p.files[p.last], p.end
	if _, err := f.WriteAt(start, off); err != nil {
		p.last = 0 // what is at the end of this one is not known
		return 0, 0, nil, err
	}
	p.end += int64(len(start)) + rest
	return p.last, off, f, nil
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

// sync makes all that was appended before the call durable. After an error,
// nothing more that was appended to the same packs may be committed.
func (p *packs) sync() error {
	p.mu.Lock()
	dirty := make(map[packNumber]*os.File, len(p.dirty))
	for n := range p.dirty {
		dirty[n] = p.files[n]
	}
	clear(p.dirty)
	p.mu.Unlock()
	for _, f := range dirty {
		if err := fdatasync(f); err != nil {
			for n := range dirty {
				p.distrust(n)
			}
			return err
		}
	}
	return nil
}

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

// readAt fills b from a pack. ErrNotFound when the pack is gone: all in it was
// expunged.
func (p *packs) readAt(n packNumber, b []byte, off int64) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	f := p.files[n]
	if f == nil {
		return faultf(ErrNotFound, "the message was expunged")
	}
	_, err := f.ReadAt(b, off)
	return err
}

func (p *packs) remove(n packNumber) error {
	p.mu.Lock()
	f := p.files[n]
	delete(p.files, n)
	p.mu.Unlock()
	if f == nil {
		return nil
	}
	return errors.Join(f.Close(), os.Remove(filepath.Join(p.dir, packName(n))))
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
	return tx.put(bPacks, be32(uint32(n)), b)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func fdatasync(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if err != syscall.EINTR {
			return err
		}
	}
}
