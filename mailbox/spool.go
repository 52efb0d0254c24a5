package mailbox

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// spoolMemory is how many bytes all spools together keep in memory, beyond the
// one chunk that each is filling.
const spoolMemory = 16 << 20

// spoolTexts is how many bytes of full chunks all spools together keep as they
// came besides, and spoolText how many one keeps: several readers go through a
// message before it is stored, and need not open again what was just sealed.
const (
	spoolTexts = 8 << 20
	spoolText  = 1 << 20
)

// Spool holds a message while it comes in, in chunks as the pack will have them:
// compressed once, and then copied. The chunks stay in memory while all spools
// together have room there; after that they go to a file that has no name, so
// that nothing remains of it whatever happens. It may be read from several
// goroutines, once nobody writes.
type Spool struct {
	s     *Store
	id    BodyID
	used  bool
	limit int64
	size  int64

	held   int64  // length of what is in memory
	tail   []byte // the chunk that is being filled, as it came
	packed []byte // room to compress a chunk into
	chunks []chunk
	offs   []int64  // of those in the file
	mem    [][]byte // stored, the first of them when there is a file
	texts  [][]byte // the first chunks, as they came
	file   *os.File
	filed  int64 // length of what is in the file

	mu   sync.Mutex
	open int // the chunk that is in text
	text []byte
}

// spoolRoom counts what all spools of a store keep in memory.
type spoolRoom struct{ held, texts atomic.Int64 }

func (r *spoolRoom) take(n int64) bool { return take(&r.held, n, spoolMemory) }

func take(held *atomic.Int64, n, most int64) bool {
	if held.Add(n) > most {
		held.Add(-n)
		return false
	}
	return true
}

// NewSpool returns an empty spool that takes up to limit bytes; 0 is the
// store's MaxMessage and 1 MB more, for the header fields that a server adds.
// The caller closes it.
func (s *Store) NewSpool(limit int64) *Spool {
	if limit == 0 {
		limit = s.MaxMessage() + 1<<20
	}
	return &Spool{s: s, id: BodyID(s.bodyID.Add(1)), limit: limit}
}

// ID is the number that the message will have, for a trace field in it. Only
// the first Accept of a spool gives the message this number.
func (p *Spool) ID() BodyID { return p.id }

// Write appends. Over the limit it is ErrTooBig, and nothing of b is kept;
// ErrFull when there is no room on the disk.
func (p *Spool) Write(b []byte) (int, error) {
	if p.size+int64(len(b)) > p.limit {
		return 0, faultf(ErrTooBig, "the message is larger than the %d bytes that are taken here", p.limit)
	}
	n := 0
	for len(b) > 0 {
		room, err := p.room()
		if err != nil {
			return n, err
		}
		k := copy(room, b)
		p.grow(k)
		b, n = b[k:], n+k
	}
	return n, nil
}

// ReadFrom appends all that r gives, as io.ReaderFrom: nothing lies between. Over
// the limit it is ErrTooBig.
func (p *Spool) ReadFrom(r io.Reader) (int64, error) {
	begun := p.size
	for idle := 0; idle < 100; idle++ {
		room, err := p.room()
		if err != nil {
			return p.size - begun, err
		}
		n, err := r.Read(room)
		if p.size+int64(n) > p.limit {
			_, err = p.Write(room[:n])
			return p.size - begun, err
		}
		if n > 0 {
			idle = 0
		}
		p.grow(n)
		if err == io.EOF {
			return p.size - begun, nil
		}
		if err != nil {
			return p.size - begun, err
		}
	}
	return p.size - begun, io.ErrNoProgress
}

// room is the free part of the tail, never empty.
func (p *Spool) room() ([]byte, error) {
	if len(p.tail) == chunkSize {
		if err := p.seal(); err != nil {
			return nil, err
		}
	}
	if len(p.tail) == cap(p.tail) {
		size := min(max(4*len(p.tail), 8<<10), chunkSize)
		if len(p.chunks) > 0 {
			size = chunkSize
		}
		p.tail = append(make([]byte, 0, size), p.tail...)
	}
	return p.tail[len(p.tail):cap(p.tail)], nil
}

// grow takes in what was put into the room.
func (p *Spool) grow(n int) {
	p.tail = p.tail[:len(p.tail)+n]
	p.size += int64(n)
}

