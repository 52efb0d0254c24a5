package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSpeedBesideDovecot does the same to Roost and to Dovecot (Maildir, its
// index caches warm) over TLS in one run, and prints medians of three and their
// ratios. ROOST_SPEED is the number of messages, for example 10000. It needs
// root, for Dovecot, and a machine that does nothing else.
func TestSpeedBesideDovecot(t *testing.T) {
	messages, _ := strconv.Atoi(os.Getenv("ROOST_SPEED"))
	if messages < 1000 {
		t.Skip("ROOST_SPEED is not set to a number of messages, 1000 or more")
	}
	w := startWorld(t)
	imaps, lmtp := startDovecot(t)
	sides := []*racer{
		{T: t, name: "Roost", addr: w.addr["imaps"], user: "me@roost.localhost", post: w.addr["smtp"], hello: "EHLO localhost"},
		{T: t, name: "Dovecot", addr: imaps, user: "me", post: lmtp, hello: "LHLO localhost"},
	}
	var order []string
	for _, r := range sides {
		r.took = make(map[string][]time.Duration)
		r.race(messages)
		for _, what := range r.order {
			if !slices.Contains(order, what) {
				order = append(order, what)
			}
		}
	}
	t.Logf("%d messages\n%-44s %12s %12s %8s", messages, "", sides[0].name, sides[1].name, "times")
	for _, what := range order {
		a, b := sides[0].median(what), sides[1].median(what)
		if a == 0 || b == 0 {
			t.Logf("%-44s %12s %12s %8s", what, a.Round(10*time.Microsecond), b.Round(10*time.Microsecond), "one side cannot")
			continue
		}
		t.Logf("%-44s %12s %12s %8.1f", what, a.Round(10*time.Microsecond), b.Round(10*time.Microsecond), float64(b)/float64(a))
	}
	if d := sides[0].median(toIdle); d > 5*time.Millisecond {
		t.Errorf("an idling program waits %v for the line about a message that was accepted", d)
	}
}

// racer is one server and what it took.
type racer struct {
	*testing.T
	name, addr, user string
	post, hello      string // where it takes mail, a path for LMTP, and the greeting there
	took             map[string][]time.Duration
	order            []string
}

// median is 0 for what the server cannot do.
func (r *racer) median(what string) time.Duration {
	all := slices.Sorted(slices.Values(r.took[what]))
	if len(all) == 0 {
		return 0
	}
	return all[len(all)/2]
}

// time does a command three times after what prepares it.
func (r *racer) time(c *plainIMAP, what string, command func(round int) string, prepare func(round int)) {
	r.order = append(r.order, what)
	for round := range 3 {
		if prepare != nil {
			prepare(round)
		}
		line := command(round)
		begun := time.Now()
		c.do(line)
		r.took[what] = append(r.took[what], time.Since(begun))
	}
}

func (r *racer) race(messages int) {
	c := r.dial()
	defer c.Close()
	for n := 0; n < messages; n += 500 {
		c.append("INBOX", n, min(500, messages-n), true)
	}
	always := func(command string) func(int) string { return func(int) string { return command } }
	c.do("SELECT INBOX")
	c.do("FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE INTERNALDATE RFC822.SIZE)") // warms
	r.time(c, "SELECT", always("SELECT INBOX"), func(int) { c.do("UNSELECT") })
	r.time(c, "UID FETCH 1:* (FLAGS)", always("UID FETCH 1:* (FLAGS)"), nil)
	r.time(c, "list view", always("FETCH 1:* (UID ENVELOPE BODYSTRUCTURE INTERNALDATE RFC822.SIZE)"), nil)
	r.time(c, "1,000 bodies", always(fmt.Sprintf("FETCH 1:%d (BODY.PEEK[])", min(1000, messages))), nil)
	for _, key := range []string{"FROM author77", "SUBJECT quarterly-77", "TEXT needle-77"} {
		r.time(c, "SEARCH "+key, always("SEARCH "+key), nil)
	}
	if c.can("SORT") && c.can("THREAD=REFERENCES") {
		r.time(c, "SORT (REVERSE DATE)", always("SORT (REVERSE DATE) UTF-8 ALL"), nil)
		r.time(c, "THREAD REFERENCES", always("THREAD REFERENCES UTF-8 ALL"), nil)
	}
	r.time(c, "STORE on all", func(round int) string {
		return "STORE 1:* " + []string{"+", "-", "+"}[round] + `FLAGS.SILENT (\Flagged)`
	}, nil)
	c.do("CREATE Copies")
	r.time(c, "COPY 1,000", always(fmt.Sprintf("COPY 1:%d Copies", min(1000, messages))), nil)
	r.order = append(r.order, "APPEND 1,000")
	for round := range 3 {
		begun := time.Now()
		c.append("Copies", round*1000, 1000, false)
		r.took["APPEND 1,000"] = append(r.took["APPEND 1,000"], time.Since(begun))
	}
	if c.can("QRESYNC") {
		c.do("ENABLE QRESYNC")
		modseq := ""
		r.time(c, "QRESYNC after 100 changes", func(int) string { return "SELECT INBOX (QRESYNC (" + modseq + "))" }, func(round int) {
			lines := strings.Join(c.do("SELECT INBOX"), " ")
			modseq = strings.TrimSuffix(word(lines, "UIDVALIDITY"), "]") + " " + strings.TrimSuffix(word(lines, "HIGHESTMODSEQ"), "]")
			c.do(fmt.Sprintf("STORE %d:%d +FLAGS.SILENT (\\Answered)", round*100+1, round*100+100))
			c.do("UNSELECT")
		})
		c.do("SELECT INBOX")
	}
	n := min(5000, messages/5)
	r.deliver()
	r.time(c, fmt.Sprintf("EXPUNGE %d", n), always("EXPUNGE"), func(int) { c.do(fmt.Sprintf(`STORE 1:%d +FLAGS.SILENT (\Deleted)`, n)) })
}

// toIdle is how long after a delivery's 250 an idling program has the line about it.
const toIdle = "250 to the IDLE line"

// deliver delivers messages while a program idles. The line may come before the
// 250, which is a microsecond then.
func (r *racer) deliver() {
	r.order = append(r.order, toIdle)
	if r.post == "" {
		return // the server has no LMTP
	}
	idler := r.dial()
	defer idler.Close()
	idler.do("SELECT INBOX")
	idler.w.WriteString("x IDLE\r\n")
	idler.w.Flush()
	if line, err := idler.r.ReadString('\n'); err != nil || line[0] != '+' {
		r.Fatalf("%s: IDLE: %q, %v", r.name, line, err)
	}
	network := "tcp"
	if strings.HasPrefix(r.post, "/") {
		network = "unix"
	}
	conn, err := net.Dial(network, r.post)
	if err != nil {
		r.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Minute))
	replies := bufio.NewReader(conn)
	say := func(text string) {
		io.WriteString(conn, text)
		for {
			line, err := replies.ReadString('\n')
			if err != nil || len(line) < 4 || line[0] > '3' {
				r.Fatalf("%s: %.20q: %q, %v", r.name, text, line, err)
			}
			if line[3] == ' ' {
				return
			}
		}
	}
	say("")
	say(r.hello + "\r\n")
	for n := range 21 {
		told := make(chan time.Time, 1)
		go func() {
			for {
				line, err := idler.r.ReadString('\n')
				if err != nil || strings.HasSuffix(line, " EXISTS\r\n") {
					told <- time.Now()
					return
				}
			}
		}()
		say("MAIL FROM:<a@example.com>\r\n")
		say("RCPT TO:<" + r.user + ">\r\n")
		say("DATA\r\n")
		say(fmt.Sprintf("From: a@example.com\r\nDate: %s\r\nMessage-ID: <idle%d@example.com>\r\n\r\ntext\r\n.\r\n", time.Now().Format(time.RFC1123Z), n))
		accepted := time.Now()
		r.took[toIdle] = append(r.took[toIdle], max((<-told).Sub(accepted), time.Microsecond))
	}
}

