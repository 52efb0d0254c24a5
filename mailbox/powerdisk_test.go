package mailbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// disk is what a file system holds of one directory, as strictly as POSIX allows:
// a write is on the disk, by sectors of 512 bytes in any order, when the file was
// synced, or by chance; a name is there or gone when its directory was synced, or
// by chance. It is fed with the system calls of a process, as strace records them.
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
	return &inode{dir: true, name: name, links: make(map[string]*inode), now: make(map[string]*inode)}
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

// syscallRecord is one system call, from its entry to its return.
type syscallRecord struct {
	name string
	args []string
	ret  int64

	write   *diskWrite
	covered map[*diskWrite]bool // by a sync
	names   map[*diskName]bool  // the same of a directory
	node    *inode
}

// replay feeds the disk with what strace wrote, call by call.
func (d *disk) replay(log io.Reader) error {
	in := bufio.NewReaderSize(log, 1<<20)
	open := make(map[string]*syscallRecord) // by thread
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := d.line(strings.TrimSuffix(line, "\n"), open); err != nil {
			return fmt.Errorf("%.300s: %w", line, err)
		}
	}
}

func (d *disk) line(line string, open map[string]*syscallRecord) error {
	pid, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimLeft(rest, " ")
	if strings.HasPrefix(rest, "---") || strings.HasPrefix(rest, "+++") || strings.HasSuffix(rest, "<detached ...>") { // a thread that ended
		return nil
	}
	var c *syscallRecord
	if strings.HasPrefix(rest, "<... ") {
		if c = open[pid]; c == nil {
			return fmt.Errorf("returns from a call that was not seen")
		}
		delete(open, pid)
	} else {
		name, args, ok := strings.Cut(rest, "(")
		if !ok {
			return fmt.Errorf("is no call")
		}
		c = &syscallRecord{name: name}
		args, unfinished := strings.CutSuffix(args, " <unfinished ...>")
		if !unfinished {
			args, _, _ = cutLast(args, " = ")
			args = strings.TrimRight(args, " )")
		}
		c.args = strings.Split(args, ", ")
		if err := d.enter(c); err != nil {
			return err
		}
		if unfinished {
			open[pid] = c
			return nil
		}
	}
	_, ret, ok := cutLast(rest, " = ")
	if !ok {
		return fmt.Errorf("has no result")
	}
	c.ret = -1
	if n, err := strconv.ParseInt(strings.Fields(ret)[0], 0, 64); err == nil {
		c.ret = n
	}
	return d.leave(c)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func (c *syscallRecord) fd() int {
	n, err := strconv.Atoi(c.args[0])
	if err != nil {
		return -1
	}
	return n
}

// unhex decodes a string as strace -xx prints it.
func unhex(s string) ([]byte, error) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return nil, fmt.Errorf("a string is cut off")
	}
	s = s[1 : len(s)-1]
	b := make([]byte, 0, len(s)/4)
	for ; len(s) >= 4; s = s[4:] {
		b = append(b, nibble(s[2])<<4|nibble(s[3]))
	}
	return b, nil
}

