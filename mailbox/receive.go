package mailbox

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A source is a backup file by file, in the order in which WriteTar writes them.
type source interface {
	next() (name string, size int64, r io.Reader, err error) // io.EOF at the end
}

type tarSource struct{ tar *tar.Reader }

func (s *tarSource) next() (string, int64, io.Reader, error) {
	h, err := s.tar.Next()
	if err == io.EOF {
		return "", 0, nil, err
	}
	if err != nil {
		return "", 0, nil, faultf(ErrCorrupt, "the backup is cut off or damaged: %v", err)
	}
	if h.Typeflag != tar.TypeReg {
		return "", 0, nil, faultf(ErrCorrupt, "the backup has something else than files in it: %q", h.Name)
	}
	return h.Name, h.Size, s.tar, nil
}

// dirSource is a directory with the files of a backup.
type dirSource struct {
	dir   string
	names []string
	open  *os.File
}

func openBackupDir(dir string) (*dirSource, error) {
	if err := finishBackup(dir); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, faultf(ErrNotFound, "there is no backup in %s: it has no %s", dir, manifestName)
	}
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(b)
	if err != nil {
		return nil, err
	}
	s := &dirSource{dir: dir, names: []string{manifestName}}
	for _, p := range m.Packs {
		s.names = append(s.names, packsPrefix+p.Name)
	}
	s.names = append(s.names, dbName, sumsName)
	return s, nil
}

func (s *dirSource) next() (string, int64, io.Reader, error) {
	s.close()
	if len(s.names) == 0 {
		return "", 0, nil, io.EOF
	}
	name := s.names[0]
	s.names = s.names[1:]
	f, err := os.Open(filepath.Join(s.dir, name))
	if err != nil {
		return "", 0, nil, err
	}
	s.open = f
	st, err := f.Stat()
	if err != nil {
		return "", 0, nil, err
	}
	return name, st.Size(), f, nil
}

func (s *dirSource) close() {
	if s.open != nil {
		s.open.Close()
	}
}

var packFile = regexp.MustCompile(`^packs/[0-9]{8,10}\.pack$`)

// maxBackupMeta is the most bytes taken of backup.json and of SHA256SUMS.
const maxBackupMeta = 64 << 20

// newSuffix is what the files of a backup are called until all of them are whole.
const newSuffix = ".new"

// receive writes a backup's files into dir and holds them against their checksums.
// An earlier backup in dir stays until this one is whole. kept are the packs, with
// their checksums, that are in dir already and may be missing in the backup.
func receive(ctx context.Context, src source, dir string, kept map[string]string, progress func(done, total int64)) (Manifest, error) {
	var m Manifest
	if err := makeDir(dir); err != nil {
		return m, err
	}
	if err := dropUnfinished(dir); err != nil {
		return m, err
	}
	sums := make(map[string]string) // as computed
	var manifest, told []byte
	var done, total int64
	for {
		name, size, r, err := src.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return m, err
		}
		switch {
		case manifest == nil && name == manifestName, name == sumsName && told == nil && manifest != nil:
			b, err := io.ReadAll(io.LimitReader(r, maxBackupMeta))
			if err != nil {
				return m, faultf(ErrCorrupt, "the backup is cut off: %v", err)
			}
			if name == sumsName {
				told = b
				continue
			}
			sum := sha256.Sum256(b)
			manifest, sums[name] = b, hex.EncodeToString(sum[:])
			if m, err = parseManifest(b); err != nil {
				return m, err
			}
			total = m.Database
			for _, p := range m.Packs {
				if _, ok := kept[packsPrefix+p.Name]; !ok {
					total += p.Size
				}
			}
		case manifest != nil && (name == dbName || packFile.MatchString(name)):
			sum, err := receiveFile(ctx, filepath.Join(dir, name+newSuffix), size, r, func(n int64) {
				if done += n; progress != nil {
					progress(done, total)
				}
			})
			if err != nil {
				return m, err
			}
			sums[name] = sum
		default:
			return m, faultf(ErrCorrupt, "this is not a backup of Roost: %q is in it", name)
		}
	}
	if told == nil {
		return m, faultf(ErrCorrupt, "the backup is cut off: it has no %s", sumsName)
	}
	if err := compareSums(told, sums); err != nil {
		return m, err
	}
	for _, p := range m.Packs {
		name := packsPrefix + p.Name
		if sums[name] == "" {
			sums[name] = kept[name]
		}
		if sums[name] == "" {
			return m, faultf(ErrCorrupt, "the backup is without %s", name)
		}
	}
	if sums[dbName] == "" {
		return m, faultf(ErrCorrupt, "the backup is without %s", dbName)
	}
	if err := writeMeta(dir, manifest, sums); err != nil {
		return m, err
	}
	return m, finishBackup(dir)
}

