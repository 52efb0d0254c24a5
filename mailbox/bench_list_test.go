package mailbox

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkLarge measures what clients ask of a mailbox of 100,000 messages of
// the corpora, each with words of its own in it. ROOST_BENCH_DIR names a
// directory in which the mailbox is kept from run to run, for profiles.
// ROOST_BENCH_MESSAGES is another number of messages.
//
//	go test ./mailbox -run XXX -bench Large -benchtime 5x
func BenchmarkLarge(b *testing.B) {
	n := 100_000
	fmt.Sscan(os.Getenv("ROOST_BENCH_MESSAGES"), &n)
	dir := os.Getenv("ROOST_BENCH_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	s, id := largeMailbox(b, dir, n)
	defer func() { s.Close() }()
	ctx := context.Background()
	all := make([]UID, n)
	for i := range all {
		all[i] = UID(i + 1)
	}
	run := func(name string, f func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			before := processorTime()
			for b.Loop() {
				f(b)
			}
			used := processorTime() - before // what counts on a machine that others use too
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "ms")
			b.ReportMetric(float64(used.Microseconds())/float64(b.N)/1000, "cpu-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
	run("open", func(b *testing.B) {
		var err error
		if s.Close(); err != nil {
			b.Fatal(err)
		}
		if s, err = Open(dir, Options{}); err != nil {
			b.Fatal(err)
		}
	})
	idle := anonymous(b)
	run("flags", func(b *testing.B) {
		if snap, err := s.Snapshot(id, InboxID); err != nil || len(snap.Entries) != n {
			b.Fatal(len(snap.Entries), err)
		}
	})
	run("rows", func(b *testing.B) { // UID INTERNALDATE RFC822.SIZE
		if err := s.Rows(id, InboxID, all, func(*Facts) error { return nil }); err != nil {
			b.Fatal(err)
		}
	})
	run("list", func(b *testing.B) { // ENVELOPE BODYSTRUCTURE INTERNALDATE RFC822.SIZE
		if err := s.Facts(id, InboxID, all, func(*Facts) error { return nil }); err != nil {
			b.Fatal(err)
		}
	})
	run("sortkeys", func(b *testing.B) {
		if err := s.SortKeys(id, InboxID, all, func(*Facts, *SortKeys) error { return nil }); err != nil {
			b.Fatal(err)
		}
	})
	search := func(name string, q Query) {
		found := 0
		run(name, func(b *testing.B) {
			uids, err := s.Search(ctx, id, InboxID, q)
			if err != nil {
				b.Fatal(err)
			}
			found = len(uids)
		})
		b.Logf("%s: %d found", name, found)
	}
	rare := ownWord(n / 2)
	search("text-rare", Query{Test: TestText, Text: rare})
	search("body-rare", Query{Test: TestBody, Text: rare})
	search("text-some", Query{Test: TestText, Text: "zebra"})
	search("body-common", Query{Test: TestBody, Text: "the"})
	search("text-common", Query{Test: TestText, Text: "the"})
	search("text-2-letters", Query{Test: TestText, Text: "zq"})
	search("subject", Query{Test: TestHeader, Name: "Subject", Text: "linux"})
	search("from", Query{Test: TestHeader, Name: "From", Text: "example.com"})
	search("list-id", Query{Test: TestHeader, Name: "List-Id", Text: "fork"})
	search("sentsince", Query{Test: TestSentSince, Time: time.Date(2002, 9, 1, 0, 0, 0, 0, time.UTC)})
	search("larger", Query{Test: TestLarger, N: 20_000})
	// The same with nothing of the store in memory: what a session costs that is the
	// first in hours, on a machine that has other things to do.
	cold := func(name string, f func() error) {
		b.Run(name+"-cold", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s.Close()
				leaveMemory(b, dir)
				var err error
				if s, err = Open(dir, Options{}); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "ms")
			b.ReportMetric(0, "ns/op")
		})
	}
	cold("flags", func() error { _, err := s.Snapshot(id, InboxID); return err })
	cold("list", func() error { return s.Facts(id, InboxID, all, func(*Facts) error { return nil }) })
	cold("text-rare", func() error {
		_, err := s.Search(ctx, id, InboxID, Query{Test: TestText, Text: rare})
		return err
	})
	b.Run("header-fields-10000", func(b *testing.B) { // BODY.PEEK[HEADER.FIELDS (…)]
		for b.Loop() {
			for _, uid := range all[:min(n, 10_000)] {
				m, err := s.OpenMessage(id, InboxID, uid)
				if err != nil {
					b.Fatal(err)
				}
				h, err := m.Header()
				if err != nil {
					b.Fatal(err)
				}
				h.AppendFields(nil, []string{"From", "To", "Subject", "Date", "Message-ID", "References", "Content-Type"}, false)
			}
		}
	})
	b.Run("memory", func(b *testing.B) {
		for b.Loop() {
		}
		b.ReportMetric(float64(anonymous(b)-idle)/(1<<20), "MB-above-idle")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("disk", func(b *testing.B) {
		for b.Loop() {
		}
		f, err := s.Folder(id, InboxID)
		if err != nil {
			b.Fatal(err)
		}
		used := int64(0)
		filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if info, err := d.Info(); err == nil && !d.IsDir() {
				used += info.Size()
			}
			return nil
		})
		b.ReportMetric(float64(used)/float64(f.Bytes), "disk/mail")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("flag-all", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := s.SetFlags(ctx, id, InboxID, all, FlagUpdate{Change: FlagChange(1 + i%2), Flags: Flagged}); err != nil {
				b.Fatal(err)
			}
		}
	})
	if os.Getenv("ROOST_BENCH_DIR") != "" {
		return // keeps what it has
	}
	b.Run("expunge-half", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if i > 0 {
				continue // there is one half only
			}
			half := make([]UID, 0, n/2)
			for _, uid := range all {
				if uid%2 == 0 {
					half = append(half, uid)
				}
			}
			if _, err := s.SetFlags(ctx, id, InboxID, half, FlagUpdate{Change: AddFlags, Flags: Deleted}); err != nil {
				b.Fatal(err)
			}
			if x, err := s.Expunge(ctx, id, InboxID, nil); err != nil || len(x.UIDs) != n/2 {
				b.Fatal(len(x.UIDs), err)
			}
		}
	})
}