func nibble(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

func (d *disk) enter(c *syscallRecord) error {
	f := d.fds[c.fd()]
	switch c.name {
	case "close":
		delete(d.fds, c.fd())
		return nil
	case "write":
		if f == nil {
			if c.fd() == 1 {
				b, err := unhex(c.args[1])
				d.note(string(b))
				return err
			}
			return nil
		}
		b, err := unhex(c.args[1])
		c.begin(f, &diskWrite{off: f.pos, data: b})
		return err
	case "pwrite64":
		if f == nil {
			return nil
		}
		b, err := unhex(c.args[1])
		if err != nil {
			return err
		}
		off, err := strconv.ParseInt(c.args[3], 0, 64)
		c.begin(f, &diskWrite{off: off, data: b})
		return err
	case "ftruncate", "fallocate":
		if f == nil {
			return nil
		}
		n, err := strconv.ParseInt(c.args[len(c.args)-1], 0, 64)
		c.begin(f, &diskWrite{off: n})
		return err
	case "fsync", "fdatasync":
		if f == nil {
			return nil
		}
		d.before(f.node)
		c.node, c.names, c.covered = f.node, make(map[*diskName]bool), make(map[*diskWrite]bool)
		for _, n := range f.node.names {
			c.names[n] = true
		}
		for _, w := range f.node.writes {
			c.covered[w] = w.done
		}
		return nil
	case "openat", "mkdirat", "unlinkat", "renameat", "lseek":
		return nil
	}
	if f != nil || c.name == "rename" || c.name == "renameat2" || c.name == "linkat" {
		return fmt.Errorf("the disk does not know this call")
	}
	return nil
}

func (c *syscallRecord) begin(f *openFD, w *diskWrite) {
	c.node, c.write = f.node, w
	f.node.writes = append(f.node.writes, w)
}

func (d *disk) leave(c *syscallRecord) error {
	switch {
	case c.write != nil:
		if c.ret < 0 || c.write.data != nil && c.ret != int64(len(c.write.data)) {
			return fmt.Errorf("the process met an error that the disk does not know")
		}
		c.write.done = true
		end := c.write.off + int64(len(c.write.data))
		if c.write.data == nil && c.name == "ftruncate" {
			c.node.size = end
		}
		c.node.size = max(c.node.size, end)
		if f := d.fds[c.fd()]; c.name == "write" && f != nil {
			f.pos = end
		}
	case c.covered != nil:
		if c.ret == 0 && d.sync(c.node) {
			c.node.settle(c.covered, c.names)
		}
	case c.name == "lseek":
		if f := d.fds[c.fd()]; f != nil && c.ret >= 0 {
			f.pos = c.ret
		}
	case c.ret >= 0:
		return d.name(c)
	}
	return nil
}

// settle makes durable what a sync covered.
func (n *inode) settle(covered map[*diskWrite]bool, names map[*diskName]bool) {
	var left []*diskWrite
	for _, w := range n.writes {
		if covered[w] {
			n.stable = w.apply(n.stable, always)
		} else {
			left = append(left, w)
		}
	}
	n.writes = left
	var unsynced []*diskName
	for _, c := range n.names {
		if names[c] {
			c.apply(n.links)
		} else {
			unsynced = append(unsynced, c)
		}
	}
	n.names = unsynced
}

// name applies a call that makes, removes or opens a name.
func (d *disk) name(c *syscallRecord) error {
	if c.name != "openat" && c.name != "mkdirat" && c.name != "unlinkat" && c.name != "renameat" {
		return nil
	}
	dir, base, err := d.find(c.args[0], c.args[1])
	if err != nil || dir == nil && base != "." {
		return err
	}
	change := func(n *diskName) {
		n.apply(dir.now)
		dir.names = append(dir.names, n)
	}
	switch c.name {
	case "openat":
		node := d.root
		if dir != nil {
			node = dir.now[base]
		}
		if node == nil {
			if !strings.Contains(c.args[2], "O_CREAT") {
				return fmt.Errorf("opens a file that the disk does not know")
			}
			node = &inode{name: base}
			change(&diskName{add: base, node: node})
		}
		if strings.Contains(c.args[2], "O_TRUNC") && node.size > 0 {
			node.writes = append(node.writes, &diskWrite{done: true})
			node.size = 0
		}
		d.fds[int(c.ret)] = &openFD{node: node}
	case "mkdirat":
		change(&diskName{add: base, node: newDir(base)})
	case "unlinkat":
		change(&diskName{remove: base})
		d.gone[filepath.Ext(base)]++
	case "renameat":
		to, name, err := d.find(c.args[2], c.args[3])
		if err != nil {
			return err
		}
		if to != dir {
			return fmt.Errorf("moves a file to another directory, which the disk does not know")
		}
		change(&diskName{remove: base, add: name, node: dir.now[base]})
	}
	return nil
}

// find returns the directory of a path and the name in it; nil and "." for the
// root, and nil and "" for what is elsewhere.
func (d *disk) find(at, arg string) (dir *inode, base string, err error) {
	b, err := unhex(arg)
	if err != nil {
		return nil, "", err
	}
	path := string(b)
	rel, ok := strings.CutPrefix(path, d.path)
	if !ok || rel != "" && rel[0] != '/' {
		if !filepath.IsAbs(path) && at != "AT_FDCWD" {
			if fd, err := strconv.Atoi(at); err == nil && d.fds[fd] != nil {
				return nil, "", fmt.Errorf("uses a path below an open directory, which the disk does not know")
			}
		}
		return nil, "", nil
	}
	parts := strings.FieldsFunc(rel, func(r rune) bool { return r == '/' })
	if len(parts) == 0 {
		return nil, ".", nil
	}
	dir = d.root
	for _, p := range parts[:len(parts)-1] {
		if dir = dir.now[p]; dir == nil {
			return nil, "", fmt.Errorf("uses a directory that the disk does not know")
		}
	}
	return dir, parts[len(parts)-1], nil
}
