package mailbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// kills is how often a test kills: few on a person's machine, and fewer with the
// race detector.
func kills(ci int) int {
	switch {
	case testing.Short():
		return 3
	case os.Getenv("ROOST_LONG") == "1":
		return 10 * ci
	case os.Getenv("CI") == "true":
		return ci
	}
	return max(ci/5, 5)
}

// A store is killed at random moments while messages come in, get flags, are
// copied, moved and expunged, packs are rewritten, mailboxes emptied, snapshots
// and backups made. What was acknowledged is there to the letter, nothing is there
// twice, Check is clean, and the last backup that was done can be restored.
func TestKilledWhileAllIsGoingOn(t *testing.T) {
	var k *killed
	operations, backups := 0, 0
	rounds := kills(40)
	for round := range rounds {
		if round%10 == 0 {
			k = &killed{root: t.TempDir(), states: make(map[int][]string), acked: make(map[int]int), floor: make(map[int]int)}
		}
		k.round(t)
		if t.Failed() {
			t.Logf("after %d kills", round+1)
			return
		}
		operations, backups = operations+k.operations, backups+k.backups
	}
	if operations < rounds || backups < rounds/5 {
		t.Errorf("only %d operations and %d backups were done in %d rounds: the test kills too early to show anything", operations, backups, rounds)
	}
	t.Logf("%d kills, %d operations and %d backups acknowledged", rounds, operations, backups)
}

// killed is a data directory whose processes are killed, and what they said.
type killed struct {
	root   string
	states map[int][]string // of each worker, one after the other
	acked  map[int]int      // the last state that was acknowledged
	begun  map[int]int      // the same when the backup at hand began
	floor  map[int]int      // the same when the last backup that was done began

	saved               bool // there is such a backup
	operations, backups int
}

func (k *killed) round(t *testing.T) {
	t.Helper()
	k.operations, k.backups = 0, 0
	k.run(t)
	want := make(map[int]powerWant)
	for n, all := range k.states {
		want[n] = powerWant{all[k.acked[n]], all[len(all)-1]}
	}
	if err := (powerCut{filepath.Join(k.root, "data")}).verify(want); err != nil {
		t.Error(err)
	}
	if !k.saved {
		return
	}
	dir := filepath.Join(k.root, "restored")
	if _, err := RestoreDir(t.Context(), filepath.Join(k.root, "backup"), dir, RestoreOptions{}); err != nil {
		t.Errorf("the last backup can't be restored: %v", err)
		return
	}
	defer os.RemoveAll(dir)
	s, err := Open(dir, powerOptions)
	if err != nil {
		t.Error(err)
		return
	}
	defer closeStore(t, s)
	for n, all := range k.states {
		have, err := powerHeld(s, n)
		if err != nil {
			t.Error(err)
		}
		if !slices.Contains(all[k.floor[n]:], have.String()) {
			t.Errorf("the backup has of worker %d\n%s\nwhich it had at no moment since\n%s", n, have, all[k.floor[n]])
		}
	}
}

// run starts a process and kills it some time after it began to work.
func (k *killed) run(t *testing.T) {
	t.Helper()
	cmd := childProcess(t, "ROOST_TEST_KILL="+k.root)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReaderSize(out, 1<<20)
	after := rand.IntN(40) // operations, however long they take here
	for ending := false; ; {
		line, err := lines.ReadString('\n')
		if err != nil { // killed, and what it said before is read
			break
		}
		if !ending && k.operations >= after {
			ending = true
			time.AfterFunc(rand.N(20*time.Millisecond), func() { cmd.Process.Kill() })
		}
		k.hear(t, strings.TrimSuffix(line, "\n"))
	}
	if err := cmd.Wait(); err == nil || said.Len() > 0 {
		t.Errorf("the store at work ended by itself: %v\n%s", err, said.String())
	}
}

func (k *killed) hear(t *testing.T, line string) {
	verb, rest, _ := strings.Cut(line, " ")
	number, state, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("the store at work said %q", line)
	}
	switch verb {
	case "begin":
		k.states[n] = append(k.states[n], state)
	case "done":
		k.acked[n] = len(k.states[n]) - 1
		k.operations++
	case "backup":
		k.begun = make(map[int]int)
		for n, i := range k.acked {
			k.begun[n] = i
		}
	case "saved":
		k.floor, k.saved = k.begun, true
		k.backups++
	default:
		t.Fatalf("the store at work said %q", line)
	}
}

