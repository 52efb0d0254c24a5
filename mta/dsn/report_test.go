package dsn

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"roost/mailbox/message"
	"roost/mta/smtp"
)

// What servers say and what our people send must not change the shape of a
// notification.
func FuzzReport(f *testing.F) {
	f.Add("bob@example.net", "no such user", "mx.example.net", "Subject: x\r\n\r\n", uint8(0))
	f.Add("b\u00f8b@example.net", "a\r\n--token--\r\nb\x00", "", "Subject: =?utf-8?q?=0D=0A=0D=0Ax?=\r\n --token\r\nX\xff\r\n", uint8(4))
	f.Add("bob@example.net", strings.Repeat("long ", 5000), "mx.example.net", "Message-ID: <"+strings.Repeat("x", 5000)+">\r\n", uint8(4))
	f.Fuzz(func(t *testing.T, to, reply, host, header string, action uint8) {
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
		n := New(smtp.Path{Local: "ann", Domain: "example.org"}, "mail.example.org")
		n.token, n.now, n.Arrival, n.Header, n.EnvelopeID = "token", time.Unix(0, 0), time.Unix(0, 0), h, reply
		n.Recipients = []Recipient{{Address: p, Original: reply, Action: Action(action % 4), Days: int(action / 4), Host: host,
			Reply: smtp.Reply{Code: 550, Text: reply}, Last: time.Unix(0, 0)}}
		var out bytes.Buffer
		if err := n.Write(&out); err != nil {
			t.Fatal(err)
		}
		b := out.Bytes()
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
