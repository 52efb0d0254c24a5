package mailbox

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
)

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
	case "openat", "mkdirat", "unlinkat", "renameat", "linkat", "lseek", "copy_file_range":
		return nil
	}
	if f != nil || c.name == "rename" || c.name == "renameat2" {
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
	case c.name == "copy_file_range":
		return d.copied(c)
	case c.name == "lseek":
		if f := d.fds[c.fd()]; f != nil && c.ret >= 0 {
			f.pos = c.ret
		}
	case c.ret >= 0:
		return d.name(c)
	}
	return nil
}

// copied writes what the kernel copied from one file to another.
func (d *disk) copied(c *syscallRecord) error {
	to, err := strconv.Atoi(c.args[2])
	in, out := d.fds[c.fd()], d.fds[to]
	if err != nil || out == nil || c.ret <= 0 {
		return err
	}
	if in == nil {
		return fmt.Errorf("copies from a file that the disk does not know")
	}
	all := bytes.Clone(in.node.stable)
	for _, w := range in.node.writes {
		all = w.apply(all, always)
	}
	data := all[in.pos : in.pos+c.ret]
	out.node.writes = append(out.node.writes, &diskWrite{off: out.pos, data: data, done: true})
	in.pos, out.pos = in.pos+c.ret, out.pos+c.ret
	out.node.size = max(out.node.size, out.pos)
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
	switch c.name {
	case "openat", "mkdirat", "unlinkat", "renameat", "linkat":
	default:
		return nil
	}
	dir, base, err := d.find(c.args[0], c.args[1])
	if err != nil || dir == nil && base != "." {
		return err
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
			node.path = filepath.Join(dir.path, base)
			dir.change(&diskName{add: base, node: node})
		}
		if strings.Contains(c.args[2], "O_TRUNC") && node.size > 0 {
			node.writes = append(node.writes, &diskWrite{done: true})
			node.size = 0
		}
		d.fds[int(c.ret)] = &openFD{node: node}
	case "mkdirat":
		node := newDir(base)
		node.path = filepath.Join(dir.path, base)
		dir.change(&diskName{add: base, node: node})
	case "unlinkat":
		dir.change(&diskName{remove: base})
		d.gone[filepath.Ext(base)]++
	case "renameat", "linkat":
		to, name, err := d.find(c.args[2], c.args[3])
		if err != nil {
			return err
		}
		if to == nil {
			return fmt.Errorf("takes a file off the disk")
		}
		node := dir.now[base]
		switch {
		case c.name == "linkat":
			to.change(&diskName{add: name, node: node})
		case to == dir:
			dir.change(&diskName{remove: base, add: name, node: node})
		default:
			to.change(&diskName{add: name, node: node})
			dir.change(&diskName{remove: base})
		}
	}
	return nil
}

// change changes a directory as the process sees it.
func (n *inode) change(c *diskName) {
	c.apply(n.now)
	n.names = append(n.names, c)
}

// find returns the directory of a path and the name in it; nil and "." for the
// root, and nil and "" for what is elsewhere.
func (d *disk) find(at, arg string) (dir *inode, base string, err error) {
	b, err := unhex(arg)
	if err != nil {
		return nil, "", err
	}
	path, dir := string(b), d.root
	if filepath.IsAbs(path) {
		rel, ok := strings.CutPrefix(path, d.path)
		if !ok || rel != "" && rel[0] != '/' {
			return nil, "", nil
		}
		path = rel
	} else if fd, err := strconv.Atoi(at); err == nil && d.fds[fd] != nil {
		dir = d.fds[fd].node
	} else {
		return nil, "", nil
	}
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if len(parts) == 0 {
		return nil, ".", nil
	}
	for _, p := range parts[:len(parts)-1] {
		if dir = dir.now[p]; dir == nil {
			return nil, "", fmt.Errorf("uses a directory that the disk does not know")
		}
	}
	return dir, parts[len(parts)-1], nil
}
