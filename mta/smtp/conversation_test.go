package smtp_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"roost/mta/smtp"
)

// FuzzConversation throws bytes at a whole server. It must not panic, must take
// nothing but lines that end in CRLF, must answer in whole reply lines, and must
// be gone when the client is.
func FuzzConversation(f *testing.F) {
	for _, s := range []string{
		"EHLO c\r\nMAIL FROM:<a@b.example> SIZE=3 RET=FULL ENVID=a\r\nRCPT TO:<b@mx.example> NOTIFY=NEVER\r\nDATA\r\na\r\n.\r\nQUIT\r\n",
		"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@mx.example>\r\nBDAT 3\r\na\r\nNOOP\r\nBDAT 1 LAST\r\nbMAIL FROM:<>\r\n",
		"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@mx.example>\r\nBDAT 3\r\na\nbRSET\r\nBDAT 0 LAST\r\n",
		"EHLO c\r\nAUTH KNOCK b3Blbg==\r\nSTARTTLS\r\nVRFY x\r\nHELP\r\nEXPN\r\nRSET\r\n",
		"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<panic@mx.example>\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		if bytes.Contains(bytes.ToLower(wire), []byte("panic")) {
			return // the session does it on purpose
		}
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			box := &taken{}
			l := newPipeListener()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			server := smtp.NewServer(smtp.Options{
				NewSession: func(_ context.Context, c *smtp.Conn) (smtp.Session, error) { return &session{box: box}, nil },
				MaxSize:    func() int64 { return 1000 }, MaxRecipients: 3, MaxMails: 5,
				Log: slog.New(slog.NewTextHandler(&log, nil)),
			})
			go func() { done <- server.Serve(ctx, l) }()
			conn := l.dial(nil)
			heard := make(chan []byte)
			go func() {
				b, _ := io.ReadAll(conn)
				heard <- b
			}()
			_, _ = conn.Write(wire) // the server may be gone before
			synctest.Wait()
			conn.Close()
			answers := string(<-heard)
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if strings.Contains(log.String(), "panic") {
				t.Errorf("%q: %s", wire, log.String())
			}
			for line := range strings.Lines(answers) {
				if code, err := strconv.Atoi(line[:min(3, len(line))]); err != nil || code < 214 || code > 555 || !strings.HasSuffix(line, "\r\n") {
					t.Errorf("%q: answer %q", wire, line)
				}
			}
			for m := box.next(); m != "nothing"; m = box.next() {
				text, err := strconv.Unquote(m[strings.LastIndex(m, ` "`)+1:])
				if err != nil || text != "" && !strings.HasSuffix(text, "\r\n") || strings.ContainsAny(strings.ReplaceAll(text, "\r\n", ""), "\r\n") {
					t.Errorf("%q: took %s", wire, m)
				}
			}
		})
	})
}
