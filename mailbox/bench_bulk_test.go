package mailbox

import (
	"context"
	"slices"
	"testing"
	"time"
)

// latencies collects how long each of many operations took.
type latencies []time.Duration

func (l latencies) at(percent float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	slices.Sort(l)
	return l[min(len(l)-1, int(float64(len(l))*percent/100))]
}

func (l latencies) report(b *testing.B, name string) {
	b.ReportMetric(l.at(50).Seconds()*1000, name+"p50-ms")
	b.ReportMetric(l.at(99).Seconds()*1000, name+"p99-ms")
	b.ReportMetric(l.at(100).Seconds()*1000, name+"max-ms")
}

// deliverWhile delivers one message after the other until work is done.
func deliverWhile(b *testing.B, s *Store, to AccountID, work func() error) latencies {
	b.Helper()
	done := make(chan error, 1)
	go func() { done <- work() }()
	var all latencies
	for {
		begun := time.Now()
		if _, err := tryAccept(s, hello(len(all)), Placement{Account: to}); err != nil {
			b.Fatal(err)
		}
		all = append(all, time.Since(begun))
		select {
		case err := <-done:
			if err != nil {
				b.Fatal(err)
			}
			return all
		default:
		}
	}
}

// BenchmarkAcceptBehindBulk measures how long a delivery takes while somebody
// changes a mailbox of 100,000 messages. What it took beside nobody is the
// metrics with "alone".
func BenchmarkAcceptBehindBulk(b *testing.B) {
	const n = 100_000
	ctx := context.Background()
	for _, bulk := range []struct {
		name string
		work func(s *Store, id AccountID, uids []UID) error
	}{
		{"store", func(s *Store, id AccountID, uids []UID) error {
			for _, change := range []FlagChange{AddFlags, RemoveFlags, AddFlags, RemoveFlags} {
				if _, err := s.SetFlags(ctx, id, InboxID, uids, FlagUpdate{Change: change, Flags: Flagged}); err != nil {
					return err
				}
			}
			return nil
		}},
		{"expunge-half", func(s *Store, id AccountID, uids []UID) error {
			_, err := s.Expunge(ctx, id, InboxID, nil)
			return err
		}},
		{"delete-mailbox", func(s *Store, id AccountID, uids []UID) error {
			if err := s.DeleteFolder(ctx, id, "Old"); err != nil {
				return err
			}
			return s.emptyDiscarded(ctx)
		}},
		{"copy", func(s *Store, id AccountID, uids []UID) error {
			_, err := s.Copy(ctx, id, InboxID, uids, "Archive")
			return err
		}},
		{"move", func(s *Store, id AccountID, uids []UID) error {
			_, err := s.Move(ctx, id, InboxID, uids, "Archive")
			return err
		}},
		{"rewrite", func(s *Store, id AccountID, uids []UID) error { return s.rewritePacks(ctx) }},
	} {
		b.Run(bulk.name, func(b *testing.B) {
			var alone, beside latencies
			for b.Loop() {
				b.StopTimer()
				s, ann, bob := newStore(b, Options{})
				p := Placement{Account: ann.ID}
				if bulk.name == "delete-mailbox" {
					p.Name = "Old"
				}
				var uids []UID
				if bulk.name == "rewrite" {
					sparse(b, s, ann.ID, 4000)
				} else {
					uids = manyOfTheirOwn(b, s, p, n)
				}
				if bulk.name == "expunge-half" {
					half := slices.DeleteFunc(slices.Clone(uids), func(u UID) bool { return u%2 == 0 })
					if _, err := s.SetFlags(ctx, ann.ID, InboxID, half, FlagUpdate{Change: AddFlags, Flags: Deleted}); err != nil {
						b.Fatal(err)
					}
				}
				alone = append(alone, deliverWhile(b, s, bob.ID, func() error { time.Sleep(time.Second); return nil })...)
				b.StartTimer()
				beside = append(beside, deliverWhile(b, s, bob.ID, func() error { return bulk.work(s, ann.ID, uids) })...)
			}
			alone.report(b, "alone-")
			beside.report(b, "")
			b.ReportMetric(float64(len(beside))/float64(b.N), "deliveries")
		})
	}
}

// manyOfTheirOwn fills a mailbox with messages that each have their own body.
func manyOfTheirOwn(b *testing.B, s *Store, p Placement, n int) []UID {
	b.Helper()
	uids := make([]UID, 0, n)
	for len(uids) < n {
		all := make([]Intake, min(2000, n-len(uids)))
		for i := range all {
			all[i] = Intake{Body: s.NewSpool(0), Place: []Placement{p}}
			all[i].Body.Write([]byte(hello(len(uids) + i)))
		}
		got, err := s.AcceptAll(context.Background(), all)
		if err != nil {
			b.Fatal(err)
		}
		for i := range got {
			uids = append(uids, got[i].Placed[0].UID)
			all[i].Body.Close()
		}
	}
	return uids
}
