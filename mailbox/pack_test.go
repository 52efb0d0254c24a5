package mailbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
)

// Sizes around the bounds of a chunk, of what is read and written at once, and
// of what spools keep in memory; text, noise, and both by turns.
func TestMessagesOfAnySizeComeBackAsTheyCame(t *testing.T) {
	oneGoroutine(t)
	s, ann, _ := newStore(t, Options{})
	noise := rand.NewChaCha8([32]byte{1})
	sizes := []int{1, 2, 100, wholeRecord - 1, wholeRecord, chunkSize - 1, chunkSize, chunkSize + 1, 2 * chunkSize, 3*chunkSize + 17, spoolText + chunkSize + 1}
	for _, crowded := range []bool{false, true} {
		if crowded {
			s.spools.held.Add(spoolMemory - chunkSize) // others have the memory
		}
		for _, size := range sizes {
			for kind := range 3 {
				b := bytes.Repeat([]byte("To be, or not to be: \x00that is the question.\r\n"), size/40+1)[:size]
				for at := 0; at < size; at += 100_000 {
					if kind == 1 || kind == 2 && at/100_000%2 == 1 {
						noise.Read(b[at:min(size, at+100_000)])
					}
				}
				spool := s.NewSpool(0)
				for part := b; len(part) > 0; {
					n := min(len(part), 1+rand.IntN(50_000))
					if n%2 == 0 {
						spool.Write(part[:n])
					} else if k, err := io.Copy(spool, io.LimitReader(iotest.HalfReader(bytes.NewReader(part)), int64(n))); k != int64(n) || err != nil {
						t.Fatalf("%d of %d bytes were copied: %v", k, n, err)
					}
					part = part[n:]
				}
				if got, err := io.ReadAll(spool.Reader()); err != nil || !bytes.Equal(got, b) {
					t.Fatalf("crowded %v, size %d, kind %d: the spool gives something else (%v)", crowded, size, kind, err)
				}
				a, err := s.Accept(context.Background(), Intake{Body: spool, Place: []Placement{{Account: ann.ID}}})
				spool.Close()
				if err != nil {
					t.Fatal(err)
				}
				if got := readAll(t, s, ann.ID, InboxID, a.Placed[0].UID); got != string(b) {
					t.Fatalf("crowded %v, size %d, kind %d: something else came back", crowded, size, kind)
				}
			}
		}
		if crowded {
			s.spools.held.Add(-(spoolMemory - chunkSize))
		}
	}
	if held := s.spools.held.Load() + s.spools.texts.Load(); held != 0 {
		t.Errorf("spools hold %d bytes after all are closed", held)
	}
}

func TestSpoolThatCameBackFromTheDiskDamagedIsNotStored(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	s.spools.held.Add(spoolMemory)
	defer s.spools.held.Add(-spoolMemory)
	spool := s.NewSpool(0)
	defer spool.Close()
	spool.Write(bytes.Repeat([]byte("x"), 3*chunkSize))
	spool.file.WriteAt([]byte("damaged"), 5)
	if _, err := io.ReadAll(spool.Reader()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("reading the spool: %v, want ErrCorrupt", err)
	}
	if _, err := s.Accept(context.Background(), Intake{Body: spool, Place: []Placement{{Account: ann.ID}}}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Accept: %v, want ErrCorrupt", err)
	}
	accept(t, s, hello(1), Placement{Account: ann.ID})
}

// watchHeap reports how far the heap grew while f ran.
func watchHeap(f func()) (grown int64) {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before := int64(m.HeapAlloc)
	var most atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		var m runtime.MemStats
		for tick := time.NewTicker(2 * time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
			}
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), int64(m.HeapInuse)))
		}
	}()
	f()
	close(stop)
	<-stopped
	return most.Load() - before
}

