package imapd_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"roost/imapd"
	"roost/mailbox"
)

// TestIdleMemory measures what a client costs that is logged in over TLS, has a
// mailbox of 10,000 messages open and waits in IDLE. The clients are another
// process. In plain nobody can log in.
func TestIdleMemory(t *testing.T) {
	const clients, messages, most = 1000, 10_000, 80 << 10
	if addr := os.Getenv("ROOST_IDLE_CLIENTS"); addr != "" {
		idleClients(t, clients, addr)
		return
	}
	if os.Getenv("ROOST_LONG") == "" {
		t.Skip("takes a while: set ROOST_LONG=1")
	}
	h := newHouse(t, imapd.Limits{PerAccount: clients + 1})
	addr := h.serve(t)
	me := h.person(t)
	for range messages / 500 {
		intakes := make([]mailbox.Intake, 500)
		for i := range intakes {
			spool := h.store.NewSpool(0)
			defer spool.Close()
			io.WriteString(spool, "Subject: x\r\n\r\ntext\r\n")
			intakes[i] = mailbox.Intake{Body: spool, Place: []mailbox.Placement{{Account: me.ID}}}
		}
		if _, err := h.store.AcceptAll(t.Context(), intakes); err != nil {
			t.Fatal(err)
		}
	}
	before := anonymous(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestIdleMemory$")
	cmd.Env = append(os.Environ(), "ROOST_IDLE_CLIENTS="+addr, "ROOST_IDLE_LOGIN="+string(me.Address))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Errorf("the clients: %q, %v", line, err)
	}
	each := (anonymous(t) - before) / clients
	t.Logf("%d bytes of anonymous memory for each of %d connections", each, clients)
	if each > most {
		t.Errorf("that is more than %d", most)
	}
	in.Close()
	cmd.Wait()
}

// idleClients are clients that idle until standard input ends.
func idleClients(t *testing.T, n int, addr string) {
	for range n {
		raw, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(time.Minute))
		c, r := net.Conn(raw), bufio.NewReader(raw)
		until := func(prefix string) {
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(line, prefix) {
					return
				}
			}
		}
		until("* OK")
		fmt.Fprint(c, "a STARTTLS\r\n")
		until("a OK")
		c = tls.Client(raw, &tls.Config{InsecureSkipVerify: true}) // a certificate of the test's own
		r = bufio.NewReader(c)
		fmt.Fprintf(c, "b LOGIN %s \"%s\"\r\n", os.Getenv("ROOST_IDLE_LOGIN"), password)
		until("b OK")
		fmt.Fprint(c, "c SELECT INBOX\r\n")
		until("c OK")
		fmt.Fprint(c, "d IDLE\r\n")
		until("+ ")
		raw.SetDeadline(time.Time{})
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
}

// anonymous is the process's anonymous memory, less what is free.
func anonymous(t *testing.T) int {
	debug.FreeOSMemory()
	debug.FreeOSMemory() // what pools held is free after the second
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		t.Skip("no figures of this process's memory: ", err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] == "Anonymous:" {
			kb, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Skip("no figure of anonymous memory")
	return 0
}
