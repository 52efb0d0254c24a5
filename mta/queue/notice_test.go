package queue

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"roost/mailbox"
	"roost/mailbox/message"
	"roost/mta/outbound"
	"roost/mta/smtp"
)

// What servers say and what our people send must not change the shape of a
// notification.
func FuzzNotification(f *testing.F) {
	f.Add("bob@example.net", "no such user", "mx.example.net", "Subject: x\r\n\r\n", false)
	f.Add("b\u00f8b@example.net", "a\r\n--token--\r\nb\x00", "", "Subject: =?utf-8?q?=0D=0A=0D=0Ax?=\r\n --token\r\nX\xff\r\n", true)
	f.Add("bob@example.net", strings.Repeat("long ", 5000), "mx.example.net", "Message-ID: <"+strings.Repeat("x", 5000)+">\r\n", true)
	f.Fuzz(func(t *testing.T, to, reply, host, header string, expired bool) {
		p, err := smtp.ParsePath(to)
		if err != nil || p.IsNull() {
			return
		}
		h, err := message.ReadHeader(strings.NewReader(header))
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			host = "mx.example.net"
		}
		n := &notification{
			row:      &mailbox.Outgoing{From: "ann@example.org", Created: time.Unix(0, 0), Attempted: time.Unix(0, 0)},
			original: h, now: time.Unix(0, 0), host: "mail.example.org", token: "token",
			failed: []fate{{address: to, expired: expired, Result: outbound.Result{
				To: p, Outcome: outbound.Permanent, Reply: smtp.Reply{Code: 550, Text: reply}, Host: host}}},
		}
		b := n.render()
		if returned := n.returned(); len(returned) > 0 {
			// Header lines are the sender's own, and come back as they are.
			b = bytes.Replace(b, returned, nil, 1)
			if bytes.Contains(returned, []byte("\n--token")) {
				return
			}
		}
		boundaries := 0
		for line := range bytes.Lines(b) {
			text, ok := bytes.CutSuffix(line, []byte("\r\n"))
			if !ok || bytes.ContainsAny(text, "\r\n\x00") || len(line) > 998 {
				t.Fatalf("line of %d octets: %q", len(line), line)
			}
			if bytes.HasPrefix(line, []byte("--token")) {
				boundaries++
			}
		}
		if want := 3; boundaries != want && boundaries != want+1 {
			t.Fatalf("%d boundaries in\n%s", boundaries, b)
		}
	})
}

func TestBackoff(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		age      time.Duration
		attempts int
		from, to time.Duration // of the pause
		last     bool
	}{
		{0, 1, 4*time.Minute + 30*time.Second, 5*time.Minute + 30*time.Second, false},
		{time.Hour, 0, 4*time.Minute + 30*time.Second, 5*time.Minute + 30*time.Second, false},
		{time.Hour, 6, 216 * time.Minute, 264 * time.Minute, false},
		{time.Hour, 1000, 216 * time.Minute, 264 * time.Minute, false},
		{maxAge - time.Minute, 40, time.Minute, time.Minute, false},
		{maxAge, 40, 216 * time.Minute, 264 * time.Minute, true},
		{2 * maxAge, 1, 4*time.Minute + 30*time.Second, 5*time.Minute + 30*time.Second, true},
	} {
		for range 100 {
			created := now.Add(-test.age)
			if pause := nextDue(now, created, test.attempts).Sub(now); pause < test.from || pause > test.to {
				t.Fatalf("after %d attempts at age %v: pause %v", test.attempts, test.age, pause)
			}
			if tooOld(now, created) != test.last {
				t.Fatalf("at age %v: last is %v", test.age, !test.last)
			}
		}
	}
}
