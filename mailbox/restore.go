package mailbox

import (
	"archive/tar"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// RestoreOptions say how a backup is put back; the zero value is careful.
type RestoreOptions struct {
	// Replace moves a store that is in the directory aside, into replaced-TIME;
	// without it that is ErrExists.
	Replace  bool
	Progress func(done, total int64) // in bytes; may be nil
}

// Restored tells what a restore did.
type Restored struct {
	Taken    time.Time `json:"taken"` // when the backup was made
	Accounts int       `json:"accounts"`
	Messages int       `json:"messages"`
	Held     int       `json:"held"` // messages that wait to be sent, for the owner to look at
	// SameUIDs: the store that was there had acknowledged nothing after the backup,
	// so that mail programs may keep what they know. Otherwise every mailbox has a
	// new UIDVALIDITY, and they read it anew.
	SameUIDs bool   `json:"same_uids"`
	Replaced string `json:"replaced,omitempty"` // where the store that was there is now
}

// Restore puts a backup, as WriteTar wrote it, into the data directory dir. Every
// byte is held against the backup's checksums first, and what is in dir stays as
// it is until then. Nothing is sent by itself: what waited in the outbox at the
// time of the backup may have been sent since, so it is held for the owner.
// Errors: ErrExists, ErrLocked, ErrCorrupt for a backup that is not whole.
func Restore(ctx context.Context, r io.Reader, dir string, o RestoreOptions) (Restored, error) {
	return restore(ctx, &tarSource{tar.NewReader(r)}, dir, o)
}

// RestoreDir is Restore from a directory that ReceiveBackup filled.
func RestoreDir(ctx context.Context, from, dir string, o RestoreOptions) (Restored, error) {
	src, err := openBackupDir(from)
	if err != nil {
		return Restored{}, err
	}
	defer src.close()
	return restore(ctx, src, dir, o)
}

func restore(ctx context.Context, src source, dir string, o RestoreOptions) (Restored, error) {
	var out Restored
	if err := makeDir(dir); err != nil {
		return out, err
	}
	release, err := lockDir(dir)
	if err != nil {
		return out, err
	}
	defer release()
	if _, err := finishRestore(dir); err != nil {
		return out, err
	}
	there, err := hasStore(dir)
	if err != nil {
		return out, err
	}
	if there && !o.Replace {
		return out, faultf(ErrExists, "there is a store in %s already: name another directory, or say --replace to move it aside", dir)
	}
	free, err := beginRestore(dir)
	if err != nil {
		return out, err
	}
	defer free()
	stage := filepath.Join(dir, restoringName)
	defer os.RemoveAll(stage) // it has another name once it is whole
	m, err := receive(ctx, src, stage, nil, o.Progress)
	if err != nil {
		return out, fmt.Errorf("read the backup: %w", err)
	}
	out.Taken = m.Taken
	if there {
		out.SameUIDs = unchangedSince(filepath.Join(dir, dbName), m)
	}
	if err := settleIn(ctx, stage, &out); err != nil {
		return out, fmt.Errorf("open the restored store: %w", err)
	}
	if now, err := hasStore(dir); err != nil {
		return out, err
	} else if now && !there {
		return out, faultf(ErrExists, "meanwhile a store was made in %s", dir)
	}
	stage, out.Replaced, err = begunRestore(dir, there)
	if err != nil {
		return out, err
	}
	return out, putBack(dir, stage)
}

// hasStore tells whether a directory has a roost.db or packs.
func hasStore(dir string) (bool, error) {
	packs, err := filepath.Glob(filepath.Join(dir, "packs", "*.pack"))
	if err != nil || len(packs) > 0 {
		return len(packs) > 0, err
	}
	_, err = os.Stat(filepath.Join(dir, dbName))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// unchangedSince tells whether a store acknowledged nothing after a backup of it:
// it is the same store, and no account has gone a modseq further. A file that
// can't be read proves nothing.
func unchangedSince(path string, m Manifest) bool {
	same := false
	err := readDB(path, func(tx *tx) error {
		now, err := tx.modSeqs()
		if err != nil || hex.EncodeToString(tx.Bucket(bMeta).Get(kInstance)) != m.Instance || len(now) != len(m.State) {
			return err
		}
		same = true
		for id, have := range now {
			was, ok := m.State[id]
			same = same && ok && was == have
		}
		return nil
	})
	return err == nil && same
}

// readDB runs f on a bbolt file that may be damaged, as far as Go can catch that.
func readDB(path string, f func(*tx) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v: %w", p, ErrCorrupt)
		}
	}()
	// A copy without a lock: the caller holds the one of the directory.
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, OpenFile: func(name string, _ int, _ os.FileMode) (*os.File, error) {
		return openCopy(name)
	}})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(t *bbolt.Tx) error {
		if t.Bucket(bMeta) == nil {
			return fmt.Errorf("no store is in it: %w", ErrCorrupt)
		}
		return f(txOf(t))
	})
}

