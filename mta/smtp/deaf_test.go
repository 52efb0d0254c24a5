package smtp_test

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roost/mta/smtp"
)

// TestClientThatDoesNotRead: a peer that asks and never listens is left after
// two minutes, and what it asked for meanwhile is not done.
func TestClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, l, stop := serve(t, smtp.Options{})
		defer stop()
		conn := l.dial(nil)
		defer conn.Close()
		if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		// A pipe has no room: this ends when the server hangs up.
		_, err := io.WriteString(conn, "HELO c\r\n"+strings.Repeat("NOOP\r\n", 5000)+"MAIL FROM:<>\r\nRCPT TO:<b@mx.example>\r\nDATA\r\n.\r\n")
		if d := time.Since(start); err == nil || d != 2*time.Minute {
			t.Errorf("the server left after %v: %v", d, err)
		}
		if m := box.next(); m != "nothing" {
			t.Error("taken:", m)
		}
	})
}

// TestManyThatSayNothing: those who open connections and are silent keep no
// place for longer than a command may take.
func TestManyThatSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l, stop := serve(t, smtp.Options{MaxPerAddress: 1000})
		defer stop()
		done := make(chan time.Duration, 500)
		start := time.Now()
		for range 500 {
			conn := l.dial(nil)
			go func() {
				defer conn.Close()
				text, _ := io.ReadAll(conn)
				if !strings.HasSuffix(string(text), "421 4.4.2 Waited too long\r\n") {
					t.Errorf("heard %q", text)
				}
				done <- time.Since(start)
			}()
		}
		for range 500 {
			if d := <-done; d != 5*time.Minute {
				t.Fatalf("a silent connection was kept %v", d)
			}
		}
	})
}
