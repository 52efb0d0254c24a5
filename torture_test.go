package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"roost/mailbox"
)

// maxTorture bounds the memory of a server that 50 senders torture.
const maxTorture = 300 << 10 // KiB

// Fifty senders at once send messages, and most of them do it badly: they hang
// up, reset the connection, stall for good, or send what is refused. Each 250 is
// one message in both mailboxes; what was answered otherwise, or broke off, is
// nowhere; and where a sender left between the end of its data and the answer,
// the message is whole or not at all. ROOST_LONG=1 makes it a thousand messages
// from each.
func TestFiftyBadSenders(t *testing.T) {
	each := 20
	switch {
	case os.Getenv("ROOST_LONG") != "":
		each = 1000
	case testing.Short():
		each = 5
	}
	dir := filepath.Join(t.TempDir(), "data")
	w, err := newWorld(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var senders sync.WaitGroup
	all := make([]*badSender, 50)
	for n := range all {
		s := &badSender{t: t, addr: w.addr["smtp"], name: n, fate: map[string]fate{}, size: map[string]int{}, rand: rand.New(rand.NewPCG(uint64(n), 0x526f6f7374))}
		all[n] = s
		senders.Go(func() { s.run(each) })
	}
	senders.Wait()
	took := time.Since(began)
	peak := peakMemory(t, w.cmd.Process.Pid)
	if err := w.stop(); err != nil { // while stalled connections are open
		t.Error(err)
	}
	for _, s := range all {
		for _, c := range s.stalled {
			c.Close()
		}
	}

	size := map[string]int{}
	for _, s := range all {
		for id, n := range s.size {
			size[id] = n
		}
	}
	found := inBoth(t, dir, size)
	count := map[fate]int{}
	for _, s := range all {
		for id, f := range s.fate {
			count[f]++
			n := found[id]
			delete(found, id)
			if f == taken && n != 1 || f == broken && n != 0 || f == unheard && n > 1 {
				t.Errorf("message %s was %s and is there %d times", id, f, n)
			}
		}
	}
	for id := range found {
		t.Errorf("message %s is there and was never sent", id)
	}
	if count[taken] < 10*each || count[broken] < 10*each || count[unheard] < each {
		t.Errorf("too little of something to show anything: %v", count)
	}
	if peak > maxTorture {
		t.Errorf("the server took %d KiB of memory at its peak, more than %d", peak, maxTorture)
	}
	t.Logf("%d messages in %v: %d answered with 250, %d refused or broken off, %d left before the answer; %d MB of memory at the peak",
		count[taken]+count[broken]+count[unheard], took.Round(time.Millisecond), count[taken], count[broken], count[unheard], peak>>10)
}

// fate is what a sender knows of a message.
type fate int

const (
	broken  fate = iota // refused, or not sent to its end
	taken               // answered with 250
	unheard             // sent to its end, and nobody waited for the answer
)

func (f fate) String() string {
	return [...]string{"refused or broken off", "answered with 250", "not waited for"}[f]
}

// badSender sends messages over connections that it treats badly.
type badSender struct {
	t       *testing.T
	addr    string
	name    int
	rand    *rand.Rand
	conn    *net.TCPConn
	r       *bufio.Reader
	fate    map[string]fate
	size    map[string]int // of what was to be sent, in octets
	stalled []net.Conn
}

func (s *badSender) run(n int) {
	for i := range n {
		id := fmt.Sprintf("%d.%d@torture.example", s.name, i)
		if s.conn == nil && !s.connect() {
			return
		}
		s.fate[id] = s.send(id)
	}
	if s.conn != nil {
		s.conn.Close()
	}
}

func (s *badSender) connect() bool {
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Error(err)
		return false
	}
	s.conn, s.r = conn.(*net.TCPConn), bufio.NewReader(conn)
	s.conn.SetDeadline(time.Now().Add(5 * time.Minute))
	fmt.Fprint(s.conn, "EHLO torture.example\r\n")
	return s.hears("220") && s.hears("250")
}

// hearsAll hears several replies, one behind the other.
func (s *badSender) hearsAll(codes ...string) bool {
	for _, code := range codes {
		if !s.hears(code) {
			return false
		}
	}
	return true
}

// hears reads one reply and wants its code.
func (s *badSender) hears(code string) bool {
	line, err := s.reply()
	if err != nil || !strings.HasPrefix(line, code) {
		s.t.Errorf("sender %d heard %q and %v, not %s", s.name, line, err, code)
		return false
	}
	return true
}

func (s *badSender) reply() (string, error) {
	for {
		line, err := s.r.ReadString('\n')
		if err != nil || len(line) < 4 || line[3] != '-' {
			return line, err
		}
	}
}

