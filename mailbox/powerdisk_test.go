package mailbox

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
)

// disk is what a file system holds of one directory, as strictly as POSIX allows:
// a write is on the disk, by sectors of 512 bytes in any order, when the file was
// synced, or by chance; a name is there or gone when its directory was synced, or
// by chance. A file that is moved to another directory has its name there when that
// one was synced, and loses the old one when the other was, or both by chance: it may
// be in two directories after a power cut, or in none. The disk is fed with the system
// calls of a process, as strace records them (powertrace_test.go).
type disk struct {
	path string // of the root, as the process says
	root *inode
	fds  map[int]*openFD
	gone map[string]int // files that were removed, by the ends of their names

	sync   func(*inode) bool // whether a sync of it counts
	note   func(string)      // what the process says on its standard output
	before func(*inode)      // called when a sync begins
}

type openFD struct {
	node *inode
	pos  int64
}

type inode struct {
	dir  bool
	name string // of the first link, for messages and for choosing
	path string // the same, from the root

	stable []byte // of a file
	size   int64  // as the process sees it
	writes []*diskWrite

	links map[string]*inode // of a directory, as it is on the disk
	now   map[string]*inode // and as the process sees it
	names []*diskName
}

// diskWrite is a change of a file that no sync has made durable yet.
type diskWrite struct {
	off  int64
	data []byte // nil: the file gets the length off
	done bool
}

// diskName is a change of a directory that no sync has made durable yet.
type diskName struct {
	remove, add string // either may be empty
	node        *inode
}

func newDisk(path string) *disk {
	return &disk{
		path: path, root: newDir("."), fds: make(map[int]*openFD), gone: make(map[string]int),
		sync: func(*inode) bool { return true }, note: func(string) {}, before: func(*inode) {},
	}
}

func newDir(name string) *inode {
	return &inode{dir: true, name: name, path: name, links: make(map[string]*inode), now: make(map[string]*inode)}
}

// sectorSize is what a disk writes whole or not at all.
const sectorSize = 512

func (w *diskWrite) apply(b []byte, keep func() bool) []byte {
	if w.data == nil {
		if !keep() {
			return b
		}
		return resize(b, w.off)
	}
	for at := int64(0); at < int64(len(w.data)); {
		n := min(int64(len(w.data))-at, sectorSize-(w.off+at)%sectorSize)
		if keep() {
			if end := w.off + at + n; end > int64(len(b)) {
				b = resize(b, end)
			}
			copy(b[w.off+at:], w.data[at:at+n])
		}
		at += n
	}
	return b
}

func resize(b []byte, n int64) []byte {
	if n <= int64(len(b)) {
		clear(b[n:])
		return b[:n]
	}
	return append(b, make([]byte, n-int64(len(b)))...)
}

func (d *diskName) apply(links map[string]*inode) {
	delete(links, d.remove)
	if d.add != "" {
		links[d.add] = d.node
	}
}

// load makes a directory hold what one of the file system does, all of it synced.
func (n *inode) load(path string) error {
	all, err := os.ReadDir(path)
	for _, e := range all {
		child, below := &inode{name: e.Name()}, filepath.Join(path, e.Name())
		if e.IsDir() {
			child = newDir(e.Name())
		}
		child.path = filepath.Join(n.path, e.Name())
		if e.IsDir() {
			err = errors.Join(err, child.load(below))
		} else {
			b, bad := os.ReadFile(below)
			child.stable, child.size = b, int64(len(b))
			err = errors.Join(err, bad)
		}
		n.links[e.Name()], n.now[e.Name()] = child, child
	}
	return err
}

func always() bool { return true }

// cut writes into dir what is left after a power cut now; keep chooses for each
// sector and name that was not synced.
func (d *disk) cut(dir string, keep func() bool) error { return d.root.cut(dir, keep) }

func (n *inode) cut(path string, keep func() bool) error {
	if !n.dir {
		b := bytes.Clone(n.stable)
		for _, w := range n.writes {
			b = w.apply(b, keep)
		}
		return writeSparse(path, b)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	links := make(map[string]*inode)
	for name, node := range n.links {
		links[name] = node
	}
	for _, c := range n.names {
		if keep() {
			c.apply(links)
		}
	}
	for name, node := range links {
		if err := node.cut(filepath.Join(path, name), keep); err != nil {
			return err
		}
	}
	return nil
}

func writeSparse(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	zero := make([]byte, 64<<10)
	for at := 0; at < len(b); at += len(zero) {
		part := b[at:min(len(b), at+len(zero))]
		if !bytes.Equal(part, zero[:len(part)]) {
			if _, err := f.WriteAt(part, int64(at)); err != nil {
				return err
			}
		}
	}
	return f.Truncate(int64(len(b)))
}
