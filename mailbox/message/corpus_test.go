package message_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// corpus is beside the repository, not in it: see its README.
const corpus = "../../../shared/corpus"

// eachMessage calls f with every file of an archive that may be a message.
func eachMessage(t *testing.T, archive string, f func(name string, data []byte)) {
	t.Helper()
	file, err := os.Open(filepath.FromSlash(corpus + "/" + archive))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the corpus is not there:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg || strings.HasSuffix(h.Name, ".tsv") {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		f(h.Name, data)
	}
}

// TestTorture holds the invariants over broken mail of other projects' tests,
// as it is and with the line ends that SMTP would have made.
func TestTorture(t *testing.T) {
	n := 0
	eachMessage(t, "mime/mime-torture.tar.gz", func(name string, data []byte) {
		n++
		t.Run(name, func(t *testing.T) {
			checkInvariants(t, data)
			checkInvariants(t, bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n")))
		})
	})
	if n < 300 {
		t.Errorf("only %d messages", n)
	}
}

// TestRealMail holds them over mail that people and mailing lists received.
func TestRealMail(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of messages")
	}
	n := 0
	eachMessage(t, "junk/spamassassin-2002-dev.tar.gz", func(_ string, data []byte) {
		if n++; n%4 == 0 { // a quarter takes a second
			checkInvariants(t, data)
		}
	})
	if n < 4000 {
		t.Errorf("only %d messages", n)
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/nasty/*.eml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkInvariants(t, data) })
}
