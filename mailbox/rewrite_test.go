package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"roost/mailbox/mailboxtest"
)

// letter is a message of which every byte can be told from its number.
func letter(n int) string {
	r := rand.New(rand.NewPCG(uint64(n), 0))
	b := make([]byte, 200+r.IntN(40_000))
	for i := range b {
		b[i] = 'a' + byte(r.Uint32()%26)
	}
	return hello(n) + string(b) + "\r\n"
}

// sparse fills packs of 1 MB, and expunges most of what is in them.
func sparse(t testing.TB, s *Store, id AccountID, messages int) (left []UID) {
	t.Helper()
	s.packs.full = 1 << 20
	keepNothing(t, s)
	for n := 1; n <= messages; n++ {
		p := Placement{Account: id, Flags: Deleted}
		if n%10 == 0 {
			p.Flags = 0
			left = append(left, UID(n))
		}
		accept(t, s, letter(n), p)
	}
	if _, err := s.Expunge(context.Background(), id, InboxID, nil); err != nil {
		t.Fatal(err)
	}
	return left
}

func packBytes(t testing.TB, s *Store) (size int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(s.Dir(), "packs", "*.pack"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		st, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		size += st.Size()
	}
	return size
}

func newLog(b *bytes.Buffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

func TestMostlyDeadPacksAreRewritten(t *testing.T) {
	oneGoroutine(t)
	s, ann, bob := newStore(t, Options{})
	ctx := context.Background()
	left := sparse(t, s, ann.ID, 400)
	if _, err := s.Copy(ctx, ann.ID, InboxID, left[:5], "Archive"); err != nil {
		t.Fatal(err)
	}
	spool := s.NewSpool(0)
	defer spool.Close()
	io.WriteString(spool, hello(1))
	if _, err := s.Accept(ctx, Intake{Body: spool, Queue: []Outgoing{{Account: bob.ID, Domain: "example.com"}}}); err != nil {
		t.Fatal(err)
	}
	before := packBytes(t, s)
	// One that is open for reading goes on from the new place.
	open, err := s.OpenMessage(ann.ID, InboxID, left[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := s.rewritePacks(ctx); err != nil {
		t.Fatal(err)
	}
	after := packBytes(t, s)
	t.Logf("%d KB before, %d KB after", before>>10, after>>10)
	if after > before/2 {
		t.Errorf("packs have %d bytes, and had %d", after, before)
	}
	if b, err := io.ReadAll(open.Reader()); err != nil || string(b) != letter(int(left[0])) {
		t.Errorf("a message that was open: %d bytes, %v", len(b), err)
	}
	for _, uid := range left {
		if readAll(t, s, ann.ID, InboxID, uid) != letter(int(uid)) {
			t.Errorf("message %d came out of it changed", uid)
		}
	}
	if err := s.rewritePacks(ctx); err != nil {
		t.Fatal(err)
	}
	if again := packBytes(t, s); again != after {
		t.Errorf("a second run changed %d bytes to %d", after, again)
	}
	closeStore(t, s)
	s = openStore(t, s.Dir(), Options{})
	for _, uid := range left {
		if readAll(t, s, ann.ID, InboxID, uid) != letter(int(uid)) {
			t.Errorf("message %d is changed after reopening", uid)
		}
	}
}

// Readers, deliveries and expunges beside the rewriting: nobody misses a message.
func TestReadersDoNotNoticeTheRewriting(t *testing.T) {
	s, ann, bob := newStore(t, Options{})
	ctx := context.Background()
	left := sparse(t, s, ann.ID, 300)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 7))
			for {
				select {
				case <-stop:
					return
				default:
				}
				uid := left[r.IntN(len(left))]
				m, err := s.OpenMessage(ann.ID, InboxID, uid)
				if err != nil {
					t.Error(err)
					return
				}
				if b, err := io.ReadAll(m.Reader()); err != nil || string(b) != letter(int(uid)) {
					t.Errorf("message %d: %d bytes, %v", uid, len(b), err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := tryAccept(s, letter(n), Placement{Account: bob.ID, Flags: Deleted}); err != nil {
				t.Error(err)
				return
			}
			if n%7 == 0 {
				if _, err := s.Expunge(ctx, bob.ID, InboxID, nil); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range 5 {
		if err := s.rewritePacks(ctx); err != nil {
			t.Error(err)
		}
		if r, err := s.Check(ctx); err != nil || r.Err() != nil {
			t.Errorf("Check of a store at work: %v, %v", err, r.Err())
		}
	}
	close(stop)
	wg.Wait()
}

func TestADamagedMessageIsToldAndTheOthersGoOn(t *testing.T) {
	var log bytes.Buffer
	s, ann, _ := newStore(t, Options{Log: newLog(&log)})
	ctx := context.Background()
	left := sparse(t, s, ann.ID, 100)
	bad := left[0]
	m, err := s.OpenMessage(ann.ID, InboxID, bad)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.Dir(), "packs", packName(m.row.pack))
	at := m.row.offset + m.row.head + 100
	flip := func() {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var b [1]byte
		f.ReadAt(b[:], at)
		b[0] ^= 0x10
		f.WriteAt(b[:], at)
	}
	flip()
	if err := s.rewritePacks(ctx); err != nil {
		t.Fatal(err)
	}
	for _, uid := range left[1:] {
		if readAll(t, s, ann.ID, InboxID, uid) != letter(int(uid)) {
			t.Errorf("message %d suffered", uid)
		}
	}
	if err := s.Log(ctx, Line{Event: Received}); err != nil { // a commit takes the news along
		t.Fatal(err)
	}
	all, err := s.Damaged()
	if err != nil || len(all) != 1 || all[0].Body != m.Body || packNumber(all[0].Pack) != m.row.pack {
		t.Fatalf("in quarantine: %+v, %v", all, err)
	}
	if _, err := s.OpenMessage(ann.ID, InboxID, bad); !errors.Is(err, ErrCorrupt) {
		t.Errorf("opening it: %v, want ErrCorrupt", err)
	}
	if got := strings.Count(log.String(), "is not served any more"); got != 1 {
		t.Errorf("it was logged %d times:\n%s", got, &log)
	}
	told := 0
	s.Journal(func(l Line) bool {
		if l.Event == Damaged && l.Message == m.Body {
			told++
		}
		return true
	})
	if told != 1 {
		t.Errorf("the journal tells of it %d times", told)
	}
	if r, err := s.Check(ctx); err != nil || len(r.Problems) != 1 {
		t.Errorf("Check: %v, %q", err, r.Problems)
	}
	// Its pack stays, whole, however often the others are rewritten.
	if err := s.rewritePacks(ctx); err != nil {
		t.Fatal(err)
	}
	// The disk gives the right bytes again: a check lets it out.
	flip()
	if r, err := s.Check(ctx); err != nil || len(r.Problems) != 0 {
		t.Errorf("Check of whole bytes: %v, %q", err, r.Problems)
	}
	if all, err := s.Damaged(); err != nil || len(all) != 0 {
		t.Errorf("still in quarantine: %+v, %v", all, err)
	}
	if readAll(t, s, ann.ID, InboxID, bad) != letter(int(bad)) {
		t.Error("it came back changed")
	}
	// Damaged again, and expunged: the pack goes.
	flip()
	if _, err := io.ReadAll(m.Reader()); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
	if _, err := s.SetFlags(ctx, ann.ID, InboxID, []UID{bad}, FlagUpdate{Change: AddFlags, Flags: Deleted}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Expunge(ctx, ann.ID, InboxID, nil); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Damaged(); err != nil || len(all) != 0 {
		t.Errorf("in quarantine after it was expunged: %+v, %v", all, err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pack that held it: %v", err)
	}
}

func TestNoRewritingWithoutRoom(t *testing.T) {
	disk := mailboxtest.SmallDisk(t, 8)
	s := openStore(t, filepath.Join(disk, "data"), Options{ReserveBytes: 1 << 20})
	ann := addAnn(t, s)
	sparse(t, s, ann.ID, 100)
	before := packBytes(t, s)
	free := brim(t, disk)
	if err := s.rewritePacks(context.Background()); !errors.Is(err, ErrFull) {
		t.Errorf("rewriting: %v, want ErrFull", err)
	}
	free()
	if after := packBytes(t, s); after != before {
		t.Errorf("%d bytes, and before %d", after, before)
	}
}

// A pack that was longer than its row said may hold what a newer roost.db knows.
func TestAPackWithAnUnknownTailIsKept(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	accept(t, s, hello(1), Placement{Account: ann.ID, Flags: Deleted})
	keepNothing(t, s)
	closeStore(t, s)
	path := filepath.Join(s.Dir(), "packs", packName(1))
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("from another time")
	f.Close()
	s = openStore(t, s.Dir(), Options{})
	if _, err := s.Expunge(ctx, ann.ID, InboxID, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.rewritePacks(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-tailAge - time.Hour)
	if err := os.Chtimes(path, long, long); err != nil {
		t.Fatal(err)
	}
	if err := s.rewritePacks(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after a month: %v", err)
	}
}

const rewriteVictim = "ROOST_REWRITE_VICTIM"

// A process that rewrites is killed at random moments.
func TestKilledWhileRewriting(t *testing.T) {
	ctx := context.Background()
	if dir := os.Getenv(rewriteVictim); dir != "" {
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		s.packs.full = 1 << 20
		fmt.Println("begin")
		if err := s.rewritePacks(ctx); err != nil {
			t.Fatal(err)
		}
		fmt.Println("done")
		select {}
	}
	oneGoroutine(t)
	rounds := kills(20)
	s, ann, _ := newStore(t, Options{})
	have := make(map[UID]int)
	done := 0
	for round := range rounds {
		s.packs.full = 1 << 20
		for n := 0; n < 300; n += 50 {
			var all []Intake
			for i := range 50 {
				spool := s.NewSpool(0)
				io.WriteString(spool, letter(round*1000+n+i))
				in := Intake{Body: spool, Place: []Placement{{Account: ann.ID, Flags: Deleted}}}
				if i%12 == 0 {
					in.Place[0].Flags = 0
				}
				all = append(all, in)
			}
			got, err := s.AcceptAll(ctx, all)
			if err != nil {
				t.Fatal(err)
			}
			for i, in := range all {
				if in.Body.Close(); in.Place[0].Flags == 0 {
					have[got[i].Placed[0].UID] = round*1000 + n + i
				}
			}
		}
		if _, err := s.Expunge(ctx, ann.ID, InboxID, nil); err != nil {
			t.Fatal(err)
		}
		closeStore(t, s)
		if strings.Contains(killRewriting(t, s.Dir()), "done") {
			done++
		}
		var err error
		if s, err = Open(s.Dir(), Options{}); err != nil { // not openStore, which keeps all of them until the test ends
			t.Fatal(err)
		}
		for uid, n := range have {
			if readAll(t, s, ann.ID, InboxID, uid) != letter(n) {
				t.Errorf("round %d: message %d is not what it was", round, uid)
			}
		}
		if r, err := s.Check(ctx); err != nil || r.Err() != nil {
			t.Fatalf("round %d: %v, %v", round, err, r.Err())
		}
	}
	closeStore(t, s)
	t.Logf("%d kills, %d of them after the work was done", rounds, done)
}

// killRewriting kills a process at a random moment after it began to rewrite.
func killRewriting(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWhileRewriting$")
	cmd.Env = append(os.Environ(), rewriteVictim+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	begin := make([]byte, len("begin"))
	if _, err := io.ReadFull(out, begin); err != nil || string(begin) != "begin" {
		t.Errorf("the process did not begin: %q, %v", begin, err)
	}
	time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond) // the random moment
	cmd.Process.Signal(syscall.SIGKILL)
	rest, _ := io.ReadAll(out)
	cmd.Wait()
	return string(rest)
}
