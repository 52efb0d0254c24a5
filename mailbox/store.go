package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Options tune a store; the zero value is right for a server.
type Options struct {
	Log *slog.Logger // nil discards

	// LockTimeout is how long Open waits for another process that holds the
	// data directory; 0 is one second.
	LockTimeout time.Duration

	// MaxMessage is the size of the largest message taken, in bytes; 0 is what
	// Settings say.
	MaxMessage int64

	// ReserveBytes is the free disk space below which new mail is refused
	// while flags and expunges go on; 0 is 64 MB.
	ReserveBytes int64

	// Inspect looks at roost.db, by its path, before it is opened after a stop that
	// was not clean: a damaged file may take the process that maps it along, so it
	// runs the function Inspect in another one. nil: the file is opened unseen.
	Inspect func(path string) error
}

const (
	dbName = "roost.db"
	// runningName is a file that is there while a store is open, and after a stop
	// that was not clean.
	runningName = "running"
)

// Store is an open data directory. Its methods may be called from any number
// of goroutines; everything that changes it goes through one writer.
type Store struct {
	dir  string
	opts Options
	log  *slog.Logger
	db   *bbolt.DB

	packs      *packs
	spools     spoolRoom
	delivering atomic.Int64 // messages that are in a pack and wait for their commit
	zip        *zstd.Encoder
	unzip      *unzipper
	bodyID     atomic.Uint64 // of the last body
	maxMessage atomic.Int64  // as Settings say
	logins     *logins
	guard      *guard
	searchers  searchers
	pages      pages
	reads      aheadOf
	bells      bells
	recent     recents
	memos      memos

	first      chan *commit  // deliveries, and what a person waits for
	bulk       chan *commit  // what may wait behind them
	damages    chan Damage   // found by readers
	wake       chan struct{} // there is work for Maintain
	stop       chan struct{}
	stopped    sync.WaitGroup
	broken     atomic.Bool
	fell       chan struct{} // closed when it broke
	unreadable atomic.Bool   // it was told that roost.db is damaged
	marked     bool          // the file runningName is there
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = time.Second
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = 64 << 20
	}
	return o
}

// Open opens the data directory dir, making it when it is not there, brings an
// older format up to date, and starts the writer. Errors: ErrLocked when
// another process has it open; others say what is wrong with the directory.
func Open(dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	if done, err := finishRestore(dir); err != nil {
		return nil, err
	} else if done {
		o.Log.Info("finished a restore that was interrupted", "directory", dir)
	}
	if err := inspectFirst(dir, o); err != nil {
		return nil, err
	}
	if err := createFile(dir, o); err != nil {
		return nil, fmt.Errorf("make the store in %s: %w", dir, err)
	}
	s, err := openFile(dir, dbName, o)
	if err != nil {
		return nil, err
	}
	if err := s.markRunning(); err != nil {
		s.Close()
		return nil, fmt.Errorf("open the store in %s: %w", dir, err)
	}
	return s, nil
}

// makeDir makes a data directory, and has its name on the disk before anything in it
// is promised.
func makeDir(dir string) error {
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = nameDir(dir)
	}
	if err != nil {
		return err
	}
	return os.MkdirAll(filepath.Join(dir, "packs"), 0o700)
}

