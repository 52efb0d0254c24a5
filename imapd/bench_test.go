package imapd_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"roost/imapd"
	"roost/mailbox"
)

// BenchmarkAnswers measures what the commands of mail programs cost on a mailbox
// of 20,000 messages, or ROOST_BENCH_MESSAGES, over TLS. The client, which is in
// the same process, only looks for the end of an answer.
//
//	go test ./imapd -run XXX -bench Answers -cpuprofile cpu.out
func BenchmarkAnswers(b *testing.B) {
	n := 20_000
	fmt.Sscan(os.Getenv("ROOST_BENCH_MESSAGES"), &n)
	h := newHouse(b, imapd.Limits{})
	me := h.person(b)
	fill(b, h, me.ID, n)
	raw, err := net.Dial("tcp", h.serve(b))
	if err != nil {
		b.Fatal(err)
	}
	defer raw.Close()
	conn, answer := raw, bufio.NewReader(raw)
	do := func(b *testing.B, command string) {
		fmt.Fprintf(conn, "x %s\r\n", command)
		for {
			line, err := answer.ReadSlice('\n')
			if err == bufio.ErrBufferFull {
				continue
			}
			if err != nil {
				b.Fatal(err)
			}
			if strings.HasPrefix(string(line[:min(len(line), 5)]), "x ") {
				if string(line[2:4]) != "OK" {
					b.Fatalf("%s: %s", command, line)
				}
				return
			}
		}
	}
	answer.ReadString('\n')
	do(b, "STARTTLS")
	conn = tls.Client(raw, h.clientTLS())
	answer = bufio.NewReaderSize(conn, 64<<10)
	do(b, "LOGIN "+string(me.Address)+" \""+password+"\"")
	do(b, "SELECT INBOX")
	for _, c := range []struct{ name, command string }{
		{"flags", "UID FETCH 1:* (FLAGS)"},
		{"list", "FETCH 1:* (UID ENVELOPE BODYSTRUCTURE INTERNALDATE RFC822.SIZE)"},
		{"header-fields", "FETCH 1:1000 (BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE MESSAGE-ID REFERENCES)])"},
		{"bodies", "FETCH 1:1000 (BODY.PEEK[])"},
		{"text", "SEARCH TEXT needle-77"},
		{"sort-date", "SORT (REVERSE DATE) UTF-8 ALL"},
		{"sort-subject", "SORT (SUBJECT) UTF-8 ALL"},
		{"thread", "THREAD REFERENCES UTF-8 ALL"},
		{"store", `STORE 1:* FLAGS.SILENT (\Seen)`},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				do(b, c.command)
			}
		})
	}
}

// fill delivers n messages in small threads.
func fill(b *testing.B, h *house, id mailbox.AccountID, n int) {
	words := strings.Repeat("some words that fill a message up to a usual size\r\n", 30)
	for from := 0; from < n; from += 500 {
		var all []mailbox.Intake
		for i := from; i < min(from+500, n); i++ {
			spool := h.store.NewSpool(0)
			defer spool.Close()
			fmt.Fprintf(spool, "From: Author %d <author%d@example.com>\r\nTo: me@example.org\r\nSubject: quarterly-%d report\r\n"+
				"Date: Tue, 14 Nov 2023 %02d:13:20 +0000\r\nMessage-ID: <%d@example.com>\r\nIn-Reply-To: <%d@example.com>\r\n"+
				"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nneedle-%d\r\n",
				i%500, i%500, i, i%24, i, i/4*4, i)
			io.WriteString(spool, words)
			all = append(all, mailbox.Intake{Body: spool, Place: []mailbox.Placement{{Account: id}}})
		}
		if _, err := h.store.AcceptAll(b.Context(), all); err != nil {
			b.Fatal(err)
		}
	}
}
