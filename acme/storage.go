package acme

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

// Store is where certificates, keys and the account at the authority are kept: a
// key-value corner of the data directory. Keys are up to 1 KB, values up to 1 MB. A
// value is durable when Put returns nil; Delete of a key that is not there is no
// error; List returns the keys that begin with prefix, byte by byte, in order.
type Store interface {
	Put(ctx context.Context, key string, value []byte) error
	Get(ctx context.Context, key string) (value []byte, put time.Time, err error)
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, prefix string) ([]string, error)
}

// storage gives certmagic the paths it wants out of a Store's flat keys. Its locks
// hold within the process, which is enough: the store is open in one process only.
type storage struct {
	store Store

	// mu is held for reading by whatever touches the store, so that close waits for it.
	mu     sync.RWMutex
	closed bool

	locks sync.Mutex
	held  map[string]chan struct{} // closed at Unlock
}

var _ certmagic.Storage = (*storage)(nil)

func newStorage(s Store) *storage {
	return &storage{store: s, held: make(map[string]chan struct{})}
}

// close waits for what touches the store and refuses the rest. Certmagic's goroutines
// end some time after their context, and the store may be gone by then.
func (s *storage) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
}

func (s *storage) enter() error {
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return fmt.Errorf("certificate storage: %w", fs.ErrClosed)
	}
	return nil
}

func (s *storage) leave() { s.mu.RUnlock() }

func (s *storage) Store(ctx context.Context, key string, value []byte) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	return s.store.Put(ctx, key, value)
}

func (s *storage) Load(ctx context.Context, key string) ([]byte, error) {
	value, _, err := s.get(ctx, key)
	return value, err
}

func (s *storage) get(ctx context.Context, key string) ([]byte, time.Time, error) {
	if err := s.enter(); err != nil {
		return nil, time.Time{}, err
	}
	defer s.leave()
	value, put, err := s.store.Get(ctx, key)
	if err == nil {
		return value, put, nil
	}
	// What a Store says of a missing key is its own; certmagic looks for fs.ErrNotExist.
	keys, listErr := s.store.List(ctx, key)
	if listErr == nil && !slices.Contains(keys, key) {
		err = missing("load", key)
	}
	return nil, time.Time{}, err
}

// Delete removes key and everything below it.
func (s *storage) Delete(ctx context.Context, key string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	keys, err := s.below(ctx, key)
	if err != nil {
		return err
	}
	for _, k := range append(keys, key) {
		if err := s.store.Delete(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

func (s *storage) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// Stat describes a key, or what would be a directory because there are keys below it.
func (s *storage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	value, put, err := s.get(ctx, key)
	if err == nil {
		return certmagic.KeyInfo{Key: key, Modified: put, Size: int64(len(value)), IsTerminal: true}, nil
	}
	if err := s.enter(); err != nil {
		return certmagic.KeyInfo{}, err
	}
	defer s.leave()
	keys, listErr := s.below(ctx, key)
	switch {
	case listErr != nil:
		return certmagic.KeyInfo{}, listErr
	case len(keys) > 0:
		return certmagic.KeyInfo{Key: key}, nil
	}
	return certmagic.KeyInfo{}, err
}

// List returns what is directly in dir, or with recursive everything below it;
// directories are listed too. The root is "".
func (s *storage) List(ctx context.Context, dir string, recursive bool) ([]string, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	keys, err := s.below(ctx, dir)
	s.leave()
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 && dir != "" && !s.Exists(ctx, dir) {
		return nil, missing("list", dir)
	}
	var all []string
	for _, key := range keys {
		rest := strings.TrimPrefix(strings.TrimPrefix(key, dir), "/")
		parts := strings.Split(rest, "/")
		if !recursive {
			parts = parts[:1]
		}
		for i := range parts {
			all = append(all, path.Join(dir, path.Join(parts[:i+1]...)))
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func (s *storage) below(ctx context.Context, dir string) ([]string, error) {
	if dir != "" {
		dir += "/"
	}
	return s.store.List(ctx, dir)
}

// Lock waits until nobody holds name, or ctx is done.
func (s *storage) Lock(ctx context.Context, name string) error {
	for {
		s.locks.Lock()
		free, held := s.held[name]
		if !held {
			s.held[name] = make(chan struct{})
		}
		s.locks.Unlock()
		if !held {
			return nil
		}
		select {
		case <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *storage) Unlock(_ context.Context, name string) error {
	s.locks.Lock()
	defer s.locks.Unlock()
	free, held := s.held[name]
	if !held {
		return fmt.Errorf("unlock %s: nobody holds it", name)
	}
	delete(s.held, name)
	close(free)
	return nil
}

func missing(op, key string) error {
	return &fs.PathError{Op: op, Path: key, Err: fs.ErrNotExist}
}
