package mailbox

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// A backup is a tar file of a data directory at one moment, which any tar can
// unpack:
//
//	backup.json          Manifest
//	packs/NNNNNNNN.pack  each pack, up to the last record that was committed
//	roost.db
//	SHA256SUMS           of all files above, as sha256sum(1) writes and checks them
//
// roost.db is copied first, to a file without a name beside the store, so that
// whoever receives the backup may be slow: no transaction waits for it. The packs
// that it needs are pinned until all is written; they only ever grow.

// Manifest says what a backup is of.
type Manifest struct {
	Roost    int            `json:"roost_backup"` // version of this layout: 1
	Instance string         `json:"instance"`     // of the store
	Format   int            `json:"format"`       // of the data model
	Taken    time.Time      `json:"taken"`
	Database int64          `json:"database"` // bytes of roost.db
	Packs    []ManifestPack `json:"packs"`
	// State has the modseq of each account: a store that still has all of them is
	// the same as it was, see Restore.
	State map[AccountID]ModSeq `json:"state"`
}

// ManifestPack is one pack of a backup.
type ManifestPack struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

const (
	manifestName = "backup.json"
	sumsName     = "SHA256SUMS"
	packsPrefix  = "packs/"
)

// Backup is a backup that is being made. It holds the disk space of packs that
// would have gone meanwhile: the caller closes it.
type Backup struct {
	Manifest Manifest

	s      *Store
	db     *os.File
	pinned []packNumber
}

// NewBackup notes the state of the store as it is now, which is what WriteTar
// writes later. It needs as much disk space as roost.db has. Errors: ErrFull.
func (s *Store) NewBackup(ctx context.Context) (*Backup, error) {
	b, err := s.newBackup(ctx)
	for range 10 { // a pack may go between the moment that is looked at and the pin
		if !errors.Is(err, errPackGone) {
			break
		}
		b, err = s.newBackup(ctx)
	}
	return b, err
}

func (s *Store) newBackup(ctx context.Context) (*Backup, error) {
	var size int64
	if err := s.view(func(tx *tx) error { size = tx.Size(); return nil }); err != nil {
		return nil, err
	}
	if err := s.room(size); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(s.dir, spoolPrefix)
	if err != nil {
		return nil, err
	}
	b := &Backup{s: s, db: f, Manifest: Manifest{Roost: 1, Format: format, Taken: time.Now().UTC().Truncate(time.Second)}}
	if err := os.Remove(f.Name()); err != nil {
		b.Close()
		return nil, err
	}
	err = s.copyDB(ctx, f, b.note)
	if err == nil {
		b.Manifest.Database, err = f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// note fills in the manifest and pins the packs.
func (b *Backup) note(tx *tx) error {
	m := &b.Manifest
	m.Instance = hex.EncodeToString(tx.Bucket(bMeta).Get(kInstance))
	state, err := tx.modSeqs()
	if err != nil {
		return err
	}
	m.State = state
	return tx.each(bPacks, nil, func(k, v []byte) error {
		row, err := parsePackRow(v)
		if err != nil || row.records == 0 {
			return err
		}
		n := packNumber(binary.BigEndian.Uint32(k))
		if b.s.packs.pinFile(n) {
			b.pinned = append(b.pinned, n)
		} else if !b.s.packs.missing(n) {
			return errPackGone
		}
		m.Packs = append(m.Packs, ManifestPack{packName(n), row.size})
		return nil
	})
}

// modSeqs is the modseq of every account.
func (tx *tx) modSeqs() (map[AccountID]ModSeq, error) {
	all := make(map[AccountID]ModSeq)
	err := tx.eachAccount(func(row *accountRow) error {
		st, err := tx.state(row.ID)
		all[row.ID] = st.modSeq
		return err
	})
	return all, err
}

// Close gives back what the backup holds.
func (b *Backup) Close() error {
	for _, n := range b.pinned {
		b.s.packs.unpin(n)
	}
	b.pinned = nil
	return b.db.Close()
}

// Size is the number of bytes of files that WriteTar writes when nothing is there
// already: progress is told in them.
func (b *Backup) Size() int64 {
	total := b.Manifest.Database
	for _, p := range b.Manifest.Packs {
		total += p.Size
	}
	return total
}

// TarSize is the number of bytes that WriteTar writes, when nothing is damaged.
func (b *Backup) TarSize(have map[string]int64) (int64, error) {
	manifest, err := json.MarshalIndent(&b.Manifest, "", "  ")
	if err != nil {
		return 0, err
	}
	files := []ManifestPack{{manifestName, int64(len(manifest))}}
	for _, p := range b.Manifest.Packs {
		if have[p.Name] != p.Size {
			files = append(files, ManifestPack{packsPrefix + p.Name, p.Size})
		}
	}
	files = append(files, ManifestPack{dbName, b.Manifest.Database})
	sums := int64(0)
	for _, f := range files {
		sums += 2*sha256.Size + int64(len("  "+f.Name+"\n"))
	}
	total := int64(2 * tarBlock) // the end
	for _, f := range append(files, ManifestPack{sumsName, sums}) {
		var header counter // longer than a block for a file of 8 GB
		if err := tar.NewWriter(&header).WriteHeader(b.header(f.Name, f.Size)); err != nil {
			return 0, err
		}
		total += int64(header) + (f.Size+tarBlock-1)/tarBlock*tarBlock
	}
	return total, nil
}

const tarBlock = 512

// counter counts what is written.
type counter int64

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }

func (b *Backup) header(name string, size int64) *tar.Header {
	return &tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: b.Manifest.Taken}
}