// leave gives the connection up: by an end, or by a reset.
func (s *badSender) leave(reset bool) {
	if reset {
		s.conn.SetLinger(0)
	}
	s.conn.Close()
	s.conn = nil
}

// send sends one message, one way or another.
func (s *badSender) send(id string) fate {
	const envelope = "MAIL FROM:<a@torture.example>\r\nRCPT TO:<me@roost.localhost>\r\nRCPT TO:<you@roost.localhost>\r\n"
	lines := s.rand.IntN(50)
	if s.rand.IntN(50) == 0 {
		lines = 20000 // 600 KB
	}
	text := "From: a@torture.example\r\nMessage-ID: <" + id + ">\r\n\r\n" + strings.Repeat("to be or not to be, that is..\r\n", lines)
	s.size[id] = len(text)
	cut := s.rand.IntN(len(text) - 8)
	reset := s.rand.IntN(2) == 0
	chunks := s.rand.IntN(3) == 0
	begin := func() bool { // the message begins to flow
		if chunks {
			fmt.Fprintf(s.conn, "%sBDAT %d\r\n%sBDAT %d LAST\r\n", envelope, cut, text[:cut], len(text)-cut)
			return s.hearsAll("250", "250", "250", "250")
		}
		fmt.Fprint(s.conn, envelope+"DATA\r\n")
		return s.hearsAll("250", "250", "250", "354")
	}
	rest, end := text, ".\r\n"
	if chunks {
		rest, end = text[cut:], ""
	}
	switch s.rand.IntN(8) {
	case 0: // leaves in the envelope
		fmt.Fprint(s.conn, envelope[:s.rand.IntN(len(envelope))])
		s.leave(reset)
	case 1: // leaves in the message
		if begin() {
			fmt.Fprint(s.conn, rest[:s.rand.IntN(len(rest))])
			s.leave(reset)
		}
	case 2: // stalls in the message, for good
		if begin() {
			fmt.Fprint(s.conn, rest[:s.rand.IntN(len(rest))])
			if len(s.stalled) < 10 {
				s.stalled, s.conn = append(s.stalled, s.conn), nil
			} else {
				s.leave(reset)
			}
		}
	case 3: // sends a bare LF, with a smuggled message behind it
		if begin() {
			bad := rest[:len(rest)-2] + "\n"
			if !chunks {
				bad += ".\nMAIL FROM:<a@torture.example>\r\n"
			} else {
				bad = rest[:len(rest)-2] + "\n\n"
			}
			fmt.Fprint(s.conn, bad+end)
			s.hears("550")
		}
	case 4: // does not wait for the answer
		if begin() {
			fmt.Fprint(s.conn, rest+end)
			s.leave(reset)
			return unheard
		}
	default:
		if begin() {
			for b := []byte(rest + end); len(b) > 0; { // in pieces
				n, err := s.conn.Write(b[:min(len(b), 1+s.rand.IntN(len(rest)+1))])
				if b = b[n:]; err != nil {
					s.t.Error(err)
					return unheard
				}
			}
			if s.hears("250") {
				return taken
			}
			return unheard
		}
	}
	return broken
}

var tortured = regexp.MustCompile(`<([0-9.]+@torture\.example)>`)

// inBoth counts the messages of both accounts by Message-ID. A message is there
// once when each of the two has it once, whole.
func inBoth(t *testing.T, dir string, size map[string]int) map[string]int {
	t.Helper()
	s, err := mailbox.Open(dir, mailbox.Options{LockTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := s.Check(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	half := make(map[string]int)
	for _, addr := range []mailbox.Address{"me@roost.localhost", "you@roost.localhost"} {
		a, err := s.Account(addr)
		if err != nil {
			t.Fatal(err)
		}
		snap, err := s.Snapshot(a.ID, mailbox.InboxID)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range snap.Entries {
			m, err := s.OpenMessage(a.ID, mailbox.InboxID, e.UID)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if _, err := b.ReadFrom(m.Reader()); err != nil {
				t.Fatal(err)
			}
			if id := tortured.FindSubmatch(b.Bytes()); id != nil {
				half[string(id[1])]++
				// What stands above the message is ours.
				if got := b.Len() - bytes.Index(b.Bytes(), []byte("From: a@torture.example\r\n")); got != size[string(id[1])] {
					t.Errorf("message %s has %d octets of %d", id[1], got, size[string(id[1])])
				}
			}
		}
	}
	for id, n := range half {
		if n%2 != 0 {
			t.Errorf("message %s is in %d mailboxes", id, n)
		}
		half[id] = n / 2
	}
	return half
}

// peakMemory is the most that a process ever had, in KiB.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var n int
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &n); err == nil {
			return n
		}
	}
	t.Fatal("no VmHWM in\n" + string(b))
	return 0
}
