package mailbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"roost/mailbox/mailboxtest"
)

// brim takes the last byte of a disk, as another program would.
func brim(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, n := range []int{64 << 10, 4 << 10} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, n))
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk ended with %v", err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func noisy(n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return "Subject: noise\r\n\r\n" + string(b)
}

// The disk fills up with mail, without a watermark in the way, so that packs and
// roost.db meet the end wherever it comes.
func TestDiskFullOfMail(t *testing.T) {
	disk := mailboxtest.SmallDisk(t, 14)
	s := openStore(t, filepath.Join(disk, "data"), Options{ReserveBytes: 4 << 20})
	ann := addAnn(t, s)
	s.packs.full = 1 << 20
	s.opts.ReserveBytes = 1 // the reserve is made; the mark is not heeded
	ctx := context.Background()
	var mu sync.Mutex
	acknowledged := make(map[UID]string)
	var refused int
	each := 80
	if testing.Short() {
		each = 30 // is still more than fits
	}
	fill := func() {
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := range each {
					text := noisy(1000 + (w*7919+i*104729)%300_000)
					a, err := tryAccept(s, text, Placement{Account: ann.ID})
					mu.Lock()
					if err == nil {
						acknowledged[a.Placed[0].UID] = text
					} else {
						refused++
					}
					mu.Unlock()
					if err != nil && !errors.Is(err, ErrFull) {
						t.Errorf("a delivery: %v, want ErrFull", err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	fill()
	if refused == 0 || len(acknowledged) == 0 {
		t.Fatalf("%d taken, %d refused", len(acknowledged), refused)
	}
	free := brim(t, disk)
	var uids []UID
	for uid := range acknowledged {
		uids = append(uids, uid)
	}
	slices.Sort(uids)
	for i, uid := range uids {
		if _, err := s.SetFlags(ctx, ann.ID, InboxID, []UID{uid}, FlagUpdate{Change: AddFlags, Flags: Flags(1 << (i % 3))}); err != nil {
			t.Fatalf("flags on a full disk, message %d of %d: %v", i, len(uids), err)
		}
	}
	half := uids[:len(uids)/2]
	if _, err := s.SetFlags(ctx, ann.ID, InboxID, half, FlagUpdate{Change: AddFlags, Flags: Deleted}); err != nil {
		t.Fatal(err)
	}
	if x, err := s.Expunge(ctx, ann.ID, InboxID, nil); err != nil || len(x.UIDs) != len(half) {
		t.Fatalf("expunge on a full disk: %d, %v", len(x.UIDs), err)
	}
	for _, uid := range half {
		delete(acknowledged, uid)
	}
	if err := s.forgetExpunged(ctx); err != nil { // early, since there is no room
		t.Fatal(err)
	}
	free()
	// Space is back: so is delivery, and the reserve.
	before := len(acknowledged)
	fill()
	if len(acknowledged) == before {
		t.Error("nothing is taken though there is space again")
	}
	if names, _ := filepath.Glob(filepath.Join(s.Dir(), "packs", "*.pack")); len(names) > 20 {
		t.Errorf("there are %d packs: each refused message began one", len(names))
	}
	for uid, text := range acknowledged {
		if readAll(t, s, ann.ID, InboxID, uid) != text {
			t.Errorf("message %d is not what was acknowledged", uid)
		}
	}
	t.Logf("%d messages taken, %d refused", len(acknowledged)+len(half), refused)
}

func addAnn(t *testing.T, s *Store) Account {
	t.Helper()
	ctx := context.Background()
	if _, err := s.AddDomain(ctx, "example.org"); err != nil {
		t.Fatal(err)
	}
	ann, err := s.CreateAccount(ctx, NewAccount{Address: "ann@example.org", Admin: true})
	if err != nil {
		t.Fatal(err)
	}
	return ann
}

// Another program takes everything: mail is refused at the mark, flags live on
// the reserve, and once that is used up they are refused and nothing is lost.
func TestDiskFullOfOtherThings(t *testing.T) {
	disk := mailboxtest.SmallDisk(t, 24)
	s := openStore(t, filepath.Join(disk, "data"), Options{ReserveBytes: 4 << 20})
	ann := addAnn(t, s)
	ctx := context.Background()
	accept(t, s, hello(1), Placement{Account: ann.ID})
	reserve := filepath.Join(s.Dir(), reserveName)
	if st, err := os.Stat(reserve); err != nil || st.Size() != 1<<20 {
		t.Fatalf("the reserve: %v, %v", st, err)
	}
	free := brim(t, disk)
	if _, err := tryAccept(s, hello(2), Placement{Account: ann.ID}); !errors.Is(err, ErrFull) {
		t.Errorf("a delivery: %v, want ErrFull", err)
	}
	spool := s.NewSpool(0)
	s.spools.held.Add(spoolMemory)
	if _, err := io.WriteString(spool, noisy(2<<20)); !errors.Is(err, ErrFull) {
		t.Errorf("a spool: %v, want ErrFull", err)
	}
	s.spools.held.Add(-spoolMemory)
	spool.Close()
	// The journal grows until nothing goes any more.
	wrote := 0
	var err error
	for ; err == nil && wrote < 10_000; wrote++ {
		err = s.Log(ctx, Line{Event: Refused, Detail: []string{strings.Repeat("x", 10_000)}})
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("after %d lines: %v, want ErrFull", wrote, err)
	}
	if _, err := os.Stat(reserve); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the reserve is not given: %v", err)
	}
	if wrote < 50 {
		t.Errorf("only %d lines went in", wrote)
	}
	free()
	if err := s.Log(ctx, Line{Event: Refused}); err != nil {
		t.Errorf("when space is back: %v", err)
	}
	accept(t, s, hello(3), Placement{Account: ann.ID})
	if err := s.keepReserve(ctx); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(reserve); err != nil || st.Size() != 1<<20 {
		t.Errorf("the reserve when space is back: %v, %v", st, err)
	}
	for uid, want := range map[UID]string{1: hello(1), 2: hello(3)} {
		if got := readAll(t, s, ann.ID, InboxID, uid); got != want {
			t.Errorf("message %d is %q", uid, got)
		}
	}
}

// A page of roost.db that the disk does not give ends a read, not the process.
func TestRoostDBCutUnderAnOpenStore(t *testing.T) {
	var log bytes.Buffer
	s, ann, _ := newStore(t, Options{Log: newLog(&log)})
	uids := many(t, s, Placement{Account: ann.ID}, 3000)
	path := filepath.Join(s.Dir(), "roost.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 64<<10); err != nil {
		t.Fatal(err)
	}
	if err := s.Facts(ann.ID, InboxID, uids, func(*Facts) error { return nil }); !errors.Is(err, ErrCorrupt) {
		t.Errorf("reading rows: %v, want ErrCorrupt", err)
	}
	if _, err := tryAccept(s, hello(1), Placement{Account: ann.ID}); err == nil {
		t.Error("a delivery was acknowledged")
	}
	if !strings.Contains(log.String(), "roost check") {
		t.Errorf("it was not told:\n%s", &log)
	}
	s.Close()
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, s.Dir(), Options{})
	if f, err := s.Folder(ann.ID, InboxID); err != nil || f.Messages != 3000 {
		t.Errorf("%d messages, %v", f.Messages, err)
	}
}

// Pages that make no sense give errors as well.
func TestRoostDBScribbledOverUnderAnOpenStore(t *testing.T) {
	oneGoroutine(t)
	s, ann, _ := newStore(t, Options{})
	uids := many(t, s, Placement{Account: ann.ID}, 3000)
	path := filepath.Join(s.Dir(), "roost.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	failed := 0
	for page := 4; page < len(whole)/4096; page += 7 {
		at := int64(page) * 4096
		f.WriteAt(bytes.Repeat([]byte{0xa5}, 4096), at)
		err := s.Facts(ann.ID, InboxID, uids, func(*Facts) error { return nil })
		if err != nil {
			failed++
		}
		f.WriteAt(whole[at:at+4096], at)
	}
	if failed == 0 {
		t.Error("no damage was met")
	}
	if err := s.Facts(ann.ID, InboxID, uids, func(*Facts) error { return nil }); err != nil {
		t.Errorf("with the pages back: %v", err)
	}
}