// nameDir makes a directory, and those above it that are missing.
func nameDir(dir string) error {
	above := filepath.Dir(dir)
	if _, err := os.Stat(dir); err == nil {
		// The process that made it may have been killed before it came to this. It is no
		// error if the one above is not ours to open.
		_ = syncDir(above)
		return nil
	}
	if err := nameDir(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(above)
}

// createFile makes roost.db where there is none. It has that name only once it
// is whole: a power cut before leaves nothing that would not open.
func createFile(dir string, o Options) error {
	path := filepath.Join(dir, dbName)
	if st, err := os.Stat(path); err == nil && st.Size() > 0 {
		return nil
	}
	if err := os.Remove(path + ".new"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(path+".new", 0o600, &bbolt.Options{Timeout: o.LockTimeout, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil // another process makes it, and has it open
	}
	if err != nil {
		return err
	}
	if err := errors.Join(prepare(db), db.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(dir)
}

// openFile opens the store whose bbolt file has the given name in dir.
func openFile(dir, name string, o Options) (*Store, error) {
	db, err := bbolt.Open(filepath.Join(dir, name), 0o600, &bbolt.Options{
		Timeout:         o.LockTimeout,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: 256 << 20, // address space only; a remap would wait for every reader
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, faultf(ErrLocked, "%s is in use by another process: is a Roost server running on it?", dir)
	}
	if errors.Is(err, bolterrors.ErrInvalid) || errors.Is(err, bolterrors.ErrChecksum) || errors.Is(err, bolterrors.ErrVersionMismatch) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, damagedFile(dir, err.Error())
	}
	if err != nil {
		return nil, fmt.Errorf("open the store in %s: %w", dir, err)
	}
	s := &Store{
		dir: dir, opts: o, log: o.Log, db: db,
		logins: newLogins(), guard: newGuard(), searchers: newSearchers(),
		first:   make(chan *commit),
		bulk:    make(chan *commit),
		stop:    make(chan struct{}),
		damages: make(chan Damage, damagesWaiting),
		wake:    make(chan struct{}, 1),
		fell:    make(chan struct{}),
	}
	if s.reads.file, err = os.Open(db.Path()); err != nil {
		o.Log.Warn("rows are not read ahead", "error", err)
	}
	if err := s.start(); err != nil {
		s.reads.file.Close()
		db.Close()
		return nil, fmt.Errorf("open the store in %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) start() error {
	if err := prepare(s.db); err != nil {
		return err
	}
	var err error
	if s.zip, err = newZip(); err != nil {
		return err
	}
	if s.unzip, err = newUnzip(); err != nil {
		return err
	}
	if err := dropSpools(s.dir); err != nil {
		return err
	}
	err = s.view(func(tx *tx) error {
		last := tx.Bucket(bBodies).Sequence()
		if k, _ := tx.Bucket(bBodies).Cursor().Last(); k != nil {
			last = max(last, bodyKey(k))
		}
		// What was refused has a number as well, in the journal alone.
		if k, _ := tx.Bucket(bTraces).Cursor().Last(); len(k) == 16 {
			last = max(last, bodyKey(k[:8]))
		}
		var clean bool
		s.packs, clean, err = openPacks(filepath.Join(s.dir, "packs"), tx, s.log)
		if !clean {
			last += uncommittedIDs
		}
		s.bodyID.Store(last)
		if err != nil {
			return err
		}
		var v Settings
		err = tx.settings(&v)
		s.maxMessage.Store(v.maxMessage())
		return err
	})
	if err != nil {
		return err
	}
	if err := s.migrate(); err != nil {
		s.packs.close()
		return err
	}
	if err := s.loadBlocks(); err != nil {
		s.packs.close()
		return err
	}
	if err := s.keepReserve(context.Background()); err != nil {
		s.log.Warn("there is no reserve for a full disk", "error", err)
	}
	s.stopped.Go(s.write)
	return nil
}

// uncommittedIDs is how many numbers are passed over after an unclean stop:
// records that were not committed have some of them.
const uncommittedIDs = 1 << 16

// Close lets the commit at hand finish and closes the files. Changes asked for
// afterwards fail with ErrClosed.
func (s *Store) Close() error {
	close(s.stop)
	s.stopped.Wait()
	err := errors.Join(s.packs.close(), s.db.Close())
	s.reads.file.Close()
	if err == nil && s.marked && !s.broken.Load() {
		err = os.Remove(filepath.Join(s.dir, runningName))
	}
	return err
}

// Broken is closed when the store met a write error after which nobody knows what
// the disk holds. It can be read still; only opening it anew makes it take changes.
func (s *Store) Broken() <-chan struct{} { return s.fell }

// Dir is the data directory.
func (s *Store) Dir() string { return s.dir }

// Format is the version of the data model on disk.
func (s *Store) Format() int { return format }

// MaxMessage is the size of the largest message taken, in bytes: SIZE in SMTP
// (RFC 1870), APPENDLIMIT in IMAP (RFC 7889).
func (s *Store) MaxMessage() int64 {
	if s.opts.MaxMessage > 0 {
		return s.opts.MaxMessage
	}
	return s.maxMessage.Load()
}
