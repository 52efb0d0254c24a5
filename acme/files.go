package acme

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// files is a certificate that somebody else renews: a PEM file with the chain, leaf
// first, and one with its key (which may be the same).
type files struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	seen    [2]os.FileInfo // when the files were last read
	problem string         // with the files as they are now; pair is what they were
	failed  time.Time
}

// openFiles fails when the files cannot be used as they are: whoever names them wants
// to know at once.
func openFiles(cert, key string, log *slog.Logger) (*files, error) {
	f := &files{cert: cert, key: key, log: log}
	if err := f.read(); err != nil {
		return nil, fmt.Errorf("certificate files: %w", err)
	}
	return f, nil
}

// certificate returns what the files hold now or, when that cannot be used, what they
// held before: a new certificate is there a moment before its key.
func (f *files) certificate() *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	return f.pair
}

func (f *files) refresh() {
	err := f.read()
	switch {
	case err == nil:
		f.problem, f.failed = "", time.Time{}
	case err.Error() != f.problem:
		f.problem, f.failed = err.Error(), time.Now()
		f.log.Warn("certificate files cannot be used, going on with what they were", "err", err)
	}
}

// read loads the pair when a file has changed since it last did. It fails again and
// again until the files can be used.
func (f *files) read() error {
	var now [2]os.FileInfo
	same := f.pair != nil && f.problem == ""
	for i, name := range []string{f.cert, f.key} {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		now[i] = info
		was := f.seen[i]
		same = same && os.SameFile(was, info) && was.ModTime().Equal(info.ModTime()) && was.Size() == info.Size()
	}
	if same {
		return nil
	}
	pair, err := loadPair(f.cert, f.key)
	if err != nil {
		return err
	}
	if f.pair != nil {
		f.log.Info("certificate files read again", "names", namesOf(pair.Leaf), "until", pair.Leaf.NotAfter)
	}
	f.pair, f.seen = pair, now
	return nil
}

func (f *files) status() Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	c := describe(f.pair.Leaf)
	c.Problem, c.Failed = f.problem, f.failed
	return c
}