// openCopy opens a copy of a file that has no name.
func openCopy(name string) (*os.File, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	f, err := os.CreateTemp(filepath.Dir(name), spoolPrefix)
	if err != nil {
		return nil, err
	}
	if _, err = io.Copy(f, in); err == nil {
		err = os.Remove(f.Name())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// settleIn makes a store that was put back from an earlier moment ready for use.
func settleIn(ctx context.Context, dir string, out *Restored) error {
	s, err := openFile(dir, dbName, Options{}.withDefaults())
	if err != nil {
		return err
	}
	err = s.settle(ctx, out)
	return errors.Join(err, s.Close())
}

// settle holds the outbox, gives mailboxes a new UIDVALIDITY unless the UIDs are
// the same for sure, and counts what is there.
func (s *Store) settle(ctx context.Context, out *Restored) error {
	ids, err := s.Accounts()
	if err != nil {
		return err
	}
	out.Accounts, out.Messages = len(ids), 0
	for _, a := range ids {
		if !out.SameUIDs {
			if err := s.renewUIDs(ctx, a.ID); err != nil {
				return err
			}
		}
		u, err := s.AccountUsage(a.ID)
		if err != nil {
			return err
		}
		out.Messages += int(u.Messages)
	}
	waiting, err := s.Outbox()
	if err != nil {
		return err
	}
	out.Held = len(waiting)
	for _, o := range waiting {
		if o.Held {
			continue
		}
		if err := s.update(ctx, func(tx *tx) error { return tx.hold(o.ID) }); err != nil {
			return err
		}
	}
	return nil
}

// renewUIDs gives every mailbox of an account a UIDVALIDITY that it never had.
func (s *Store) renewUIDs(ctx context.Context, id AccountID) error {
	return s.update(ctx, func(tx *tx) error {
		folders, err := tx.folders(id)
		if err != nil {
			return err
		}
		st, err := tx.state(id)
		if err != nil {
			return err
		}
		// Also more than what the lost store may have given since the backup.
		st.uidValidity = max(st.uidValidity, uint32(time.Now().Unix()))
		for _, f := range folders {
			st.uidValidity++
			f.UIDValidity = st.uidValidity
			if err := tx.putFolder(id, f); err != nil {
				return err
			}
		}
		return tx.putState(id, st)
	})
}

// hold takes an outbox row off the schedule: it waits for the owner.
func (tx *tx) hold(id OutboxID) error {
	o, err := tx.outgoing(id)
	if err != nil {
		return err
	}
	if err := tx.delete(bDue, dueKey(o)); err != nil {
		return err
	}
	o.Held = true
	tx.ringOutbox = true
	return tx.putJSON(bOutbox, be64(uint64(o.ID)), o)
}

// parseManifest reads backup.json.
func parseManifest(b []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil || m.Roost == 0 {
		return m, faultf(ErrCorrupt, "this is not a backup of Roost: its %s can't be read", manifestName)
	}
	if m.Roost > 1 || m.Format > format {
		return m, faultf(ErrInvalid, "the backup has layout %d and format %d, and this Roost knows layout 1 and formats 1 to %d: run a newer Roost", m.Roost, m.Format, format)
	}
	return m, nil
}
