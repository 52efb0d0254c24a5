package machine

import (
	"bufio"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Program is a running program. The zero value is one that is not known.
type Program struct {
	Name string
	PID  int
	Unit string // of systemd, such as "exim4.service"; may be empty
}

// String is the name and the number of the process.
func (p Program) String() string {
	if p.PID == 0 {
		return "another program"
	}
	return fmt.Sprintf("%s (process %d)", p.Name, p.PID)
}

// Holder finds the program that listens on a TCP port, by what /proc says: os.DirFS of
// it. Root is told of every program, others of their own, and without an answer it is
// the zero Program.
func Holder(proc fs.FS, port uint16) Program {
	sockets := make(map[string]bool)
	for _, name := range []string{"self/net/tcp", "self/net/tcp6"} {
		listeners(proc, name, port, sockets)
	}
	if len(sockets) == 0 {
		return Program{}
	}
	processes, _ := fs.ReadDir(proc, ".")
	for _, p := range processes {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		files, _ := fs.ReadDir(proc, path.Join(p.Name(), "fd"))
		for _, f := range files {
			target, err := fs.ReadLink(proc, path.Join(p.Name(), "fd", f.Name()))
			if err == nil && sockets[target] {
				return describe(proc, pid)
			}
		}
	}
	return Program{}
}

// listeners collects the sockets that listen on port, as links to them read.
func listeners(proc fs.FS, name string, port uint16, sockets map[string]bool) {
	const address, state, inode, listen = 1, 3, 9, "0A"
	f, err := proc.Open(name)
	if err != nil {
		return
	}
	defer f.Close()
	for scan := bufio.NewScanner(f); scan.Scan(); {
		fields := strings.Fields(scan.Text())
		if len(fields) <= inode || fields[state] != listen {
			continue
		}
		_, hex, _ := strings.Cut(fields[address], ":")
		if n, err := strconv.ParseUint(hex, 16, 16); err == nil && uint16(n) == port {
			sockets["socket:["+fields[inode]+"]"] = true
		}
	}
}

func describe(proc fs.FS, pid int) Program {
	dir := strconv.Itoa(pid)
	p := Program{Name: "a program", PID: pid}
	if name, err := fs.ReadFile(proc, path.Join(dir, "comm")); err == nil {
		p.Name = strings.TrimSpace(string(name))
	}
	groups, _ := fs.ReadFile(proc, path.Join(dir, "cgroup"))
	for part := range strings.SplitSeq(strings.TrimSpace(string(groups)), "/") {
		if strings.HasSuffix(part, ".service") {
			p.Unit = part
		}
	}
	return p
}
