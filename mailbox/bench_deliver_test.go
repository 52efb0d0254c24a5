package mailbox

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// post makes messages as they come in: 70 % of 4 to 12 KB, 20 % of 40 to 100 KB,
// 9 % of 0.5 to 1 MB, 1 % of 5 MB. The small ones are text, the others have
// as much text, and the rest is an attachment that does not compress well.
func post(n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	noise := rand.NewChaCha8([32]byte{3})
	words := strings.Fields("the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which one you were all her she there would their we him been has when who will no more if out so said what up its about than into them can only other new some could time these two may then do first any my now such like our over man me even most made after also did many before must through")
	text := func(b *strings.Builder, size int) {
		for line := 0; b.Len() < size; {
			w := words[r.IntN(len(words))]
			b.WriteString(w)
			if line += len(w) + 1; line > 66 {
				b.WriteString("\r\n")
				line = 0
			} else {
				b.WriteByte(' ')
			}
		}
		b.WriteString("\r\n")
	}
	all := make([]string, n)
	for i := range all {
		var size int
		switch k := i * 37 % 100; {
		case k < 70:
			size = 4<<10 + r.IntN(8<<10)
		case k < 90:
			size = 40<<10 + r.IntN(60<<10)
		case k < 99:
			size = 512<<10 + r.IntN(512<<10)
		default:
			size = 5 << 20
		}
		var b strings.Builder
		fmt.Fprintf(&b, "From: Someone <a@example.com>\r\nTo: ann@example.org\r\nSubject: message %d about things\r\nMessage-ID: <%d.%d@example.com>\r\nDate: Mon, 2 Jan 2006 15:04:05 +0000\r\n", i, i, r.Uint32())
		if size < 20<<10 {
			b.WriteString("\r\n")
			text(&b, size)
		} else {
			b.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\n")
			text(&b, 4<<10+r.IntN(8<<10))
			b.WriteString("--x\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n")
			raw := make([]byte, 54)
			for b.Len() < size {
				noise.Read(raw)
				b.WriteString(base64.StdEncoding.EncodeToString(raw) + "\r\n")
			}
			b.WriteString("--x--\r\n")
		}
		all[i] = b.String()
	}
	return all
}

// byWriters lets some writers take the messages one by one, and returns how long
// it took altogether and each.
func byWriters(b *testing.B, writers int, mail []string, deliver func(i int, text string) error) (time.Duration, latencies) {
	b.Helper()
	each := make(latencies, len(mail))
	var next atomic.Int64
	var wg sync.WaitGroup
	begun := time.Now()
	for range writers {
		wg.Go(func() {
			for {
				i := int(next.Add(1) - 1)
				if i >= len(mail) {
					return
				}
				from := time.Now()
				if err := deliver(i, mail[i]); err != nil {
					b.Error(err)
					return
				}
				each[i] = time.Since(from)
			}
		})
	}
	wg.Wait()
	return time.Since(begun), each
}

// filesAndRows is the store that a mail server is often built with: a file for
// each message, synced, and then a row that points at it, many to a commit.
type filesAndRows struct {
	dir string
	db  *bbolt.DB
	n   atomic.Int64
}

func (f *filesAndRows) deliver(text string) error {
	name := filepath.Join(f.dir, fmt.Sprint(f.n.Add(1)))
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteString(text); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return f.db.Batch(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("rows")).Put([]byte(name), make([]byte, 500))
	})
}

// rawSyncs is the least that a promise like ours costs: as many bytes as the
// record has appended to a file and synced, then a bbolt commit of the same rows.
type rawSyncs struct {
	file *os.File
	end  int64
	db   *bbolt.DB
}

type rawRow struct{ bucket, key, value []byte }

