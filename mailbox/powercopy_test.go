package mailbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A powerJob is something that is done once, and with a whole store at stake: it is
// cut at every sync, too.
type powerJob struct {
	name string
	// prepare makes what is there before, below root, and tells what look compares with.
	prepare func(t *testing.T, root string) powerWants
	// run does the job, in a process of its own.
	run func(ctx context.Context, root string) error
	// look tells what is wrong after a cut. done: the process had said so.
	look func(ctx context.Context, root string, done bool, want powerWants) error
	// spare are kinds of syncs without which nothing is lost here, and why.
	spare map[string]string
}

// powerWants are what stores may hold.
type powerWants struct {
	Texts       []map[string]int
	Description []byte
}

// At any moment the power may go: a migration goes on at the next start, a backup to
// a directory leaves the former one or the new, a rescue is begun again, a restore
// has not happened or is finished by the next start. The same must find losses when
// syncs are left out, of any one kind.
func TestPowerCutsOfWhatIsDoneOnce(t *testing.T) {
	oneGoroutine(t)
	for _, job := range powerJobs {
		t.Run(job.name, func(t *testing.T) {
			c := &powerCopy{powerJob: job, root: t.TempDir(), before: t.TempDir(), dir: filepath.Join(t.TempDir(), "cut"), rng: rand.New(rand.NewPCG(1, 2))}
			c.want = job.prepare(t, c.root)
			if err := os.CopyFS(c.before, os.DirFS(c.root)); err != nil {
				t.Fatal(err)
			}
			c.log = recordPowerOf(t, powerCopyEnv+"="+job.name+" "+c.root)
			kinds := c.careful(t)
			for _, kind := range kinds {
				t.Run("without syncs of "+strings.ReplaceAll(kind, "/", "|"), func(t *testing.T) { c.careless(t, kind) })
			}
			for kind := range job.spare {
				if !slices.Contains(kinds, kind) {
					t.Errorf("there are no syncs of %s any more", kind)
				}
			}
		})
	}
}

// powerCopy follows the process that did a job.
type powerCopy struct {
	powerJob
	want   powerWants
	root   string // of the process
	before string // what was there
	log    string // of its system calls
	dir    string // for what a cut leaves
	rng    *rand.Rand
	cuts   int
}

// replay follows the process; cut is called before each sync and at the end.
func (c *powerCopy) replay(t *testing.T, sync func(kind string) bool, cut func(d *disk, done bool, what string)) {
	d := newDisk(c.root)
	if err := d.root.load(c.before); err != nil {
		t.Fatal(err)
	}
	done, syncs := false, 0
	d.note = func(line string) { done = done || line == "done\n" }
	d.sync = func(n *inode) bool { return sync(kindOf(n)) }
	d.before = func(n *inode) {
		syncs++
		cut(d, done, fmt.Sprintf("before sync %d, of %s", syncs, kindOf(n)))
	}
	replayFile(t, d, c.log)
	if !done || syncs < 3 {
		t.Fatalf("it made %d syncs, done: %v", syncs, done)
	}
	cut(d, done, "at the end")
}

var kindDigits = regexp.MustCompile(`[0-9][0-9TZ]*`)

// kindOf is the same for files of one purpose.
func kindOf(n *inode) string { return kindDigits.ReplaceAllString(n.path, "N") }

// after writes what a cut leaves: nothing that was not synced, all of it, or a part.
func (c *powerCopy) after(t *testing.T, d *disk, likely float64) string {
	t.Helper()
	c.cuts++
	if err := os.RemoveAll(c.dir); err != nil {
		t.Fatal(err)
	}
	if err := d.cut(c.dir, func() bool { return c.rng.Float64() < likely }); err != nil {
		t.Fatal(err)
	}
	return c.dir
}

// careful shows that nothing is lost, and tells of what there were syncs.
func (c *powerCopy) careful(t *testing.T) (kinds []string) {
	random := 2
	if os.Getenv("ROOST_LONG") == "1" {
		random = 20
	}
	note := func(kind string) bool {
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
		return true
	}
	c.replay(t, note, func(d *disk, done bool, what string) {
		for i := range 2 + random {
			if t.Failed() {
				return
			}
			likely := []float64{0, 1, 0.5, 0.2, 0.8}[i%5]
			if err := c.look(t.Context(), c.after(t, d, likely), done, c.want); err != nil {
				t.Errorf("cut %d, %s: %v", c.cuts, what, err)
			}
		}
	})
	t.Logf("%d cuts; syncs of %q", c.cuts, kinds)
	return kinds
}

// careless shows that something is lost when the syncs of one kind are left out.
func (c *powerCopy) careless(t *testing.T, kind string) {
	var lost error
	cuts := c.cuts
	look := func(d *disk, done bool, what string, likely float64) {
		if lost == nil {
			if err := c.lookElsewhere(t, c.after(t, d, likely), done); err != nil {
				lost = fmt.Errorf("%s: %w", what, err)
			}
		}
	}
	others := func(k string) bool { return k != kind }
	c.replay(t, others, func(d *disk, done bool, what string) { // most is lost at the end
		if what == "at the end" {
			look(d, done, what, 0)
		}
	})
	why, spare := c.spare[kind]
	for pass := range 3 {
		if lost != nil || spare && pass > 0 {
			break
		}
		c.replay(t, others, func(d *disk, done bool, what string) {
			look(d, done, what, []float64{0, 0.5, 0.8}[pass%3])
			pass++
		})
	}
	switch {
	case lost == nil && !spare:
		t.Errorf("%d cuts, and nothing was lost: are these syncs needed, or does the test not see what they do?", c.cuts-cuts)
	case lost != nil && spare:
		t.Errorf("it is said that nothing is lost without them (%s), and there is: %v", why, lost)
	case spare:
		t.Logf("%d cuts, and nothing was lost: %s", c.cuts-cuts, why)
	default:
		t.Logf("after %d cuts: %.200v", c.cuts-cuts, lost)
	}
}

const (
	powerCopyEnv = "ROOST_TEST_POWER_COPY"
	powerLookEnv = "ROOST_TEST_POWER_LOOK"
)

// lookElsewhere looks in another process: what a disk that lies leaves of roost.db
// may end the one that maps it.
func (c *powerCopy) lookElsewhere(t *testing.T, root string, done bool) error {
	b, err := json.Marshal(c.want)
	if err != nil {
		t.Fatal(err)
	}
	cmd := childProcess(t, fmt.Sprintf("%s=%s %t %s", powerLookEnv, c.name, done, root))
	cmd.Stdin = strings.NewReader(string(b))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func powerLookChild(what string) error {
	name, rest, _ := strings.Cut(what, " ")
	done, root, _ := strings.Cut(rest, " ")
	var want powerWants
	if err := json.NewDecoder(os.Stdin).Decode(&want); err != nil {
		return err
	}
	job, err := powerJobNamed(name)
	if err != nil {
		return err
	}
	return job.look(context.Background(), root, done == "true", want)
}

// powerCopyChild does a job.
func powerCopyChild(what string) error {
	name, root, _ := strings.Cut(what, " ")
	job, err := powerJobNamed(name)
	if err != nil {
		return err
	}
	if err := job.run(context.Background(), root); err != nil {
		return err
	}
	fmt.Println("done")
	return nil
}

func powerJobNamed(name string) (powerJob, error) {
	i := slices.IndexFunc(powerJobs, func(j powerJob) bool { return j.name == name })
	if i < 0 {
		return powerJob{}, errors.New("there is no such job")
	}
	return powerJobs[i], nil
}
