package machine

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// MemoryLimit returns the bytes of memory that this process's control groups allow it,
// as root, os.DirFS("/"), tells; 0 when there is no limit or none can be read. Both
// versions of control groups are read, and a limit set further up counts.
func MemoryLimit(root fs.FS) int64 {
	groups, _ := fs.ReadFile(root, "proc/self/cgroup")
	var limit int64
	for line := range strings.Lines(string(groups)) {
		// hierarchy:controllers:path, where version 2 has 0 and no controllers.
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		mount, files := "", []string(nil)
		switch {
		case fields[0] == "0" && fields[1] == "":
			mount, files = "sys/fs/cgroup", []string{"memory.max", "memory.high"}
		case fields[1] == "memory":
			mount, files = "sys/fs/cgroup/memory", []string{"memory.limit_in_bytes"}
		}
		for _, file := range files {
			// Inside a container the path may be one of the host's; then the top of what is
			// mounted is the container's own group.
			for dir := path.Join("/", fields[2]); ; dir = path.Dir(dir) {
				text, _ := fs.ReadFile(root, path.Join(mount, dir, file))
				n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
				// Version 1 says "no limit" with a number near the highest.
				if err == nil && n > 0 && n < 1<<60 && (limit == 0 || n < limit) {
					limit = n
				}
				if dir == "/" {
					break
				}
			}
		}
	}
	return limit
}