func TestLargeMessagesInBoundedMemory(t *testing.T) {
	oneGoroutine(t)
	const size = 100 << 20
	s, ann, _ := newStore(t, Options{MaxMessage: size})
	in := io.LimitReader(io.MultiReader(strings.NewReader("Subject: large\r\n\r\n"), rand.NewChaCha8([32]byte{})), size)
	var came, went hash.Hash = sha256.New(), sha256.New()
	grown := watchHeap(func() {
		spool := s.NewSpool(0)
		defer spool.Close()
		if _, err := io.Copy(spool, io.TeeReader(in, came)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Accept(context.Background(), Intake{Body: spool, Place: []Placement{{Account: ann.ID}}}); err != nil {
			t.Fatal(err)
		}
		m, err := s.OpenMessage(ann.ID, InboxID, 1)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(went, m.Reader()); n != size || err != nil {
			t.Fatal(n, err)
		}
	})
	if !bytes.Equal(came.Sum(nil), went.Sum(nil)) {
		t.Error("something else came back")
	}
	// What spools may keep, and as much again before the collector comes, and
	// some room for what is read and written at once.
	const bound = 64 << 20
	t.Logf("the heap grew by %d MB", grown>>20)
	if grown > bound {
		t.Errorf("the heap grew by %d MB, more than %d", grown>>20, bound>>20)
	}
}

func TestManyMessagesInOneCommit(t *testing.T) {
	s, ann, bob := newStore(t, Options{})
	ctx := context.Background()
	batch := func(n int, to AccountID) []Intake {
		var all []Intake
		for i := range n {
			spool := s.NewSpool(0)
			t.Cleanup(func() { spool.Close() })
			io.WriteString(spool, hello(i))
			all = append(all, Intake{Body: spool, Place: []Placement{{Account: to}}})
		}
		return all
	}
	f, _ := s.Folder(ann.ID, InboxID)
	got, err := s.AcceptAll(ctx, batch(5, ann.ID))
	if err != nil || len(got) != 5 {
		t.Fatal(got, err)
	}
	for i, a := range got {
		if a.Placed[0].UID != UID(i+1) || readAll(t, s, ann.ID, InboxID, UID(i+1)) != hello(i) {
			t.Errorf("message %d: %+v", i, a)
		}
	}
	// All or none: the last is for an account that is not there, or over quota.
	all := append(batch(3, ann.ID), batch(1, 99)...)
	if _, err := s.AcceptAll(ctx, all); !errors.Is(err, ErrNotFound) {
		t.Errorf("one recipient is missing: %v", err)
	}
	if err := s.update(ctx, func(tx *tx) error {
		row, err := tx.account(bob.ID)
		if err != nil {
			return err
		}
		row.Quota = 250
		return tx.putJSON(bAccounts, be32(uint32(bob.ID)), row)
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AcceptAll(ctx, batch(3, bob.ID)); !errors.Is(err, ErrOverQuota) {
		t.Errorf("the last one is over quota: %v", err)
	}
	for _, a := range []Account{ann, bob} {
		if f, err = s.Folder(a.ID, InboxID); err != nil || f.Messages != map[AccountID]uint32{ann.ID: 5}[a.ID] {
			t.Errorf("%s has %d messages, %v", a.Address, f.Messages, err)
		}
	}
	if got, err := s.AcceptAll(ctx, nil); err != nil || len(got) != 0 {
		t.Errorf("none: %v, %v", got, err)
	}
}

// A full pack whose committed messages are all expunged may still have one that
// waits for its commit.
func TestAPackWithAStagedMessageStays(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	keepNothing(t, s)
	ctx := context.Background()
	accept(t, s, hello(1), Placement{Account: ann.ID, Flags: Deleted})
	spool := s.NewSpool(0)
	defer spool.Close()
	io.WriteString(spool, hello(2))
	st, err := s.stage(&Intake{Body: spool, Place: []Placement{{Account: ann.ID}}})
	if err != nil {
		t.Fatal(err)
	}
	s.packs.mu.Lock()
	s.packs.last = 0 // as if it were full
	s.packs.mu.Unlock()
	if _, err := s.Expunge(ctx, ann.ID, InboxID, nil); err != nil {
		t.Fatal(err)
	}
	err = s.update(ctx, func(tx *tx) error {
		_, err := tx.accept(st)
		return err
	})
	s.unstage(st)
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, s, ann.ID, InboxID, 2); got != hello(2) {
		t.Errorf("message is %q", got)
	}
	// Once it is gone too, the pack goes.
	if _, err := s.SetFlags(ctx, ann.ID, InboxID, []UID{2}, FlagUpdate{Change: AddFlags, Flags: Deleted}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Expunge(ctx, ann.ID, InboxID, nil); err != nil {
		t.Fatal(err)
	}
	if names, _ := filepath.Glob(filepath.Join(s.Dir(), "packs", "*")); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
}

// A message's number names it for good, also one that was removed, or never
// committed, before a restart.
func TestNumbersOfMessagesAreNeverGivenTwice(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	seen := map[BodyID]bool{}
	for round := range 3 {
		a := accept(t, s, hello(round), Placement{Account: ann.ID, Flags: Deleted})
		if seen[a.ID] {
			t.Fatalf("the number %s is given again", a.ID)
		}
		seen[a.ID] = true
		if _, err := s.Expunge(context.Background(), ann.ID, InboxID, nil); err != nil {
			t.Fatal(err)
		}
		spool := s.NewSpool(0)
		io.WriteString(spool, hello(100+round))
		if round == 1 { // the process dies with this one staged
			st, err := s.stage(&Intake{Body: spool, Place: []Placement{{Account: ann.ID}}})
			if err != nil {
				t.Fatal(err)
			}
			seen[st.id] = true
		}
		spool.Close()
		closeStore(t, s)
		s = openStore(t, s.Dir(), Options{})
	}
}

func TestSettingOfTheLargestMessage(t *testing.T) {
	s, _, _ := newStore(t, Options{})
	ctx := context.Background()
	if s.MaxMessage() != 50<<20 {
		t.Errorf("the default is %d", s.MaxMessage())
	}
	set := func(n int64) error {
		return s.ChangeSettings(ctx, func(v *Settings) error { v.MaxMessage = n; return nil })
	}
	if err := set(100 << 20); err != nil || s.MaxMessage() != 100<<20 {
		t.Errorf("%d, %v", s.MaxMessage(), err)
	}
	for _, n := range []int64{-1, 1, 2 << 30} {
		if err := set(n); !errors.Is(err, ErrInvalid) || s.MaxMessage() != 100<<20 {
			t.Errorf("set to %d: %v, now %d", n, err, s.MaxMessage())
		}
	}
	closeStore(t, s)
	s = openStore(t, s.Dir(), Options{})
	if s.MaxMessage() != 100<<20 {
		t.Errorf("after reopening it is %d", s.MaxMessage())
	}
}

func TestSpoolsOfADeadProcessAreRemoved(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, fmt.Sprint(spoolPrefix, 123))
	if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	openStore(t, dir, Options{})
	names, err := os.ReadDir(dir)
	if err != nil || slices.ContainsFunc(names, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), spoolPrefix) }) {
		t.Errorf("left: %v, %v", names, err)
	}
}

func TestSpoolTakesNoMoreThanItsLimit(t *testing.T) {
	s, _, _ := newStore(t, Options{})
	for _, limit := range []int64{1, 100, chunkSize, chunkSize + 1} {
		for _, over := range []int64{-1, 0, 1, 20_000} {
			for _, how := range []string{"Write", "ReadFrom"} {
				spool := s.NewSpool(limit)
				text := bytes.Repeat([]byte{'x'}, int(limit+over))
				var err error
				if how == "Write" {
					_, err = spool.Write(text)
				} else {
					_, err = spool.ReadFrom(bytes.NewReader(text))
				}
				if got := errors.Is(err, ErrTooBig); got != (over > 0) || err != nil && !got {
					t.Errorf("%s of %d bytes where %d are taken: %v", how, len(text), limit, err)
				}
				if spool.Size() > limit {
					t.Errorf("%s of %d bytes where %d are taken: %d were kept", how, len(text), limit, spool.Size())
				}
				spool.Close()
			}
		}
	}
}
