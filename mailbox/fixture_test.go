package mailbox

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testdata/format-N.tar.gz is a data directory that a Roost of format N wrote,
// and testdata/format.txt tells what is in it, the same in every format. With
// ROOST_FIXTURE=write this test makes the one of the format that it was built
// with, which is done once, before the next format is begun.
func TestFixtureOfThisFormat(t *testing.T) {
	dir := t.TempDir()
	writeFixture(t, dir)
	s := openStore(t, dir, Options{})
	got := describe(t, s)
	golden := filepath.Join("testdata", "format.txt")
	if os.Getenv("ROOST_FIXTURE") == "write" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		closeStore(t, s)
		pack(t, dir, filepath.Join("testdata", fmt.Sprintf("format-%d.tar.gz", format)))
		if _, err := os.Stat(golden); os.IsNotExist(err) {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the fixture's contents are\n%s\nwant\n%s", got, want)
	}
}

// A data directory of each format, also of those that were, opens and has in it
// what was put there.
func TestEveryFormatOpens(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("testdata", "format.txt"))
	if err != nil {
		t.Fatal(err)
	}
	old, err := filepath.Glob("testdata/format-*.tar.gz")
	if err != nil || len(old) == 0 {
		t.Fatalf("no data directories: %v", err)
	}
	for _, name := range old {
		t.Run(filepath.Base(name), func(t *testing.T) {
			dir := t.TempDir()
			unpack(t, name, dir)
			s := openStore(t, dir, Options{})
			if got := describe(t, s); got != string(want) {
				t.Errorf("after opening it has\n%s\nwant\n%s", got, want)
			}
			a, err := s.Account("ann@example.org")
			if err != nil {
				t.Fatal(err)
			}
			accept(t, s, hello(99), Placement{Account: a.ID})
		})
	}
}

// writeFixture makes a small store with one of everything.
func writeFixture(t *testing.T, dir string) {
	s := openStore(t, dir, Options{})
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.AddDomain(ctx, "example.org")
	must(err)
	ann, err := s.CreateAccount(ctx, NewAccount{Address: "ann@example.org", Password: "secret", Admin: true})
	must(err)
	bob, err := s.CreateAccount(ctx, NewAccount{Address: "bob@example.org", Password: "secret", Quota: 1 << 20})
	must(err)
	_, err = s.CreateFolder(ctx, ann.ID, "Läden/2026", "")
	must(err)
	must(s.Subscribe(ctx, ann.ID, "Läden/2026", true))
	date := func(day int) time.Time {
		return time.Date(2026, 3, day, 23, 30, 15, 0, time.FixedZone("", (day%5-2)*3600+1800))
	}
	both := func(day int) []Placement {
		return []Placement{
			{Account: ann.ID, Date: date(day), Prefix: []byte("Return-Path: <zoe@example.net>\r\nDelivered-To: ann@example.org\r\n")},
			{Account: bob.ID, Date: date(day), Prefix: []byte("Return-Path: <zoe@example.net>\r\nDelivered-To: bob@example.org\r\n"), Flags: Seen},
		}
	}
	for i, text := range fixtureTexts() {
		places := both(i + 1)
		if i%2 == 1 {
			places = places[:1]
			places[0].Flags, places[0].Keywords = Flags(i)&(Seen|Answered|Flagged|Draft), []string{"$Work", fmt.Sprintf("k%d", i%3)}
		}
		accept(t, s, text, places...)
	}
	accept(t, s, hello(50), Placement{Account: bob.ID, Use: UseJunk, Date: date(20)})
	accept(t, s, hello(51), Placement{Account: ann.ID, Name: "Lists/go", Date: date(21)})
	_, err = s.Copy(ctx, ann.ID, InboxID, []UID{1, 2, 3}, "Läden/2026")
	must(err)
	_, err = s.Move(ctx, ann.ID, InboxID, []UID{2, 5}, "Archive")
	must(err)
	_, err = s.SetFlags(ctx, ann.ID, InboxID, []UID{4, 6}, FlagUpdate{Change: AddFlags, Flags: Deleted, Keywords: []string{"gone"}})
	must(err)
	_, err = s.Expunge(ctx, ann.ID, InboxID, []UID{4})
	must(err)
	spool := s.NewSpool(0)
	defer spool.Close()
	io.WriteString(spool, hello(60))
	created := time.Date(2026, 3, 22, 8, 0, 0, 0, time.UTC)
	_, err = s.Accept(ctx, Intake{
		Body: spool, From: "ann@example.org",
		Place: []Placement{{Account: ann.ID, Use: UseSent, Flags: Seen, Date: date(22)}},
		Queue: []Outgoing{
			{Account: ann.ID, From: "ann@example.org", Domain: "example.net", Recipients: []Recipient{{Address: "zoe@example.net"}}, Created: created, Due: created},
			{Account: ann.ID, From: "ann@example.org", Domain: "example.com", Recipients: []Recipient{{Address: "c@example.com"}}, Created: created, Held: true},
		},
		Journal: []Line{{Time: created, Event: Submitted, Account: ann.ID, From: "ann@example.org", To: []string{"zoe@example.net", "c@example.com"}, Subject: "hello 60"}},
	})
	must(err)
	must(s.Log(ctx, Line{Time: created, Event: Refused, From: "spam@example.com", Reply: "550 5.7.1 no"}))
	closeStore(t, s)
}