// killedWork is what the process does that is killed.
func killedWork(root string) error {
	s, err := Open(filepath.Join(root, "data"), powerOptions)
	if err != nil {
		return err
	}
	s.packs.full = powerPack
	keep := -rand.IntN(2) // expunged messages, or not
	if err := s.ChangeSettings(context.Background(), func(v *Settings) error { v.UndeleteDays = keep; return nil }); err != nil {
		return err
	}
	errs := make(chan error)
	for n := range powerWorkers {
		go func() {
			w := powerWorker{s: s, n: n, rng: rand.New(rand.NewPCG(rand.Uint64(), 0))}
			errs <- w.run(1 << 30)
		}()
	}
	go func() {
		for i := 0; ; i++ {
			fmt.Fprintf(os.Stdout, "backup %d\n", i)
			if err := backupOnce(s, filepath.Join(root, "backup")); err != nil {
				errs <- fmt.Errorf("backup: %w", err)
				return
			}
			fmt.Fprintf(os.Stdout, "saved %d\n", i)
		}
	}()
	return <-errs
}

// backupOnce brings the backup in a directory up to date.
func backupOnce(s *Store, dir string) error {
	ctx := context.Background()
	have, err := BackupHas(dir)
	if err != nil {
		return err
	}
	b, err := s.NewBackup(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	r, w := io.Pipe()
	go func() { w.CloseWithError(b.WriteTar(ctx, w, have, func(int64) {})) }()
	_, err = ReceiveBackup(ctx, r, dir, nil)
	return err
}

// A process that brings a store of format 1 up to date is killed, again and again
// until one comes to the end of it.
func TestKilledDuringMigration(t *testing.T) {
	oneGoroutine(t)
	want, err := os.ReadFile(filepath.Join("testdata", "format.txt"))
	if err != nil {
		t.Fatal(err)
	}
	killed, stores, limit := 0, 0, time.Duration(0)
	for killed < kills(10) {
		dir := t.TempDir()
		unpack(t, "testdata/format-1.tar.gz", dir)
		for done := false; !done; {
			cmd := childProcess(t, "ROOST_TEST_MIGRATE="+dir)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(out)
			if _, err := lines.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			if limit > 0 {
				time.AfterFunc(rand.N(limit), func() { cmd.Process.Kill() })
			}
			_, err = lines.ReadString('\n')
			took := time.Since(begun)
			cmd.Wait()
			// The machine may become slower or faster: most runs are to be killed, not all.
			switch done = err == nil; {
			case !done:
				killed++
				limit += limit / 8
			case limit == 0:
				limit = took
			default:
				limit -= limit / 4
			}
		}
		s, err := Open(dir, Options{}) // not openStore, which keeps all of them until the test ends
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(t, s); got != string(want) {
			t.Fatalf("after %d kills it has\n%s\nwant\n%s", killed, got, want)
		}
		closeStore(t, s)
		if err := os.RemoveAll(dir); err != nil { // 32 MB each
			t.Fatal(err)
		}
		stores++
	}
	t.Logf("%d kills of %d migrations", killed, stores)
}

func migrateAndSay(dir string) error {
	fmt.Println("begin")
	s, err := Open(dir, Options{})
	if err != nil {
		return err
	}
	fmt.Println("done")
	return s.Close()
}

// childProcess runs the test binary as something else, see TestMain.
func childProcess(t testing.TB, env string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), env)
	return cmd
}

// asChild does what the environment asks of the test binary.
func asChild() (known bool, err error) {
	for name, work := range map[string]func(string) error{
		"ROOST_TEST_KILL":         killedWork,
		"ROOST_TEST_MIGRATE":      migrateAndSay,
		"ROOST_TEST_POWER":        powerChild,
		"ROOST_TEST_POWER_VERIFY": powerVerifyChild,
		powerCopyEnv:              powerCopyChild,
		powerLookEnv:              powerLookChild,
	} {
		if v := os.Getenv(name); v != "" {
			known, err = true, errors.Join(err, work(v))
		}
	}
	return known, err
}