// BackupSize is about how many bytes a whole backup would have now.
func (s *Store) BackupSize() (total int64, err error) {
	err = s.view(func(tx *tx) error {
		total = tx.Size()
		return tx.each(bPacks, nil, func(_, v []byte) error {
			row, err := parsePackRow(v)
			if row.records > 0 {
				total += row.size
			}
			return err
		})
	})
	return total, err
}

// WriteTar writes the backup. The packs that have tells of, by name and size, are
// with the receiver already and are left out: a pack of one size never changes.
// progress, if not nil, is called with the bytes of files done so far. A pack
// that is gone or too short from damage is left out as far as it is, and named in
// the error ErrCorrupt after all else is written.
func (b *Backup) WriteTar(ctx context.Context, w io.Writer, have map[string]int64, progress func(done int64)) error {
	t := &tarWriter{ctx: ctx, tar: tar.NewWriter(w), header: b.header, progress: progress}
	manifest, err := json.MarshalIndent(&b.Manifest, "", "  ")
	if err != nil {
		return err
	}
	if err := t.bytes(manifestName, manifest); err != nil {
		return err
	}
	var damaged error
	for _, p := range b.Manifest.Packs {
		if have[p.Name] == p.Size {
			t.skip(p.Size)
			continue
		}
		src, size, err := b.s.packs.open(p.Name)
		if err == nil && size < p.Size {
			err = fmt.Errorf("%s has %d bytes and should have %d", p.Name, size, p.Size)
		}
		if err != nil {
			damaged = errors.Join(damaged, faultf(ErrCorrupt, "the backup is without all of a pack: %v", err))
			p.Size = min(p.Size, size)
		}
		if src == nil {
			continue
		}
		err = t.file(packsPrefix+p.Name, io.NewSectionReader(src, 0, p.Size), p.Size)
		src.Close()
		if err != nil {
			return fmt.Errorf("back up %s: %w", p.Name, err)
		}
	}
	if err := t.file(dbName, io.NewSectionReader(b.db, 0, b.Manifest.Database), b.Manifest.Database); err != nil {
		return fmt.Errorf("back up roost.db: %w", err)
	}
	if err := t.bytes(sumsName, t.sums); err != nil {
		return err
	}
	return errors.Join(t.tar.Close(), damaged)
}

// tarWriter writes files one behind the other and notes their checksums.
type tarWriter struct {
	ctx      context.Context
	tar      *tar.Writer
	header   func(name string, size int64) *tar.Header
	sums     []byte
	done     int64
	progress func(int64)
}

func (t *tarWriter) bytes(name string, b []byte) error {
	if err := t.tar.WriteHeader(t.header(name, int64(len(b)))); err != nil {
		return err
	}
	if name != sumsName {
		t.sum(name, sha256.Sum256(b))
	}
	_, err := t.tar.Write(b)
	return err
}

func (t *tarWriter) file(name string, r io.Reader, size int64) error {
	if err := t.tar.WriteHeader(t.header(name, size)); err != nil {
		return err
	}
	hash := sha256.New()
	for buf := make([]byte, 1<<20); size > 0; {
		if err := t.ctx.Err(); err != nil {
			return err
		}
		part := buf[:min(int64(len(buf)), size)]
		if _, err := io.ReadFull(r, part); err != nil {
			return err
		}
		hash.Write(part)
		if _, err := t.tar.Write(part); err != nil {
			return err
		}
		size -= int64(len(part))
		t.skip(int64(len(part)))
	}
	t.sum(name, [sha256.Size]byte(hash.Sum(nil)))
	return nil
}

func (t *tarWriter) sum(name string, sum [sha256.Size]byte) {
	t.sums = fmt.Appendf(t.sums, "%x  %s\n", sum, name)
}

func (t *tarWriter) skip(n int64) {
	if t.done += n; t.progress != nil {
		t.progress(t.done)
	}
}

// pinFile pins a pack that is there.
func (p *packs) pinFile(n packNumber) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.files[n] == nil {
		return false
	}
	p.pins[n]++
	return true
}

// missing tells that a pack was not there when the store was opened.
func (p *packs) missing(n packNumber) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Contains(p.lost, n)
}

// open opens a pack's file once more, for reading; nil and an error when it is
// not there.
func (p *packs) open(name string) (*os.File, int64, error) {
	f, err := os.Open(p.path(name))
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, st.Size(), nil
}