// finishBackup gives the files of a backup that is whole their names: it is, once
// its SHA256SUMS is there.
func finishBackup(dir string) error {
	path := filepath.Join(dir, sumsName)
	b, err := os.ReadFile(path + newSuffix)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	sums, err := parseSums(b)
	if err != nil {
		return err
	}
	for name := range sums {
		if name != dbName && name != manifestName && !packFile.MatchString(name) {
			return faultf(ErrCorrupt, "this is not a backup of Roost: %q is in it", name)
		}
		to := filepath.Join(dir, name)
		if err := os.Rename(to+newSuffix, to); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := errors.Join(syncDir(filepath.Join(dir, "packs")), syncDir(dir)); err != nil {
		return err
	}
	if err := os.Rename(path+newSuffix, path); err != nil {
		return err
	}
	return syncDir(dir)
}

// dropUnfinished removes what is left of a backup that never was whole.
func dropUnfinished(dir string) error {
	if err := finishBackup(dir); err != nil {
		return err
	}
	for _, pattern := range []string{"*" + newSuffix, "packs/*" + newSuffix, "*" + newSuffix + partSuffix, "packs/*" + newSuffix + partSuffix} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

const partSuffix = ".part"

// receiveFile writes a file under a name of its own first, so that one which was
// there stays until the new one is whole.
func receiveFile(ctx context.Context, path string, size int64, r io.Reader, progress func(n int64)) (string, error) {
	f, err := os.OpenFile(path+partSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	for buf := make([]byte, 1<<20); size > 0; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		part := buf[:min(int64(len(buf)), size)]
		if _, err := io.ReadFull(r, part); err != nil {
			return "", faultf(ErrCorrupt, "the backup is cut off in %s: %v", filepath.Base(path), err)
		}
		hash.Write(part)
		if _, err := f.Write(part); err != nil {
			return "", err
		}
		size -= int64(len(part))
		progress(int64(len(part)))
	}
	if err := f.Sync(); err != nil {
		return "", err
	}
	if err := os.Rename(path+partSuffix, path); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), syncDir(filepath.Dir(path))
}

// compareSums holds what was read against what the backup says.
func compareSums(told []byte, have map[string]string) error {
	want, err := parseSums(told)
	if err != nil {
		return err
	}
	for name, sum := range have {
		if want[name] != sum {
			return faultf(ErrCorrupt, "%s is damaged in the backup: its checksum does not hold", name)
		}
	}
	for name := range want {
		if have[name] == "" {
			return faultf(ErrCorrupt, "the backup is without %s", name)
		}
	}
	return nil
}

func parseSums(b []byte) (map[string]string, error) {
	sums := make(map[string]string)
	for line := range bytes.Lines(b) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), "  ")
		if !ok || len(sum) != 2*sha256.Size {
			return nil, faultf(ErrCorrupt, "%s can't be read", sumsName)
		}
		sums[name] = sum
	}
	return sums, nil
}

func writeMeta(dir string, manifest []byte, sums map[string]string) error {
	var b []byte
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range sums {
			if !yield(name) {
				return
			}
		}
	}) {
		b = fmt.Appendf(b, "%s  %s\n", sums[name], name)
	}
	for _, f := range []struct {
		name string
		b    []byte
	}{{manifestName, manifest}, {sumsName, b}} { // in this order, see finishBackup
		if _, err := receiveFile(context.Background(), filepath.Join(dir, f.name+newSuffix), int64(len(f.b)), bytes.NewReader(f.b), func(int64) {}); err != nil {
			return err
		}
	}
	return nil
}

// BackupHas tells which packs, by name and size, a directory has from an earlier
// ReceiveBackup. A file whose size is not what was received is not among them. A
// directory without a backup has none.
func BackupHas(dir string) (map[string]int64, error) {
	sums, err := keptSums(dir)
	have := make(map[string]int64)
	for name := range sums {
		if st, err := os.Stat(filepath.Join(dir, name)); err == nil {
			have[strings.TrimPrefix(name, packsPrefix)] = st.Size()
		}
	}
	return have, err
}

func keptSums(dir string) (map[string]string, error) {
	if err := finishBackup(dir); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, sumsName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	sums, err := parseSums(b)
	for name := range sums {
		if !packFile.MatchString(name) {
			delete(sums, name)
		}
	}
	return sums, err
}

// ReceiveBackup writes a backup that WriteTar makes, without the packs that
// BackupHas told, as files into a directory, where `sha256sum -c SHA256SUMS` and
// RestoreDir find them. Until all of it is whole, an earlier backup that is there
// stays; packs that are not needed any more are removed at the end.
func ReceiveBackup(ctx context.Context, r io.Reader, dir string, progress func(done, total int64)) (Manifest, error) {
	kept, err := keptSums(dir)
	if err != nil {
		return Manifest{}, err
	}
	m, err := receive(ctx, &tarSource{tar.NewReader(r)}, dir, kept, progress)
	if err != nil {
		return m, err
	}
	need := make(map[string]bool)
	for _, p := range m.Packs {
		need[packsPrefix+p.Name] = true
	}
	for name := range kept {
		if !need[name] {
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return m, err
			}
		}
	}
	return m, nil
}
