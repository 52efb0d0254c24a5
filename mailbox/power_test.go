package mailbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A power cut takes what was not synced, and that not in order. A store works in a
// process of its own while strace records what it writes, truncates, renames,
// removes and syncs. Then the power is cut at every sync, with nothing of what
// was not synced yet, and with random sectors and names of it. Each time the
// store opens, Check finds nothing, everything that was acknowledged until then is
// there to the letter, and nothing is there twice. ROOST_LONG=1 makes more of all.
func TestPowerCuts(t *testing.T) {
	oneGoroutine(t)
	operations, random := 6, 1
	if os.Getenv("ROOST_LONG") == "1" {
		operations, random = 60, 4
	}
	root, log := recordPower(t, operations)

	cuts, seen := 0, 0
	p := newPower(t, root)
	p.disk.before = func(node *inode) {
		if seen++; t.Failed() {
			return
		}
		n := random
		if len(p.want) == 0 {
			n = 15 // while the data directory is made, there is little to open, and much to go wrong
		}
		for i := range n + 1 {
			cuts++
			seed := uint64(cuts)
			if err := p.cut(seed, i > 0).verify(p.want); err != nil {
				t.Errorf("cut %d, before sync %d of %s: %v", cuts, seen, node.name, err)
				return
			}
		}
	}
	p.replay(log)
	if seen < operations {
		t.Errorf("the store made %d syncs in %d operations of each worker: nothing is shown", seen, operations)
	}
	if p.disk.gone[".pack"] == 0 {
		t.Error("no pack was rewritten and removed: the packs are too large for this work")
	}
	t.Logf("%d cuts at %d syncs; %d packs were removed", cuts, seen, p.disk.gone[".pack"])

	// The same must find losses where syncs are left out: of any one kind.
	for _, left := range []struct {
		out  string
		what func(*inode) bool
	}{
		{"of packs", func(n *inode) bool { return strings.HasSuffix(n.name, ".pack") }},
		{"of roost.db", func(n *inode) bool { return strings.HasPrefix(n.name, dbName) }},
		{"of the directory of packs", func(n *inode) bool { return n.name == "packs" }},
		{"of the data directory", func(n *inode) bool { return n.name == "data" }},
		{"of its parent", func(n *inode) bool { return n.name == "." }},
	} {
		t.Run("without syncs "+left.out, func(t *testing.T) {
			p := newPower(t, root)
			p.disk.sync = func(n *inode) bool { return !left.what(n) }
			var lost error
			seen, cuts := 0, 0
			p.disk.before = func(*inode) {
				if seen++; lost != nil || seen%5 != 0 || cuts == 40 {
					return
				}
				cuts++
				lost = p.cut(uint64(seen), cuts%2 == 0).verifyElsewhere(p.want)
			}
			p.replay(log)
			if lost == nil {
				t.Errorf("%d cuts, and nothing was lost: the test would not see a store that leaves out these syncs", cuts)
			}
			t.Logf("after %d cuts: %.200v", cuts, lost)
		})
	}
}

// recordPower lets a store work below a directory, and returns that and what
// strace saw.
func recordPower(t *testing.T, operations int) (root, log string) {
	t.Helper()
	root = t.TempDir()
	return root, recordPowerOf(t, "ROOST_TEST_POWER="+filepath.Join(root, "data"), "ROOST_TEST_POWER_OPERATIONS="+strconv.Itoa(operations))
}

// recordPowerOf runs the test binary with an environment, see TestMain, and
// returns what strace saw.
func recordPowerOf(t *testing.T, env ...string) (log string) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("strace is not installed")
		}
		t.Skip("strace is not installed")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log = filepath.Join(t.TempDir(), "strace")
	cmd := exec.Command("strace", "-f", "--seccomp-bpf", "-qq", "-xx", "-s", strconv.Itoa(64<<20), "-o", log, "-e",
		"trace=openat,openat2,creat,open,close,dup,dup3,write,writev,pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,fdatasync,"+
			"sync_file_range,renameat,renameat2,rename,unlinkat,unlink,mkdirat,mkdir,rmdir,linkat,link,symlinkat,lseek,sendfile,splice,copy_file_range",
		exe)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(out)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the store at work: %v\n%s", err, said)
	}
	return log
}

