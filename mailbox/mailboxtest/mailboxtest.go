// Package mailboxtest has what tests of the store, and of those who fill it, share: a
// disk that is soon full, and the mail that others have collected.
//
// It refuses to be used outside tests, and to know the store.
package mailboxtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// SmallDisk mounts a file system of its own, of some MB, until the test ends. That
// takes root: without it the test is skipped, and fails under CI=true.
func SmallDisk(t testing.TB, mb int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("roost-test", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mb)); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mount a small file system: %v", err)
		}
		t.Skipf("a small file system can't be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// The archives of the corpus, which is beside the repository, not in it: see its
// README.
const (
	Torture  = "mime/mime-torture.tar.gz"              // what breaks parsers of others
	RealMail = "junk/spamassassin-2002-dev.tar.gz"     // what people and lists received
	LateMail = "junk/csdmc2010-2009-2010-extra.tar.gz" // the same, later
)

// NeedCorpus skips the test where the corpus is not there.
func NeedCorpus(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(corpus(t)); err != nil {
		t.Skip("the corpus is not there:", err)
	}
}

// Messages are the messages in an archive, by the names and with the line ends that
// they have there. Where the corpus is not there, there are none.
func Messages(t testing.TB, archive string) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		t.Helper()
		file, err := os.Open(filepath.Join(corpus(t), filepath.FromSlash(archive)))
		if errors.Is(err, os.ErrNotExist) {
			t.Log("the corpus is not there:", err)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		z, err := gzip.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		for r := tar.NewReader(z); ; {
			h, err := r.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Typeflag != tar.TypeReg || h.Size == 0 || strings.HasSuffix(h.Name, ".tsv") || strings.Contains(h.Name, "LICENSES/") {
				continue
			}
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if !yield(strings.TrimPrefix(h.Name, "./"), data) {
				return
			}
		}
	}
}

// Transport gives a message the line ends that SMTP would have made.
func Transport(data []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

// corpus finds the directory from that of whichever package is tested.
func corpus(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for at := dir; ; {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return filepath.Join(at, "..", "shared", "corpus")
		}
		above := filepath.Dir(at)
		if above == at {
			t.Fatal("no go.mod above", dir)
		}
		at = above
	}
}