// leaveMemory has the kernel give up what it keeps in memory of the files in dir,
// which nobody has open.
func leaveMemory(b *testing.B, dir string) {
	b.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := f.Sync(); err != nil { // what is not written yet would stay
			return err
		}
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
	if err != nil {
		b.Fatal(err)
	}
}

// renamed gives a message, and those it names, other identifiers in each copy.
func renamed(text string, copy int) string {
	head, body, _ := strings.Cut(text, "\r\n\r\n")
	var b strings.Builder
	ids := false
	for line := range strings.SplitAfterSeq(head, "\r\n") {
		if line != "" && line[0] != ' ' && line[0] != '\t' {
			name, _, _ := strings.Cut(strings.ToLower(line), ":")
			ids = name == "message-id" || name == "in-reply-to" || name == "references"
		}
		if ids {
			line = strings.ReplaceAll(line, "@", fmt.Sprintf(".%d@", copy))
		}
		b.WriteString(line)
	}
	return b.String() + "\r\n\r\n" + body
}

// ownWord is the word that only message i has.
func ownWord(i int) string {
	r := rand.New(rand.NewPCG(uint64(i), 9))
	b := make([]byte, 9)
	for k := range b {
		b[k] = byte('a' + r.IntN(26))
	}
	return string(b)
}

// processorTime is what the process has used so far.
func processorTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// anonymous is how much memory the process has of its own, without the pages of
// files that the kernel may take back at any time.
func anonymous(b *testing.B) int64 {
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("no /proc here:", err)
	}
	for line := range strings.Lines(string(status)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "RssAnon: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	b.Skip("the kernel does not tell of RssAnon")
	return 0
}

// largeMailbox opens the store in dir with n messages in an INBOX, delivering
// them if dir is empty.
func largeMailbox(b *testing.B, dir string, n int) (*Store, AccountID) {
	b.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	if a, err := s.Account("ann@example.org"); err == nil {
		return s, a.ID
	}
	if _, err := s.AddDomain(ctx, "example.org"); err != nil {
		b.Fatal(err)
	}
	ann, err := s.CreateAccount(ctx, NewAccount{Address: "ann@example.org", Password: "secret", Admin: true})
	if err != nil {
		b.Fatal(err)
	}
	texts := corpusTexts(b, 5000)
	if len(texts) == 0 {
		for i := range 1000 {
			texts = append(texts, hello(i)+strings.Repeat("The quick brown fox jumps over the lazy dog.\r\n", 100))
		}
	}
	rand.New(rand.NewPCG(7, 8)).Shuffle(len(texts), func(i, k int) { texts[i], texts[k] = texts[k], texts[i] })
	begun := time.Now()
	next, mu := 0, sync.Mutex{}
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				mu.Lock()
				first, most := next, min(200, n-next)
				next += most
				mu.Unlock()
				if most == 0 {
					return
				}
				var all []Intake
				for i := first; i < first+most; i++ {
					p := s.NewSpool(0)
					defer p.Close()
					io.WriteString(p, renamed(texts[i%len(texts)], i/len(texts)))
					io.WriteString(p, ownWord(i)+"\r\n")
					prefix := fmt.Sprintf("Return-Path: <sender%d@example.net>\r\nDelivered-To: ann@example.org\r\nAuthentication-Results: mx.example.org;\r\n\tspf=pass smtp.mailfrom=example.net;\r\n\tdkim=pass header.d=example.net;\r\n\tdmarc=pass header.from=example.net\r\n", i)
					all = append(all, Intake{Body: p, From: "sender@example.net", Place: []Placement{{Account: ann.ID, Prefix: []byte(prefix)}}})
				}
				if _, err := s.AcceptAll(ctx, all); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.Logf("%d messages delivered in %v", n, time.Since(begun))
	return s, ann.ID
}