func (r *rawSyncs) deliver(record int, rows []rawRow) error {
	if _, err := r.file.WriteAt(make([]byte, record), r.end); err != nil {
		return err
	}
	r.end += int64(record)
	if err := fdatasync(r.file); err != nil {
		return err
	}
	return r.db.Update(func(tx *bbolt.Tx) error {
		for _, row := range rows {
			b, err := tx.CreateBucketIfNotExists(row.bucket)
			if err == nil {
				err = b.Put(row.key, row.value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// rowsOf copies the rows that a delivery to ann's INBOX wrote.
func rowsOf(s *Store, id AccountID, a Accepted) (row bodyRow, rows []rawRow, err error) {
	message, body := messageKey(id, InboxID, a.Placed[0].UID), be64(uint64(a.ID))
	err = s.view(func(tx *tx) (err error) {
		if row, err = tx.bodyRow(a.ID); err != nil {
			return err
		}
		for _, r := range []rawRow{
			{bFacts, message, nil}, {bViews, message, nil}, {bFlags, blockKey(id, InboxID, a.Placed[0].UID), nil},
			{bBodies, body, nil}, {bDigests, body, nil}, {bSignatures, body, nil}, {bPacks, be32(uint32(row.pack)), nil},
			{bState, be32(uint32(id)), nil}, {bFolders, folderKey(id, InboxID), nil},
		} {
			r.value = slices.Clone(tx.Bucket(r.bucket).Get(r.key))
			rows = append(rows, r)
		}
		return nil
	})
	return row, rows, err
}

func openRows(b *testing.B) *bbolt.DB {
	b.Helper()
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "rows.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, InitialMmapSize: 256 << 20})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("rows"))
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return db
}

// BenchmarkDeliveries stores mail as it comes in, each message durable before its
// writer takes the next, and by turns the same mail in a file per message. Times
// depend on the disk and on who else uses it: look at the ratios. Run it with
//
//	go test ./mailbox -run '^$' -bench Deliveries -benchtime 3x
func BenchmarkDeliveries(b *testing.B) {
	mail := post(300)
	var alone float64
	for _, writers := range []int{1, 8, 32, 128} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s, ann, _ := newStore(b, Options{})
			files := &filesAndRows{dir: b.TempDir(), db: openRows(b)}
			var ours, theirs time.Duration
			var each latencies
			for b.Loop() {
				took, all := byWriters(b, writers, mail, func(_ int, text string) error {
					_, err := tryAccept(s, text, Placement{Account: ann.ID})
					return err
				})
				ours, each = ours+took, append(each, all...)
				took, _ = byWriters(b, writers, mail, func(_ int, text string) error { return files.deliver(text) })
				theirs += took
			}
			rate := float64(b.N*len(mail)) / ours.Seconds()
			if writers == 1 {
				alone = rate
			}
			b.ReportMetric(rate, "msg/s")
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "x-files")
			if alone > 0 {
				b.ReportMetric(rate/alone, "x-alone")
			}
			each.report(b, "")
		})
	}
}

// BenchmarkDeliveryAlone compares one delivery after the other with the syncs
// that it can't do without, by turns in one run: "x-raw" is by how much the median
// is longer. "mix" is the mail of BenchmarkDeliveries, "text" that of up to 12 KB.
func BenchmarkDeliveryAlone(b *testing.B) {
	for _, kind := range []string{"text", "mix"} {
		b.Run(kind, func(b *testing.B) {
			var mail []string
			for _, text := range post(200) {
				if kind == "mix" || len(text) < 16<<10 {
					mail = append(mail, text)
				}
			}
			s, ann, _ := newStore(b, Options{})
			file, err := os.Create(filepath.Join(b.TempDir(), "raw"))
			if err != nil {
				b.Fatal(err)
			}
			defer file.Close()
			raw := &rawSyncs{file: file, db: openRows(b)}
			var ours, theirs latencies
			for b.Loop() {
				for _, text := range mail {
					begun := time.Now()
					a, err := tryAccept(s, text, Placement{Account: ann.ID})
					if err != nil {
						b.Fatal(err)
					}
					ours = append(ours, time.Since(begun))
					row, rows, err := rowsOf(s, ann.ID, a)
					if err != nil {
						b.Fatal(err)
					}
					begun = time.Now()
					if err := raw.deliver(int(row.head+row.stored), rows); err != nil {
						b.Fatal(err)
					}
					theirs = append(theirs, time.Since(begun))
				}
			}
			ours.report(b, "")
			b.ReportMetric(float64(ours.at(50))/float64(theirs.at(50)), "x-raw-p50")
			b.ReportMetric(float64(ours.at(90))/float64(theirs.at(90)), "x-raw-p90")
			b.ReportMetric(float64(sum(ours))/float64(sum(theirs)), "x-raw-mean")
		})
	}
}

func sum(l latencies) (total time.Duration) {
	for _, d := range l {
		total += d
	}
	return total
}

// BenchmarkDeliveryWork is what a delivery costs the processor, without a commit:
// parse, render, digest, compress, append.
func BenchmarkDeliveryWork(b *testing.B) {
	all := post(100)
	b.Run("text", func(b *testing.B) {
		deliveryWork(b, slices.DeleteFunc(slices.Clone(all), func(s string) bool { return len(s) > 16<<10 }))
	})
	b.Run("mix", func(b *testing.B) { deliveryWork(b, all) })
}

func deliveryWork(b *testing.B, mail []string) {
	s, ann, _ := newStore(b, Options{})
	var bytes int64
	for _, text := range mail {
		bytes += int64(len(text))
	}
	b.SetBytes(bytes / int64(len(mail)))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		spool := s.NewSpool(0)
		spool.Write([]byte(mail[i%len(mail)]))
		st, err := s.stage(&Intake{Body: spool, Place: []Placement{{Account: ann.ID}}})
		if err != nil {
			b.Fatal(err)
		}
		s.unstage(st)
		spool.Close()
		i++
	}
}
