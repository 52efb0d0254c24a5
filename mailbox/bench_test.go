package mailbox

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkAccept delivers text messages of 6 KB, each durable before the next
// one of the same writer, by 1, 8 and 32 writers.
func BenchmarkAccept(b *testing.B) {
	text := hello(1) + strings.Repeat("The quick brown fox jumps over the lazy dog, again and again.\r\n", 96)
	for _, writers := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s, ann, _ := newStore(b, Options{})
			var n atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range writers {
				wg.Go(func() {
					for n.Add(1) <= int64(b.N) {
						if _, err := tryAccept(s, text, Placement{Account: ann.ID}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkMailbox measures what an IMAP session asks of a large mailbox.
func BenchmarkMailbox(b *testing.B) {
	const n = 100_000
	s, ann, _ := newStore(b, Options{})
	ctx := context.Background()
	fill(b, s, ann.ID, n)
	all := make([]UID, n)
	for i := range all {
		all[i] = UID(i + 1)
	}
	b.Run("snapshot", func(b *testing.B) {
		for b.Loop() {
			if snap, err := s.Snapshot(ann.ID, InboxID); err != nil || len(snap.Entries) != n {
				b.Fatal(len(snap.Entries), err)
			}
		}
	})
	b.Run("facts", func(b *testing.B) {
		for b.Loop() {
			if err := s.Facts(ann.ID, InboxID, all, func(*Facts) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("store", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := s.SetFlags(ctx, ann.ID, InboxID, all, FlagUpdate{Change: FlagChange(1 + i%2), Flags: Flagged}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("changes-100", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			f, err := s.Folder(ann.ID, InboxID)
			if err != nil {
				b.Fatal(err)
			}
			var some []UID
			for k := range 100 {
				some = append(some, UID(1+k*997))
			}
			if _, err := s.SetFlags(ctx, ann.ID, InboxID, some, FlagUpdate{Change: FlagChange(1 + i%2), Flags: Draft}); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if c, err := s.Changes(ann.ID, InboxID, f.HighestModSeq); err != nil || len(c.Changed) != 100 {
				b.Fatal(len(c.Changed), err)
			}
		}
	})
}

// fill puts n copies of one message into an INBOX.
func fill(b testing.TB, s *Store, id AccountID, n int) {
	b.Helper()
	spool := s.NewSpool(0)
	defer spool.Close()
	io.WriteString(spool, hello(1))
	for n > 0 {
		k := min(n, 1000)
		places := make([]Placement, k)
		for i := range places {
			places[i].Account = id
		}
		if _, err := s.Accept(context.Background(), Intake{Body: spool, Place: places}); err != nil {
			b.Fatal(err)
		}
		n -= k
	}
}
