package mailbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestAnyBytesComeBackAsTheyCame(t *testing.T) {
	oneGoroutine(t)
	s, ann, _ := newStore(t, Options{})
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 3*chunkSize+17)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	for name, text := range map[string]string{
		"empty":                 "",
		"no header":             "\r\nx",
		"noise":                 string(noise),
		"a chunk":               strings.Repeat("0123456789abcdef", chunkSize/16),
		"a chunk and a byte":    strings.Repeat("0123456789abcdef", chunkSize/16) + "x",
		"text, then noise":      strings.Repeat("Dear all, \r\n", 100_000) + string(noise),
		"a NUL and bare breaks": "A: b\n\rc\x00\r\r\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			a := accept(t, s, text, Placement{Account: ann.ID, Prefix: []byte("X: y\r\n")})
			if got := readAll(t, s, ann.ID, InboxID, a.Placed[0].UID); got != "X: y\r\n"+text {
				t.Fatalf("%d bytes came back, %d went in", len(got), len(text))
			}
			m, err := s.OpenMessage(ann.ID, InboxID, a.Placed[0].UID)
			if err != nil {
				t.Fatal(err)
			}
			want := "X: y\r\n" + text
			for range 100 {
				off := r.IntN(len(want))
				p := make([]byte, r.IntN(2*chunkSize))
				n, err := m.ReadAt(p, int64(off))
				if n < len(p) && !errors.Is(err, io.EOF) || string(p[:n]) != want[off:min(len(want), off+len(p))] {
					t.Fatalf("ReadAt(%d, %d) = %d, %v", len(p), off, n, err)
				}
			}
		})
	}
}

func TestOneBodyForAllRecipients(t *testing.T) {
	s, ann, bob := newStore(t, Options{})
	ctx := context.Background()
	accept(t, s, hello(1),
		Placement{Account: ann.ID, Prefix: []byte("Delivered-To: ann@example.org\r\n")},
		Placement{Account: bob.ID, Prefix: []byte("Delivered-To: bob@example.org\r\n")},
		Placement{Account: bob.ID, Use: UseJunk},
		Placement{Account: bob.ID, Name: "made/for it"})
	if got := readAll(t, s, bob.ID, InboxID, 1); got != "Delivered-To: bob@example.org\r\n"+hello(1) {
		t.Errorf("bob reads %q", got)
	}
	if f, err := s.FolderNamed(bob.ID, "made/for it"); err != nil || f.Messages != 1 {
		t.Errorf("mailbox made on demand: %+v, %v", f, err)
	}
	if f, err := s.FolderNamed(bob.ID, "Junk"); err != nil || f.Messages != 1 {
		t.Errorf("Junk: %+v, %v", f, err)
	}
	if r, _ := s.Check(ctx); r.Bodies != 1 || r.Messages != 4 {
		t.Errorf("%d bodies, %d messages, want 1, 4", r.Bodies, r.Messages)
	}
	if err := s.RemoveAccount(ctx, bob.Address); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, s, ann.ID, InboxID, 1); !strings.HasSuffix(got, hello(1)) {
		t.Errorf("after bob's removal ann reads %q", got)
	}
	if err := s.RemoveAccount(ctx, ann.Address); err != nil {
		t.Fatal(err)
	}
	if r, _ := s.Check(ctx); r.Bodies != 0 || r.Err() != nil {
		t.Errorf("%d bodies are left: %v", r.Bodies, r.Err())
	}
}

func TestAllOrNothing(t *testing.T) {
	s, ann, bob := newStore(t, Options{})
	_, err := tryAccept(s, hello(1), Placement{Account: ann.ID}, Placement{Account: bob.ID, Folder: 99})
	if !errors.Is(err, ErrNotFound) {
		t.Fatalf("Accept: %v, want ErrNotFound", err)
	}
	_, err = tryAccept(s, hello(1), Placement{Account: ann.ID}, Placement{Account: bob.ID, Keywords: []string{"not an atom"}})
	if !errors.Is(err, ErrInvalid) {
		t.Fatalf("Accept: %v, want ErrInvalid", err)
	}
	if f, _ := s.Folder(ann.ID, InboxID); f.Messages != 0 || f.UIDNext != 1 {
		t.Errorf("something of it stayed: %+v", f)
	}
}

func TestQuota(t *testing.T) {
	s, _, _ := newStore(t, Options{})
	ctx := context.Background()
	c, err := s.CreateAccount(ctx, NewAccount{Address: "small@example.org", Quota: 150})
	if err != nil {
		t.Fatal(err)
	}
	accept(t, s, hello(1), Placement{Account: c.ID})
	if _, err := tryAccept(s, hello(2), Placement{Account: c.ID}); !errors.Is(err, ErrOverQuota) {
		t.Errorf("Accept: %v, want ErrOverQuota", err)
	}
	if _, err := s.Copy(ctx, c.ID, InboxID, []UID{1}, "Archive"); !errors.Is(err, ErrOverQuota) {
		t.Errorf("Copy: %v, want ErrOverQuota", err)
	}
	if m, err := s.Move(ctx, c.ID, InboxID, []UID{1}, "Archive"); err != nil || len(m.To) != 1 {
		t.Errorf("Move needs no room: %v", err)
	}
}

func TestFactsAreRenderedOnce(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	date := time.Date(2026, 5, 1, 12, 0, 0, 0, time.FixedZone("", 2*3600))
	many(t, s, Placement{Account: ann.ID, Date: date}, 3*factsPage/2)
	var uids []UID
	for u := UID(2); u < 2000; u += 3 {
		uids = append(uids, u)
	}
	n := 0
	err := s.Facts(ann.ID, InboxID, uids, func(m *Facts) error {
		if m.UID != uids[n] || !bytes.Contains(m.Envelope, []byte("hello ")) || !bytes.Contains(m.Structure, []byte(`"text" "plain"`)) {
			t.Fatalf("message %d: %+v", m.UID, m)
		}
		if !m.Date.Equal(date) || m.Date.Format("-0700") != "+0200" {
			t.Fatalf("INTERNALDATE %v", m.Date)
		}
		n++
		return nil
	})
	if want := 256; err != nil || n != want {
		t.Errorf("%d messages, want %d: %v", n, want, err)
	}
}
