package mailbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What a power cut leaves of a file that was moved or linked to another directory, by
// what was synced since and what of the rest is on the disk by chance.
func TestPowerDiskKnowsTwoDirectories(t *testing.T) {
	before := []string{
		`mkdirat(AT_FDCWD, "/d/a", 0700) = 0`,
		`mkdirat(AT_FDCWD, "/d/b", 0700) = 0`,
		`openat(AT_FDCWD, "/d", O_RDONLY) = 3`,
		`openat(AT_FDCWD, "/d/a", O_RDONLY) = 4`,
		`openat(4, "../b", O_RDONLY) = -1 ENOENT`,
		`openat(3, "b", O_RDONLY) = 5`,
		`openat(4, "f", O_RDWR|O_CREAT, 0600) = 6`,
		`write(6, "text", 4) = 4`,
		`fsync(6) = 0`, `fsync(4) = 0`, `fsync(3) = 0`,
	}
	move, link := `renameat(AT_FDCWD, "/d/a/f", AT_FDCWD, "/d/b/g") = 0`, `linkat(AT_FDCWD, "/d/a/f", 5, "g", 0) = 0`
	syncA, syncB := `fsync(4) = 0`, `fsync(5) = 0`
	for _, c := range []struct {
		name  string
		calls []string
		keep  func(n int) bool // what of the unsynced names, in the order of the directories
		want  string
	}{
		{"moved, nothing kept", []string{move}, func(int) bool { return false }, "a/f"},
		{"moved, all kept", []string{move}, func(int) bool { return true }, "b/g"},
		{"moved, only gone from the first", []string{move}, func(n int) bool { return n == 0 }, ""},
		{"moved, only come to the second", []string{move}, func(n int) bool { return n == 1 }, "a/f b/g"},
		{"moved, first synced", []string{move, syncA}, func(int) bool { return false }, ""},
		{"moved, second synced", []string{move, syncB}, func(int) bool { return false }, "a/f b/g"},
		{"moved, both synced", []string{move, syncA, syncB}, func(int) bool { return false }, "b/g"},
		{"linked, nothing kept", []string{link}, func(int) bool { return false }, "a/f"},
		{"linked, second synced", []string{link, syncB}, func(int) bool { return false }, "a/f b/g"},
		{"linked, synced, removed", []string{link, syncB, `unlinkat(4, "f", 0) = 0`}, func(int) bool { return true }, "b/g"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDisk("/d")
			if err := d.replay(strings.NewReader(straced(slices.Concat(before, c.calls)))); err != nil {
				t.Fatal(err)
			}
			// Directories come in any order in cut, so each is cut alone.
			n, dir := 0, t.TempDir()
			for _, name := range []string{"a", "b"} {
				err := d.root.now[name].cut(filepath.Join(dir, name), func() bool { n++; return c.keep(n - 1) })
				if err != nil {
					t.Fatal(err)
				}
				if len(d.root.now[name].names) == 0 {
					n++
				}
			}
			var got []string
			files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range files {
				if b, err := os.ReadFile(path); err != nil || string(b) != "text" {
					t.Errorf("%s has %q, %v", path, b, err)
				}
				name, _ := filepath.Rel(dir, path)
				got = append(got, name)
			}
			if have := strings.Join(got, " "); have != c.want {
				t.Errorf("there is %q, want %q", have, c.want)
			}
		})
	}
}

// straced writes calls as strace -xx does.
func straced(calls []string) string {
	var b strings.Builder
	for _, call := range calls {
		b.WriteString("7 ")
		for i, part := range strings.Split(call, `"`) {
			if i%2 == 0 {
				b.WriteString(part)
				continue
			}
			b.WriteByte('"')
			for _, c := range []byte(part) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
			b.WriteByte('"')
		}
		b.WriteByte('\n')
	}
	return b.String()
}
