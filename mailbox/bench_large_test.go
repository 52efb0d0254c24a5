package mailbox

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkLargeStore makes a store of ROOST_LONG_GB gigabytes of mail (10, with
// ROOST_LONG=1; without it there is nothing to measure) and measures what takes
// longer the more mail there is:
//
//	ROOST_LONG=1 go test ./mailbox -run '^$' -bench LargeStore -benchtime 1x -timeout 1h
//
// A store that was not closed is opened after another process looked through its
// roost.db, as a server does it. Rates are of bytes of mail, except for inspect's,
// which is of roost.db.
func BenchmarkLargeStore(b *testing.B) {
	if os.Getenv("ROOST_LONG") != "1" {
		b.Skip("ROOST_LONG is not 1")
	}
	gb, err := strconv.ParseFloat(os.Getenv("ROOST_LONG_GB"), 64)
	if err != nil {
		gb = 10
	}
	dir := b.TempDir()
	began := time.Now()
	mail, messages := fillStore(b, dir, int64(gb*1e9))
	b.Logf("%d messages of %.2f GB made in %s", messages, float64(mail)/1e9, time.Since(began).Round(time.Second))
	st, err := os.Stat(filepath.Join(dir, dbName))
	if err != nil {
		b.Fatal(err)
	}
	db := st.Size()
	b.Logf("roost.db has %.1f MB; %.2f bytes on disk per byte of mail", float64(db)/1e6, float64(diskUse(b, dir))/float64(mail))
	rate := func(name string, bytes int64, f func()) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(bytes)
			for b.Loop() {
				f()
			}
		})
	}
	open := func(o Options) *Store {
		o.ReserveBytes = 1 << 20
		s, err := Open(dir, o)
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	rate("open after a clean stop", 0, func() { must(open(Options{}).Close()) })
	rate("open after a kill", 0, func() {
		must(os.WriteFile(filepath.Join(dir, runningName), nil, 0o600))
		must(open(Options{Inspect: inspectElsewhere(b)}).Close())
	})
	rate("inspect", db, func() { must(Inspect(filepath.Join(dir, dbName))) })
	s := open(Options{})
	defer s.Close()
	ctx := context.Background()
	b.Run("delivery", func(b *testing.B) {
		text := "From: friend@example.net\r\nTo: ann@example.org\r\nSubject: one more\r\n\r\n" + someText(rand.New(rand.NewPCG(3, 4)), 8_000)
		ann, err := s.Account("ann@example.org")
		must(err)
		var each latencies
		for b.Loop() {
			for range 500 {
				begun := time.Now()
				accept(b, s, text, Placement{Account: ann.ID})
				each = append(each, time.Since(begun))
			}
		}
		each.report(b, "delivery")
	})
	rate("check", mail, func() {
		r, err := s.Check(ctx)
		must(err)
		must(r.Err())
	})
	rate("snapshot of roost.db", db, func() {
		must(os.RemoveAll(snapshotDir(dir)))
		must(s.takeSnapshot(ctx))
	})
	out := filepath.Join(b.TempDir(), "backup.tar")
	rate("backup", mail, func() {
		f, err := os.Create(out)
		must(err)
		bk, err := s.NewBackup(ctx)
		must(err)
		must(bk.WriteTar(ctx, f, nil, nil))
		must(bk.Close())
		must(f.Sync())
		must(f.Close())
	})
	rate("restore", mail, func() {
		f, err := os.Open(out)
		must(err)
		to := b.TempDir()
		_, err = Restore(ctx, f, to, RestoreOptions{})
		must(err)
		must(f.Close())
		must(os.RemoveAll(to))
	})
}

func diskUse(t testing.TB, dir string) (sum int64) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, st os.FileInfo, err error) error {
		if err == nil && st.Mode().IsRegular() && st.Name() != reserveName {
			sum += st.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// fillStore puts mail into a store, 70 % small, 20 % of some ten kilobytes, 9 % of
// up to a megabyte, 1 % of 5 MB, where the large ones are what compression has
// nothing to win from.
func fillStore(b *testing.B, dir string, size int64) (mail int64, messages int) {
	s, err := Open(dir, Options{ReserveBytes: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer closeStoreUnchecked(b, s)
	ctx := context.Background()
	if _, err := s.AddDomain(ctx, "example.org"); err != nil {
		b.Fatal(err)
	}
	a, err := s.CreateAccount(ctx, NewAccount{Address: "ann@example.org"})
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 5<<20)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	attachment := base64.StdEncoding.EncodeToString(noise)
	for mail < size {
		var all []Intake
		for range 100 {
			n := 4_000 + rng.IntN(8_000)
			attached := 0
			switch k := rng.IntN(100); {
			case k == 0:
				attached = 5 << 20
			case k < 10:
				attached = 500_000 + rng.IntN(500_000)
			case k < 30:
				n = 40_000 + rng.IntN(60_000)
			}
			spool := s.NewSpool(0)
			fmt.Fprintf(spool, "From: friend%d@example.net\r\nTo: ann@example.org\r\nSubject: message %d\r\nMessage-ID: <%d@example.net>\r\nDate: Sun, 1 Mar 2026 10:00:00 +0100\r\n", rng.IntN(300), messages, messages)
			if attached > 0 {
				io.WriteString(spool, "MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n")
				at := rng.IntN(len(attachment) - attached)
				for rest := attachment[at : at+attached]; rest != ""; {
					k := min(76, len(rest))
					io.WriteString(spool, rest[:k]+"\r\n")
					rest = rest[k:]
				}
			} else {
				io.WriteString(spool, "\r\n"+someText(rng, n))
			}
			mail += spool.size
			messages++
			all = append(all, Intake{Body: spool, Place: []Placement{{Account: a.ID}}})
		}
		if _, err := s.AcceptAll(ctx, all); err != nil {
			b.Fatal(err)
		}
		for _, in := range all {
			in.Body.Close()
		}
	}
	return mail, messages
}

// someText is text of about n bytes, of made-up words.
func someText(rng *rand.Rand, n int) string {
	syllables := []string{"ba", "ke", "li", "mon", "tra", "su", "per", "den", "o", "qui", "ra", "ts", "ein", "er", "the", "an"}
	var b strings.Builder
	for line := 0; b.Len() < n; {
		word := ""
		for range 1 + rng.IntN(4) {
			word += syllables[rng.IntN(len(syllables))]
		}
		b.WriteString(word)
		if line += len(word) + 1; line > 70 {
			b.WriteString("\r\n")
			line = 0
		} else {
			b.WriteByte(' ')
		}
	}
	b.WriteString("\r\n")
	return b.String()
}

func closeStoreUnchecked(t testing.TB, s *Store) {
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