// fixtureTexts are messages of several kinds, two of them large.
func fixtureTexts() []string {
	return []string{
		hello(1),
		"From: Zoë <zoe@example.net>\r\nTo: Ann <ann@example.org>\r\nSubject: =?utf-8?q?Caf=C3=A9_tonight=3F?=\r\nDate: Sun, 1 Mar 2026 10:00:00 +0100\r\nMessage-ID: <cafe@example.net>\r\n\r\nSee you there.\r\n",
		"From: ann@example.org\r\nTo: zoe@example.net\r\nSubject: Re: =?utf-8?q?Caf=C3=A9_tonight=3F?=\r\nIn-Reply-To: <cafe@example.net>\r\nReferences: <cafe@example.net>\r\nMessage-ID: <re@example.org>\r\nDate: Sun, 1 Mar 2026 11:00:00 +0100\r\n\r\nGladly.\r\n",
		"Subject: html\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+R3L832U8L2I+IGF1cyBS+GRieQ==\r\n",
		"Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nfirst\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=\"a.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--b--\r\n",
		"Subject: large\r\n\r\n" + strings.Repeat("Line upon line of the same text.\r\n", 20_000),
		"\r\nno header at all\r\n",
		"",
		" begins with white space\r\nSubject: odd\r\n\r\nbody\r\n",
		"Subject: bytes \xff\xfe\r\n\r\n\x00\x01\xff no text \r\r\n\n",
	}
}

// describe tells what a store holds, in words that no format changes.
func describe(t *testing.T, s *Store) string {
	t.Helper()
	what, err := description(s)
	if err != nil {
		t.Fatal(err)
	}
	return what
}

func description(s *Store) (string, error) {
	var b strings.Builder
	accounts, err := s.Accounts()
	for _, a := range accounts {
		err = errors.Join(err, describeAccount(&b, s, a))
	}
	outbox, bad := s.Outbox()
	for _, o := range outbox {
		fmt.Fprintf(&b, "outbox %s %s to %s at %s held=%v size=%d\n", o.ID, o.From, o.Domain, o.Due.Format(time.RFC3339), o.Held, o.Size)
	}
	err = errors.Join(err, bad, s.Journal(func(l Line) bool {
		fmt.Fprintf(&b, "journal %s %s %s %v %q %q\n", l.Time.Format(time.RFC3339), l.Event, l.From, l.To, l.Subject, l.Reply)
		return true
	}))
	return b.String(), err
}

func describeAccount(b *strings.Builder, s *Store, a Account) error {
	fmt.Fprintf(b, "account %s admin=%v quota=%d\n", a.Address, a.Admin, a.Quota)
	folders, err := s.Folders(a.ID)
	for _, f := range folders {
		err = errors.Join(err, describeFolder(b, s, a.ID, f))
	}
	names, bad := s.Subscriptions(a.ID)
	fmt.Fprintf(b, " subscribed to %v\n", names)
	return errors.Join(err, bad)
}

func describeFolder(b *strings.Builder, s *Store, id AccountID, f Folder) error {
	fmt.Fprintf(b, " mailbox %s use=%q next=%d messages=%d unseen=%d deleted=%d bytes=%d keywords=%v\n",
		f.Name, f.Use, f.UIDNext, f.Messages, f.Unseen, f.Deleted, f.Bytes, f.Keywords)
	snap, err := s.Snapshot(id, f.ID)
	if err != nil {
		return err
	}
	uids := make([]UID, len(snap.Entries))
	for i, e := range snap.Entries {
		uids[i] = e.UID
	}
	i := 0
	err = s.Facts(id, f.ID, uids, func(m *Facts) error {
		e := snap.Entries[i]
		i++
		text, err := textOf(s, id, f.ID, m.UID)
		date := m.Date.Format(time.RFC3339)
		if m.Date.Year() != 2026 {
			date = "now"
		}
		fmt.Fprintf(b, "  %d flags=%d %v size=%d header=%d date=%s bytes=%x\n   prefix=%q\n   %s\n   %s\n", m.UID, e.Flags, snap.Folder.KeywordNames(e.Keywords),
			m.Size, m.HeaderSize, date, sha256.Sum256([]byte(text)), m.Prefix, m.Envelope, m.Structure)
		return err
	})
	if err == nil && i != len(uids) {
		err = fmt.Errorf("%s: %d of %d messages have facts", f.Name, i, len(uids))
	}
	c, bad := s.Changes(id, f.ID, 1)
	fmt.Fprintf(b, "  vanished=%v\n", c.Vanished)
	return errors.Join(err, bad)
}

func pack(t *testing.T, dir, name string) {
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z, _ := gzip.NewWriterLevel(f, gzip.BestCompression)
	w := tar.NewWriter(z)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []io.Closer{w, z, f} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func unpack(t testing.TB, name, dir string) {
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
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
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.FileInfo().IsDir() {
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