// word returns the word after name.
func word(text, name string) string {
	_, rest, _ := strings.Cut(text, name+" ")
	return strings.Fields(rest + " ?")[0]
}

// plainIMAP is a client that reads answers and does as little as it can.
type plainIMAP struct {
	*tls.Conn
	racer *racer
	r     *bufio.Reader
	w     *bufio.Writer
	caps  string
}

func (r *racer) dial() *plainIMAP {
	conn, err := tls.Dial("tcp", r.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		r.Fatal(err)
	}
	c := &plainIMAP{Conn: conn, racer: r, r: bufio.NewReaderSize(conn, 256<<10), w: bufio.NewWriterSize(conn, 64<<10)}
	c.SetDeadline(time.Now().Add(15 * time.Minute))
	c.r.ReadString('\n')
	c.do("LOGIN " + r.user + " roost")
	c.caps = strings.Join(c.do("CAPABILITY"), " ") + " "
	return c
}

func (c *plainIMAP) can(capability string) bool { return strings.Contains(c.caps, " "+capability+" ") }

// do gives one command and returns the first lines of the answer.
func (c *plainIMAP) do(command string) []string {
	c.w.WriteString("x " + command + "\r\n")
	return c.answer(command)
}

func (c *plainIMAP) answer(command string) (lines []string) {
	c.racer.Helper()
	if err := c.w.Flush(); err != nil {
		c.racer.Fatal(err)
	}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.racer.Fatalf("%s: %.60s: %v", c.racer.name, command, err)
		}
		if i := strings.LastIndexByte(line, '{'); i >= 0 && strings.HasSuffix(line, "}\r\n") {
			if n, err := strconv.Atoi(line[i+1 : len(line)-3]); err == nil {
				io.CopyN(io.Discard, c.r, int64(n))
				continue
			}
		}
		if strings.HasPrefix(line, "x ") {
			if !strings.HasPrefix(line, "x OK") {
				c.racer.Fatalf("%s: %.60s: %s", c.racer.name, command, line)
			}
			return lines
		}
		if len(lines) < 20 {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
}

// append gives messages, in one command where the server can and may.
func (c *plainIMAP) append(box string, from, count int, together bool) {
	together = together && c.can("MULTIAPPEND")
	for i := range count {
		n := from + i
		text := fmt.Sprintf("From: Author %d <author%d@example.com>\r\nTo: me@example.org\r\nSubject: quarterly-%d report\r\nDate: %s\r\nMessage-ID: <%d@example.com>\r\nIn-Reply-To: <%d@example.com>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nneedle-%d\r\n%s",
			n%500, n%500, n, time.Unix(1700000000+int64(n*7919%1000000), 0).UTC().Format(time.RFC1123Z), n, n/4*4, n, strings.Repeat(fmt.Sprintf("some words of message %d that fill it up to a usual size\r\n", n), 30))
		if !together || i == 0 {
			fmt.Fprintf(c.w, "x APPEND %s", box)
		}
		fmt.Fprintf(c.w, " {%d+}\r\n%s", len(text), text)
		if !together || i == count-1 {
			c.w.WriteString("\r\n")
			c.answer("APPEND")
		}
	}
}
