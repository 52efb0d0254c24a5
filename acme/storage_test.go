package acme

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"

	"roost/mailbox"
)

func openStorage(t *testing.T) *storage {
	t.Helper()
	store, err := mailbox.Open(t.TempDir(), mailbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return newStorage(store.Corner("acme"))
}

// Certmagic's own storage in files is what the interface means.
func TestStorageIsLikeFiles(t *testing.T) {
	ctx := t.Context()
	ours, theirs := openStorage(t), &certmagic.FileStorage{Path: t.TempDir()}
	describe := func(s certmagic.Storage) string {
		var b strings.Builder
		for _, key := range []string{"a", "a/b", "a/b/1", "a/b/2", "a/bc", "a/bc/3", "a-b", "gone", ""} {
			if key != "" { // the root can be listed, that is all
				info, err := s.Stat(ctx, key)
				fmt.Fprintf(&b, "stat %s: %s file=%v missing=%v\n", key, info.Key, info.IsTerminal, errors.Is(err, fs.ErrNotExist))
				fmt.Fprintf(&b, "exists %s: %v\n", key, s.Exists(ctx, key))
				value, err := s.Load(ctx, key)
				if info.IsTerminal {
					fmt.Fprintf(&b, "load %s: %q, %d bytes, dated=%v\n", key, value, info.Size, !info.Modified.IsZero())
				} else if err == nil {
					fmt.Fprintf(&b, "load %s: it is no file\n", key)
				}
			}
			for _, recursive := range []bool{false, true} {
				keys, err := s.List(ctx, key, recursive)
				slices.Sort(keys)
				fmt.Fprintf(&b, "list %s %v: %q missing=%v\n", key, recursive, keys, errors.Is(err, fs.ErrNotExist))
			}
		}
		return b.String()
	}
	for _, step := range []func(certmagic.Storage) error{
		func(s certmagic.Storage) error { return nil },
		func(s certmagic.Storage) error {
			for i, key := range []string{"a/b/1", "a/b/2", "a/bc/3", "a-b", "a/b/1"} {
				if err := s.Store(ctx, key, fmt.Appendf(nil, "value %d", i)); err != nil {
					return err
				}
			}
			return nil
		},
		func(s certmagic.Storage) error { return s.Delete(ctx, "a-b") },
		func(s certmagic.Storage) error { return s.Delete(ctx, "a/b") },
		func(s certmagic.Storage) error { return s.Delete(ctx, "gone") },
	} {
		if err := step(ours); err != nil {
			t.Fatal(err)
		}
		if err := step(theirs); err != nil {
			t.Fatal(err)
		}
		ours, theirs := strings.Split(describe(ours), "\n"), strings.Split(describe(theirs), "\n")
		for i := range theirs {
			if ours[i] != theirs[i] {
				t.Errorf("we say  %s\nfiles say %s", ours[i], theirs[i])
			}
		}
	}
}

func TestStorageLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ctx := newStorage(nil), t.Context()
		if err := s.Lock(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		if err := s.Lock(ctx, "b"); err != nil {
			t.Fatal("another name has to wait:", err)
		}
		var inside, most atomic.Int32
		for range 3 {
			go func() {
				if err := s.Lock(ctx, "a"); err != nil {
					t.Error(err)
				}
				most.Store(max(most.Load(), inside.Add(1)))
				time.Sleep(time.Second)
				inside.Add(-1)
				if err := s.Unlock(ctx, "a"); err != nil {
					t.Error(err)
				}
			}()
		}
		short, end := context.WithCancel(ctx)
		gaveUp := make(chan error, 1)
		go func() { gaveUp <- s.Lock(short, "a") }()
		synctest.Wait()
		if inside.Load() != 0 {
			t.Error("somebody came in while it was locked")
		}
		end()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("a lock that nobody waits for anymore: %v", err)
		}
		if err := s.Unlock(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := most.Load(); n != 1 {
			t.Errorf("%d inside at once", n)
		}
		if err := s.Unlock(ctx, "a"); err == nil {
			t.Error("unlocked what nobody held")
		}
	})
}

func TestStorageIsNotTouchedAfterClose(t *testing.T) {
	s, ctx := openStorage(t), t.Context()
	if err := s.Store(ctx, "a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	s.close()
	s.store = nil // to touch it is a panic
	_, loadErr := s.Load(ctx, "a")
	_, listErr := s.List(ctx, "", true)
	_, statErr := s.Stat(ctx, "a")
	for _, err := range []error{s.Store(ctx, "a", nil), s.Delete(ctx, "a"), loadErr, listErr, statErr} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Error(err)
		}
	}
	if s.Exists(ctx, "a") {
		t.Error("a closed storage has keys")
	}
}
