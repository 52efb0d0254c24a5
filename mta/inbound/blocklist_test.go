package inbound_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roost/mailbox"
	"roost/mta/dns/dnstest"
	"roost/mta/inbound"
)

// TestSilentLists: a list that never answers costs two seconds whatever else is asked,
// counts for nothing, and its owner hears of it once: not of the first silence, not
// again the next day nor after a restart, and again after a month.
func TestSilentLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		zone := dnstest.NewMemory(t, "9.2.0.192.bl.example. A 127.0.0.2\n;! timeout slow.example slower.example\n")
		var s *mailbox.Store
		var err error
		notices := func() (n int) {
			if err := s.Journal(func(l mailbox.Line) bool {
				if strings.HasPrefix(l.Subject, "The block list slow") {
					n++
				}
				return true
			}); err != nil {
				t.Fatal(err)
			}
			return n
		}
		serve := func(f func(send func() time.Duration)) {
			if s, err = mailbox.Open(dir, mailbox.Options{}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.AddDomain(t.Context(), "example.org"); err != nil && !errors.Is(err, mailbox.ErrExists) {
				t.Fatal(err)
			}
			if _, err = s.CreateAccount(t.Context(), mailbox.NewAccount{Address: "ann@example.org", Admin: true}); err != nil && !errors.Is(err, mailbox.ErrExists) {
				t.Fatal(err)
			}
			if err := s.ChangeSettings(t.Context(), func(v *mailbox.Settings) error {
				v.BlockLists, v.BlockListsRefuse = []string{"slow.example", "bl.example", "slower.example"}, true
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			server := inbound.New(inbound.Options{Store: s, Resolver: zone.Resolver()})
			l := &pipes{make(chan net.Conn), make(chan struct{})}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error)
			go func() { done <- server.Serve(ctx, l) }()
			f(func() time.Duration {
				c := l.dial("192.0.2.10")
				c.Play(t, "S: 220 ...\nC: HELO c\nS: 250 ...\nC: MAIL FROM:<joe@plain.example>\nS: 250 ...\nC: RCPT TO:<ann@example.org>\nS: 250 ...\nC: DATA\nS: 354 ...")
				begun := time.Now()
				c.Play(t, "C: From: joe@plain.example\nC:\nC: hi\nC: .\nS: 250 2.0.0 ...")
				took := time.Since(begun)
				c.Play(t, "C: QUIT\nS: 221 ...\nEOF")
				return took
			})
			cancel()
			if err := errors.Join(<-done, s.Close()); err != nil {
				t.Error(err)
			}
		}
		serve(func(send func() time.Duration) {
			for n := range 6 {
				if took := send(); took != 2*time.Second {
					t.Errorf("message %d took %v", n, took)
				}
				if want := min(n/2, 1) * 2; notices() != want {
					t.Errorf("after message %d there are %d notices, want %d", n, notices(), want)
				}
			}
		})
		time.Sleep(29 * 24 * time.Hour)
		serve(func(send func() time.Duration) {
			for range 4 {
				send()
			}
			if n := notices(); n != 2 {
				t.Errorf("after a restart there are %d notices", n)
			}
			time.Sleep(2 * 24 * time.Hour)
			send()
			if n := notices(); n != 4 {
				t.Errorf("after a month there are %d notices", n)
			}
		})
	})
}

// TestNoticeOfAList holds the words.
func TestNoticeOfAList(t *testing.T) {
	zone := dnstest.NewMemory(t, "*.open.example. A 127.255.255.254\n")
	p := newPostWith(t, t.TempDir(), mailbox.Options{}, inbound.Options{Resolver: zone.Resolver()}, "192.0.2.10")
	if err := p.store.ChangeSettings(t.Context(), func(v *mailbox.Settings) error {
		v.BlockLists = []string{"abcdefghijklmnopqrstuvwxyz.open.example"}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	p.deliver("joe@plain.example", "From: joe@plain.example\n\nhi", "250 2.0.0 ...")
	all := p.inbox("ann@example.org")
	if len(all) != 2 || len(p.inbox("bob@example.org")) != 1 {
		t.Fatalf("%q", all)
	}
	for _, want := range []string{
		"Return-Path: <>\r\n", "\r\nAuto-Submitted: auto-generated\r\n", "\r\nSubject: The block list open.example does not answer this server\r\n",
		"it answers 127.255.255.254: the question came through a resolver that many share", "roost blocklist check",
	} {
		if !strings.Contains(all[0], want) {
			t.Errorf("the notice lacks %q:\n%s", want, all[0])
		}
	}
	if strings.Contains(all[0]+all[1], "abcdefghijk") {
		t.Error("the key is in the mail")
	}
}
