package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// scanned is a record as it was found in a pack, whatever roost.db says.
type scanned struct {
	pack packNumber
	off  int64
	size int64 // of preamble and head
	body int64
	head *recordHead
}

func (r *scanned) row() bodyRow {
	return bodyRow{pack: r.pack, offset: r.off, head: r.size, stored: r.body, raw: r.head.raw}
}

// scanWindow is how much of a pack is read at once to find the next record behind
// a damage.
const scanWindow = 1 << 20

// scanPack calls f with every record in a pack whose preamble and head are whole,
// in the order in which they lie there. It returns where the last of them ends.
// Bodies are not read. Behind damaged bytes it looks for the next record.
func scanPack(ctx context.Context, f *os.File, n packNumber, found func(scanned) error) (end int64, err error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	for off := int64(0); off+preambleLength <= st.Size(); {
		if err := ctx.Err(); err != nil {
			return end, err
		}
		r, err := recordAt(f, n, off, st.Size())
		if errors.Is(err, ErrCorrupt) {
			if off, err = nextRecord(f, off+1, st.Size()); off < 0 {
				return end, err
			}
			continue
		}
		if err != nil {
			return end, err
		}
		if err := found(r); err != nil {
			return end, err
		}
		off += r.size + r.body
		end = off
	}
	return end, nil
}

// recordAt reads preamble and head. ErrCorrupt also when the record runs over the
// end of the file.
func recordAt(f io.ReaderAt, n packNumber, off, size int64) (scanned, error) {
	r := scanned{pack: n, off: off}
	b := make([]byte, min(4<<10, size-off))
	if err := readFullAt(f, b, off); err != nil {
		return r, err
	}
	head, body, err := parsePreamble(b)
	if err != nil {
		return r, err
	}
	r.size, r.body = preambleLength+head, body
	if r.size+body > size-off {
		return r, fmt.Errorf("record at %d: %w", off, ErrCorrupt)
	}
	if r.size > int64(len(b)) {
		b = make([]byte, r.size)
		if err := readFullAt(f, b, off); err != nil {
			return r, err
		}
	}
	r.head, err = parseHead(b)
	return r, err
}

// readFullAt takes a place that the disk does not give back for damaged.
func readFullAt(f io.ReaderAt, b []byte, off int64) error {
	if _, err := f.ReadAt(b, off); err != nil {
		return fmt.Errorf("read at %d: %w (%w)", off, err, ErrCorrupt)
	}
	return nil
}

// nextRecord finds where a record may begin, from off on; -1 when nowhere.
func nextRecord(f io.ReaderAt, off, size int64) (int64, error) {
	buf := make([]byte, scanWindow+preambleLength)
	for off < size {
		b := buf[:min(int64(len(buf)), size-off)]
		if err := readFullAt(f, b, off); err != nil {
			off += 4 << 10 // a bad sector: go on behind it, in smaller steps
			continue
		}
		for i := 0; ; i++ {
			k := bytes.Index(b[i:], []byte(recordMagic[:3]))
			if k < 0 {
				break
			}
			i += k
			if _, _, err := parsePreamble(b[i:]); err == nil {
				return off + int64(i), nil
			}
		}
		off += scanWindow
	}
	return -1, nil
}
