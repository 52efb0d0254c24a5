package mailbox

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Reading ahead. bbolt maps roost.db and tells the kernel that it will be read at
// random, so that what is not in memory comes page by page, each when it is touched:
// for a mailbox that nobody looked at for a day, thousands of them one after the
// other. Who reads many rows in order therefore asks for all of their pages at once,
// once it shows that the disk has to be asked at all.

// aheadOf is the state of that.
type aheadOf struct {
	file   *os.File // roost.db; nil: no reading ahead
	faults atomic.Int64
	parts  atomic.Int64 // how many more parts are read ahead
}

const (
	// aheadFaults is how many pages must have come from the disk since the last part
	// for the next aheadParts to be read ahead. What is there already costs little to
	// ask for, but not nothing.
	aheadFaults = 8
	aheadParts  = 64
	// aheadGap is how many pages that nobody asked for are read for two runs to be one.
	aheadGap   = 8
	aheadPages = 4096 // are read ahead at a time, at most
)

// wanted tells, before each part of what is read in order, whether to read it ahead.
func (a *aheadOf) wanted() bool {
	if a.file == nil {
		return false
	}
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return false
	}
	if before := a.faults.Swap(u.Majflt); u.Majflt-before >= aheadFaults {
		a.parts.Store(aheadParts)
	}
	return a.parts.Load() > 0 && a.parts.Add(-1) >= 0
}

// ahead asks for the pages that hold a bucket's keys from first to last. It is a
// hint: what goes wrong shows when the rows are read.
func (a *aheadOf) ahead(tx *tx, bucket, first, last []byte) {
	root := uint64(tx.Bucket(bucket).Root())
	if root == 0 { // the bucket lies within its parent
		return
	}
	size := int64(tx.DB().Info().PageSize)
	p := pageReader{file: a.file, size: size}
	pages := p.leaves(root, first, last)
	slices.Sort(pages)
	for len(pages) > 0 {
		n := 1
		for n < len(pages) && pages[n] <= pages[n-1]+aheadGap {
			n++
		}
		unix.Fadvise(int(a.file.Fd()), int64(pages[0])*size, int64(pages[n-1]-pages[0]+1)*size, unix.FADV_WILLNEED)
		pages = pages[n:]
	}
}

// rows is ahead for rows of messages, whose UIDs are in order.
func (a *aheadOf) rows(tx *tx, bucket []byte, id AccountID, folder FolderID, first, last UID) {
	a.ahead(tx, bucket, messageKey(id, folder, first), messageKey(id, folder, last))
}

// bodies is ahead for what lies with the bodies of messages. They are in order in
// the main; where they are not, nothing is read ahead.
func (a *aheadOf) bodies(tx *tx, bucket []byte, id AccountID, folder FolderID, first, last UID) {
	body := func(uid UID) BodyID {
		k := messageKey(id, folder, uid)
		m, err := parseRow(k, tx.Bucket(bFacts).Get(k))
		if err != nil {
			return 0
		}
		return m.Body
	}
	from, to := body(first), body(last)
	if from != 0 && from <= to && to-from < BodyID(8*(last-first+1)) {
		a.ahead(tx, bucket, be64(uint64(from)), be64(uint64(to)))
	}
}

// pageReader finds leaves by way of the pages of branches, which it reads from the
// file: those that a transaction sees do not change while it is open.
type pageReader struct {
	file *os.File
	size int64 // of a page
}

// The layout of a page in bbolt: its header is its number u64, flags u16, count u16,
// overflow u32; a branch has for each child where its key lies u32, the key's length
// u32, the child's number u64. All in the order of the machine.
const (
	pageHeader    = 16
	branchElement = 16
	branchFlag    = 1
)

// leaves lists the leaves with keys from first to last; nil when it can't. All leaves
// are equally deep.
func (p pageReader) leaves(root uint64, first, last []byte) []uint64 {
	level := []uint64{root}
	for range 16 {
		var below []uint64
		for _, page := range level {
			b := p.read(page, 1)
			if b == nil || binary.NativeEndian.Uint16(b[8:])&branchFlag == 0 {
				if page != level[0] {
					return nil
				}
				return level
			}
			if below = p.children(below, page, b, first, last); len(below) == 0 || len(below) > aheadPages {
				return nil
			}
		}
		level = below
	}
	return nil
}

func (p pageReader) read(page uint64, n int64) []byte {
	b := make([]byte, n*p.size)
	if _, err := p.file.ReadAt(b, int64(page)*p.size); err != nil {
		return nil
	}
	return b
}

// children appends those of a branch that have keys from first to last.
func (p pageReader) children(out []uint64, page uint64, b, first, last []byte) []uint64 {
	ne := binary.NativeEndian
	if more := int64(ne.Uint32(b[12:])); 0 < more && more < aheadPages {
		if b = p.read(page, 1+more); b == nil {
			return nil
		}
	}
	for i := range int(ne.Uint16(b[10:])) {
		at := pageHeader + i*branchElement
		if at+branchElement > len(b) {
			return nil
		}
		start := at + int(ne.Uint32(b[at:]))
		end := start + int(ne.Uint32(b[at+4:]))
		if start > len(b) || end > len(b) || start > end {
			return nil
		}
		key := b[start:end] // the child's keys begin with it
		switch {
		case len(out) > 0 && bytes.Compare(key, last) > 0:
			return out
		case bytes.Compare(key, first) <= 0:
			out = append(out[:0], ne.Uint64(b[at+8:])) // those before have lesser keys only
		default:
			out = append(out, ne.Uint64(b[at+8:]))
		}
	}
	return out
}