// seal puts the full tail behind the other chunks.
func (p *Spool) seal() error {
	c, b := seal(p.s.zip, p.tail, p.packed[:0])
	p.packed = b
	switch {
	case p.file == nil && p.s.spools.take(c.stored):
		p.mem = append(p.mem, bytes.Clone(b))
		p.held += c.stored
	default:
		if p.file == nil {
			if err := p.spill(); err != nil {
				return fmt.Errorf("spool a message: %w", p.s.full(err))
			}
		}
		if _, err := p.file.WriteAt(b, p.filed); err != nil {
			return fmt.Errorf("spool a message: %w", p.s.full(err))
		}
		p.offs = append(p.offs, p.filed)
		p.filed += c.stored
	}
	p.chunks = append(p.chunks, c)
	// What went to the file is opened again, to see that it came back whole.
	if n := len(p.texts); p.file == nil && n+1 == len(p.chunks) && (n+1)*chunkSize <= spoolText && take(&p.s.spools.texts, chunkSize, spoolTexts) {
		p.texts, p.tail = append(p.texts, p.tail), nil
	}
	p.tail = p.tail[:0]
	return nil
}

// stored is the length of the full chunks as they are stored.
func (p *Spool) stored() int64 { return p.held + p.filed }

// spill begins the file. What is in memory stays there.
func (p *Spool) spill() error {
	f, err := os.CreateTemp(p.s.dir, spoolPrefix)
	if err != nil {
		return err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return err
	}
	p.file = f
	return nil
}

const spoolPrefix = "spool-"

// dropSpools removes the names of spools that a process left which died between
// making one and removing its name.
func dropSpools(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, spoolPrefix+"*"))
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return err
}

// record lists all chunks, and returns the stored bytes of the last one, which
// is not sealed until here.
func (p *Spool) record() (chunks []chunk, last []byte) {
	chunks = p.chunks
	if len(p.tail) > 0 {
		var c chunk
		c, last = seal(p.s.zip, p.tail, make([]byte, 0, len(p.tail)/2+128))
		chunks = append(chunks[:len(chunks):len(chunks)], c)
	}
	return chunks, last
}

// storedReader reads the stored bytes of all chunks.
func (p *Spool) storedReader(last []byte) io.Reader {
	var all []io.Reader
	for _, b := range p.mem {
		all = append(all, bytes.NewReader(b))
	}
	if p.file != nil {
		all = append(all, io.NewSectionReader(p.file, 0, p.filed))
	}
	return io.MultiReader(append(all, bytes.NewReader(last))...)
}

// storedChunk returns the stored bytes of one full chunk.
func (p *Spool) storedChunk(i int) ([]byte, error) {
	if i < len(p.mem) {
		return p.mem[i], nil
	}
	b := make([]byte, p.chunks[i].stored)
	_, err := p.file.ReadAt(b, p.offs[i-len(p.mem)])
	return b, err
}

// ReadAt reads what was written, as io.ReaderAt.
func (p *Spool) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read a spool: negative offset")
	}
	n := 0
	for n < len(b) {
		if off >= p.size {
			return n, io.EOF
		}
		k, err := p.readChunk(b[n:], off)
		if err != nil {
			return n, fmt.Errorf("read a spool: %w", err)
		}
		n, off = n+k, off+int64(k)
	}
	return n, nil
}

// readChunk copies from the one chunk that off falls into.
func (p *Spool) readChunk(b []byte, off int64) (int, error) {
	i, at := int(off/chunkSize), int(off%chunkSize)
	if i == len(p.chunks) {
		return copy(b, p.tail[at:]), nil
	}
	if i < len(p.texts) {
		return copy(b, p.texts[i][at:]), nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.text == nil || p.open != i {
		stored, err := p.storedChunk(i)
		if err != nil {
			return 0, err
		}
		if p.text, err = p.chunks[i].open(p.s.unzip, p.text[:0], stored); err != nil {
			p.text = nil
			return 0, err
		}
		p.open = i
	}
	return copy(b, p.text[at:]), nil
}

// Size is the number of bytes written.
func (p *Spool) Size() int64 { return p.size }

// Reader reads the spool from its start.
func (p *Spool) Reader() io.Reader { return io.NewSectionReader(p, 0, p.size) }

// Close gives the spool's memory and file back. It may be called twice.
func (p *Spool) Close() error {
	p.s.spools.held.Add(-p.held)
	p.s.spools.texts.Add(-int64(len(p.texts)) * chunkSize)
	p.mem, p.texts, p.tail, p.packed, p.text, p.chunks, p.offs, p.size, p.held, p.filed = nil, nil, nil, nil, nil, nil, nil, 0, 0, 0
	if p.file == nil {
		return nil
	}
	f := p.file
	p.file = nil
	return f.Close()
}
