package mailbox

import (
	"io"
	"os"
)

// spoolMemory is how much of a message a spool keeps in memory.
const spoolMemory = 256 << 10

// Spool holds a message while it comes in: in memory at first, then in a file
// that has no name, so that nothing remains of it whatever happens.
type Spool struct {
	id    BodyID
	used  bool
	dir   string
	limit int64
	mem   []byte
	file  *os.File
	size  int64
}

// NewSpool returns an empty spool that takes up to limit bytes; 0 is the
// store's MaxMessage and 1 MB more, for the header fields that a server adds.
// The caller closes it.
func (s *Store) NewSpool(limit int64) *Spool {
	if limit == 0 {
		limit = s.opts.MaxMessage + 1<<20
	}
	return &Spool{id: BodyID(s.bodyID.Add(1)), dir: s.dir, limit: limit}
}

// ID is the number that the message will have, for a trace field in it. Only
// the first Accept of a spool gives the message this number.
func (p *Spool) ID() BodyID { return p.id }

// Write appends. Over the limit it is ErrTooBig, and nothing of p is kept.
func (p *Spool) Write(b []byte) (int, error) {
	if p.size+int64(len(b)) > p.limit {
		return 0, faultf(ErrTooBig, "the message is larger than the %d bytes that are taken here", p.limit)
	}
	if p.file == nil && len(p.mem)+len(b) > spoolMemory {
		if err := p.spill(); err != nil {
			return 0, err
		}
	}
	if p.file == nil {
		p.mem = append(p.mem, b...)
		p.size += int64(len(b))
		return len(b), nil
	}
	n, err := p.file.WriteAt(b, p.size)
	p.size += int64(n)
	return n, err
}

func (p *Spool) spill() error {
	f, err := os.CreateTemp(p.dir, "spool-")
	if err != nil {
		return err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return err
	}
	if _, err := f.Write(p.mem); err != nil {
		f.Close()
		return err
	}
	p.file, p.mem = f, nil
	return nil
}

// ReadAt reads what was written, as io.ReaderAt.
func (p *Spool) ReadAt(b []byte, off int64) (int, error) {
	if p.file != nil {
		return p.file.ReadAt(b, off)
	}
	if off < 0 || off >= int64(len(p.mem)) {
		return 0, io.EOF
	}
	n := copy(b, p.mem[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Size is the number of bytes written.
func (p *Spool) Size() int64 { return p.size }

// Reader reads the spool from its start.
func (p *Spool) Reader() io.Reader { return io.NewSectionReader(p, 0, p.size) }

// Close gives the spool's memory and file back. It may be called twice.
func (p *Spool) Close() error {
	p.mem, p.size = nil, 0
	if p.file == nil {
		return nil
	}
	f := p.file
	p.file = nil
	return f.Close()
}