// power follows a recorded process: the disk, and what was acknowledged.
type power struct {
	t    *testing.T
	disk *disk
	want map[int]powerWant // by worker
	dir  string
}

// powerWant is what a worker's accounts may hold: what they held after the last
// operation that was acknowledged, or after the one that was begun then.
type powerWant struct{ Acknowledged, Begun string }

func newPower(t *testing.T, root string) *power {
	p := &power{t: t, disk: newDisk(root), want: make(map[int]powerWant), dir: filepath.Join(t.TempDir(), "cut")}
	p.disk.note = func(line string) {
		var n int
		verb, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		number, state, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatalf("the store at work said %q", line)
		}
		w, known := p.want[n]
		switch {
		case verb == "begin" && known:
			w.Begun = state
		case verb == "begin":
			w = powerWant{state, state}
		case verb == "done":
			w.Acknowledged = w.Begun
		}
		p.want[n] = w
	}
	return p
}

func (p *power) replay(log string) {
	p.t.Helper()
	replayFile(p.t, p.disk, log)
}

func replayFile(t *testing.T, d *disk, log string) {
	t.Helper()
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := d.replay(f); err != nil {
		t.Fatal(err)
	}
}

type powerCut struct{ dir string }

// cut writes what a power cut leaves: nothing that was not synced, or a random
// part of it.
func (p *power) cut(seed uint64, random bool) powerCut {
	p.t.Helper()
	if err := os.RemoveAll(p.dir); err != nil {
		p.t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	likely := []float64{0.1, 0.5, 0.9}[rng.IntN(3)]
	keep := func() bool { return random && rng.Float64() < likely }
	if err := p.disk.cut(p.dir, keep); err != nil {
		p.t.Fatal(err)
	}
	return powerCut{filepath.Join(p.dir, "data")}
}

// verify opens what is left and compares.
func (c powerCut) verify(want map[int]powerWant) error {
	s, err := Open(c.dir, powerOptions)
	if err != nil {
		return fmt.Errorf("it does not open: %w", err)
	}
	err = verifyPower(s, want)
	return errors.Join(err, s.Close())
}

func verifyPower(s *Store, want map[int]powerWant) error {
	ctx := context.Background()
	for n, w := range want {
		have, err := powerHeld(s, n)
		if err != nil {
			return err
		}
		if got := have.String(); got != w.Acknowledged && got != w.Begun {
			return fmt.Errorf("worker %d has\n%s\nand was told that it has\n%s\nor, if the last operation was done,\n%s", n, got, w.Acknowledged, w.Begun)
		}
	}
	in := Intake{Body: s.NewSpool(0), Queue: []Outgoing{{Domain: "example.net", Held: true}}} // of no worker
	defer in.Body.Close()
	io.WriteString(in.Body, powerText("99.1"))
	if _, err := s.Accept(ctx, in); err != nil {
		return fmt.Errorf("it takes no mail: %w", err)
	}
	r, err := s.Check(ctx)
	return errors.Join(err, r.Err())
}

// verifyElsewhere does it in another process: what a disk that lies leaves of
// roost.db may end the one that maps it.
func (c powerCut) verifyElsewhere(want map[int]powerWant) error {
	b, err := json.Marshal(want)
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "ROOST_TEST_POWER_VERIFY="+c.dir)
	cmd.Stdin = strings.NewReader(string(b))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// powerChild is the process whose power is cut.
func powerChild(dir string) error {
	n, err := strconv.Atoi(os.Getenv("ROOST_TEST_POWER_OPERATIONS"))
	if err != nil {
		return err
	}
	return powerWork(dir, n)
}

func powerVerifyChild(dir string) error {
	var want map[int]powerWant
	if err := json.NewDecoder(os.Stdin).Decode(&want); err != nil {
		return err
	}
	return powerCut{dir}.verify(want)
}
