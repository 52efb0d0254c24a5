package imapd_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"roost/imapd"
	"roost/mailbox"
)

// TestPicturesAgree lets eight clients work on one mailbox at random. Each keeps
// the picture that the server's untagged responses draw, and at the end every
// picture has to be the mailbox as it is. Connections drop, some in the middle of
// a command: half of the clients come back by QRESYNC with the picture that they
// have, modseqs in it, and half begin anew. Some are told of changes by NOTIFY, and
// some know no sequence numbers, with UIDONLY. ROOST_LONG=1 makes it a thousand
// actions each, ROOST_SEED=n repeats a choice of actions.
func TestPicturesAgree(t *testing.T) {
	h := newHouse(t, imapd.Limits{})
	addr := h.serve(t)
	me := h.person(t)
	for range 30 {
		h.deliver(t, mailbox.Placement{Account: me.ID}, "Subject: x\r\n\r\ntext\r\n")
	}
	seed := rand.Uint64()
	if n, err := strconv.ParseUint(os.Getenv("ROOST_SEED"), 10, 64); err == nil {
		seed = n
	}
	actions := 80
	switch {
	case os.Getenv("ROOST_LONG") != "":
		actions = 1000
	case testing.Short():
		actions = 40
	}
	t.Logf("seed %d", seed)
	painters := make([]*painter, 8)
	for i := range painters {
		painters[i] = &painter{T: t, rand: rand.New(rand.NewPCG(seed, uint64(i))), qresync: i%2 == 0, notify: i == 1 || i == 4, uidOnly: i == 3 || i == 6}
		painters[i].dial = func() { painters[i].connect(h, addr, me) }
		painters[i].dial()
	}
	var wg sync.WaitGroup
	for _, p := range painters {
		wg.Go(func() {
			for i := range actions {
				p.gently = i >= actions/2
				p.act()
			}
		})
	}
	wg.Wait()
	for _, p := range painters {
		p.dropped.Wait() // what a dropped session does late is no change that anybody missed
	}
	resyncs := 0
	for i, p := range painters {
		resyncs += p.resyncs
		p.do("NOOP")
		p.learn()
		drawn := slices.Clone(p.messages)
		p.do(p.uid() + "FETCH 1:* " + p.items())
		if len(drawn) != len(p.messages) {
			t.Fatalf("seed %d, client %d: %d messages drawn, there are %d", seed, i, len(drawn), len(p.messages))
		}
		for n := range p.messages {
			if drawn[n].uid != p.messages[n].uid || drawn[n].modseq != p.messages[n].modseq || !maps.Equal(drawn[n].flags, p.messages[n].flags) {
				t.Errorf("seed %d, client %d, message %d: drawn %v, is %v", seed, i, n+1, drawn[n], p.messages[n])
			}
		}
		if i > 0 && !slices.EqualFunc(p.messages, painters[0].messages, func(a, b sketch) bool { return a.uid == b.uid && maps.Equal(a.flags, b.flags) }) {
			t.Errorf("seed %d: clients 0 and %d disagree", seed, i)
		}
	}
	if resyncs == 0 {
		t.Errorf("seed %d: nobody came back by QRESYNC", seed)
	}
	t.Logf("%d messages at the end, %d resynchronised", len(painters[0].messages), resyncs)
}

// painter is a client and its picture of the mailbox.
type painter struct {
	*testing.T
	rand     *rand.Rand
	c        net.Conn
	r        *bufio.Reader
	tag      int
	messages []sketch

	dial     func()
	qresync  bool
	notify   bool // is told of changes also between commands
	uidOnly  bool // names messages by their UIDs
	resyncs  int
	validity string
	high     int  // the HIGHESTMODSEQ that was told last
	back     bool // while SELECT tells what happened meanwhile
	exists   int  // as it says

	gently  bool // a connection is dropped when the server has ended its command
	dropped sync.WaitGroup
}

type sketch struct {
	uid    int
	flags  map[string]bool
	modseq int // 0 unless the client has QRESYNC
}

func (p *painter) items() string {
	if p.qresync {
		return "(UID FLAGS MODSEQ)"
	}
	return "(UID FLAGS)"
}

// uid begins a command that names messages.
func (p *painter) uid() string {
	if p.uidOnly {
		return "UID "
	}
	return ""
}

func (p *painter) connect(h *house, addr string, me mailbox.Account) {
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(10 * time.Minute))
	p.c, p.r = raw, bufio.NewReader(raw)
	p.r.ReadString('\n')
	p.do("STARTTLS")
	p.c = tls.Client(raw, h.clientTLS())
	p.r = bufio.NewReader(p.c)
	p.do(fmt.Sprintf("LOGIN %s \"%s\"", me.Address, password))
	if p.uidOnly {
		p.do("ENABLE UIDONLY")
	}
	if p.notify {
		p.do("NOTIFY SET (SELECTED-DELAYED (MessageNew (UID FLAGS MODSEQ) MessageExpunge FlagChange))")
	}
	switch {
	case !p.qresync:
		p.messages = nil
		p.do("SELECT INBOX")
	case p.validity == "":
		p.do("ENABLE QRESYNC")
		p.do("SELECT INBOX")
	default:
		p.do("ENABLE QRESYNC")
		p.resync()
	}
	p.learn()
}

// resync selects the mailbox with what the client knows of it. Messages that it
// has only the number of are not in that.
func (p *painter) resync() {
	p.resyncs++
	p.messages = slices.DeleteFunc(p.messages, func(m sketch) bool { return m.uid == 0 })
	known := ""
	if n := len(p.messages); n > 0 && p.rand.IntN(2) == 0 {
		known = fmt.Sprintf(" %d:%d", p.messages[0].uid, p.messages[n-1].uid)
	}
	p.back, p.exists = true, 0
	p.do(fmt.Sprintf("SELECT INBOX (QRESYNC (%s %d%s))", p.validity, p.high, known))
	p.back = false
	if len(p.messages) > p.exists {
		p.Fatalf("after SELECT with QRESYNC there are %d of %d messages", len(p.messages), p.exists)
	}
	p.messages = append(p.messages, make([]sketch, p.exists-len(p.messages))...)
}

// act does something at random, and draws what a client may conclude.
func (p *painter) act() {
	n := len(p.messages)
	pick := func() (string, int, int) {
		lo := 1 + p.rand.IntN(n)
		hi := min(n, lo+p.rand.IntN(4))
		if p.uidOnly {
			return fmt.Sprintf("%d:%d", p.messages[lo-1].uid, p.messages[hi-1].uid), lo, hi
		}
		return fmt.Sprintf("%d:%d", lo, hi), lo, hi
	}
	flag := []string{`\Seen`, `\Flagged`, `\Deleted`, "$Work"}[p.rand.IntN(4)]
	switch what := p.rand.IntN(13); {
	case what < 2 || n == 0:
		p.do("APPEND INBOX (" + flag + ") {7+}\r\nA: b\r\n\r\n")
	case what < 4:
		set, _, _ := pick()
		p.do(p.uid() + "STORE " + set + " " + []string{"+", "-", ""}[p.rand.IntN(3)] + "FLAGS (" + flag + ")")
	case what < 7:
		set, lo, hi := pick()
		sign := []string{"+", "-"}[p.rand.IntN(2)]
		// Drawn before: what the server says besides is about later changes.
		for i := lo - 1; i < hi; i++ {
			m := maps.Clone(p.messages[i].flags)
			if sign == "+" {
				m[flag] = true
			} else {
				delete(m, flag)
			}
			p.messages[i].flags = m
		}
		silent := ".SILENT"
		if p.notify {
			silent = "" // flags may be on their way that were told before this command
		}
		p.do(p.uid() + "STORE " + set + " " + sign + "FLAGS" + silent + " (" + flag + ")")
	case what == 7:
		set, _, _ := pick()
		p.do(p.uid() + "FETCH " + set + " (UID BODY[TEXT])")
		p.do("UID FETCH 1:* " + p.items())
	case what == 8:
		set, _, _ := pick()
		p.do(p.uid() + "COPY " + set + " INBOX")
	case what == 9:
		set, _, _ := pick()
		p.do(p.uid() + "MOVE " + set + " " + []string{"INBOX", "Archive"}[p.rand.IntN(2)])
	case what == 10:
		p.do("EXPUNGE")
	case what == 11:
		p.do("IDLE")
	default: // some drop the connection before they know what came of a command
		set, _, _ := pick()
		fmt.Fprint(p.c, []string{"", "drop EXPUNGE\r\n", "drop " + p.uid() + "STORE " + set + " +FLAGS (" + flag + ")\r\n", "drop " + p.uid() + "MOVE " + set + " INBOX\r\n"}[p.rand.IntN(4)])
		p.drop()
		p.dial()
	}
	p.learn()
}

// drop ends the connection without a word: at once, so that the server may find it
// broken in the middle of its answer, or by saying that no more will come.
func (p *painter) drop() {
	c := p.c
	if !p.gently {
		c.Close()
		return
	}
	c.(*tls.Conn).CloseWrite()
	p.dropped.Go(func() {
		io.Copy(io.Discard, c)
		c.Close()
	})
}

// learn asks about messages that only their number is known of.
func (p *painter) learn() {
	unknown := func(m sketch) bool { return m.uid == 0 }
	for {
		i := slices.IndexFunc(p.messages, unknown)
		if i < 0 {
			return
		}
		if p.uidOnly {
			p.do("UID FETCH 1:* " + p.items())
		} else {
			p.do(fmt.Sprintf("FETCH %d:* %s", i+1, p.items()))
		}
		if slices.ContainsFunc(p.messages, unknown) {
			p.do("NOOP") // some of them are gone already
		}
	}
}

// do sends a command and draws what the server answers.
func (p *painter) do(command string) {
	p.tag++
	tag := "t" + strconv.Itoa(p.tag)
	fmt.Fprintf(p.c, "%s %s\r\n", tag, command)
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			p.Fatalf("%s: %v", command, err)
		}
		line = strings.TrimSuffix(line, "\r\n")
		if m := validityCode.FindStringSubmatch(line); m != nil {
			p.validity = m[1]
		}
		if m := highestCode.FindStringSubmatch(line); m != nil {
			p.high, _ = strconv.Atoi(m[1])
		}
		if strings.HasPrefix(line, "+ idling") {
			fmt.Fprint(p.c, "DONE\r\n")
		}
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			if !strings.HasPrefix(rest, "OK") && !strings.HasPrefix(rest, "NO [EXPUNGEISSUED]") {
				p.Fatalf("%s: %s", command, rest)
			}
			return
		}
		if err := p.draw(line, command); err != nil {
			p.Fatalf("%s: %q: %v", command, line, err)
		}
	}
}

var (
	validityCode = regexp.MustCompile(`\[UIDVALIDITY (\d+)\]`)
	highestCode  = regexp.MustCompile(`\[HIGHESTMODSEQ (\d+)\]`)
	modseqItem   = regexp.MustCompile(`MODSEQ \((\d+)\)`)
)

func (p *painter) draw(line, command string) error {
	f := strings.Fields(line)
	if len(f) < 3 || f[0] != "*" {
		return nil
	}
	numbered := slices.Contains([]string{"FETCH", "STORE", "SEARCH"}, strings.Fields(command)[0])
	if f[1] == "VANISHED" {
		earlier := f[2] == "(EARLIER)"
		if !earlier && numbered {
			return fmt.Errorf("VANISHED is not allowed here")
		}
		return p.vanish(f[len(f)-1], earlier)
	}
	n, err := strconv.Atoi(f[1])
	if err != nil {
		return nil
	}
	switch f[2] {
	case "EXISTS":
		if p.back {
			p.exists = n
			return nil
		}
		if n < len(p.messages) {
			return fmt.Errorf("there were %d", len(p.messages))
		}
		for len(p.messages) < n {
			p.messages = append(p.messages, sketch{})
		}
	case "EXPUNGE":
		if numbered || p.qresync || p.uidOnly {
			return fmt.Errorf("EXPUNGE is not allowed here")
		}
		if n > len(p.messages) {
			return fmt.Errorf("there are %d", len(p.messages))
		}
		p.messages = slices.Delete(p.messages, n-1, n)
	case "FETCH", "UIDFETCH":
		if p.uidOnly != (f[2] == "UIDFETCH") {
			return fmt.Errorf("the wrong kind of response")
		}
		uid := 0
		if p.uidOnly {
			uid, n = n, 0
		}
		if i := slices.IndexFunc(f, func(w string) bool { return strings.HasSuffix(w, "UID") }); i >= 0 {
			if uid, err = strconv.Atoi(strings.TrimRight(f[i+1], ")")); err != nil {
				return err
			}
		}
		if p.back || p.uidOnly { // the numbers are those of the new view, or there are none
			known := len(p.messages) - p.unknown()
			i, found := slices.BinarySearchFunc(p.messages[:known], uid, func(m sketch, uid int) int { return m.uid - uid })
			if n = i + 1; !found {
				if !p.back && p.unknown() == 0 {
					return fmt.Errorf("UID %d was not there", uid)
				} else if !p.back {
					p.messages = p.messages[:len(p.messages)-1] // it is one of those
				}
				p.messages = slices.Insert(p.messages, i, sketch{})
			}
		}
		if n > len(p.messages) {
			return fmt.Errorf("there are %d", len(p.messages))
		}
		m := &p.messages[n-1]
		if uid != 0 && m.uid != 0 && m.uid != uid {
			return fmt.Errorf("the UID was %d", m.uid)
		}
		m.uid = max(m.uid, uid)
		if seq := modseqItem.FindStringSubmatch(line); seq != nil && p.qresync {
			m.modseq, _ = strconv.Atoi(seq[1])
		}
		if _, list, ok := strings.Cut(line, "FLAGS ("); ok {
			list, _, _ = strings.Cut(list, ")")
			m.flags = make(map[string]bool)
			for _, flag := range strings.Fields(list) {
				if flag != `\Recent` {
					m.flags[flag] = true
				}
			}
		}
	}
	return nil
}

// unknown counts the messages that only their number is known of, which are last.
func (p *painter) unknown() (n int) {
	for n < len(p.messages) && p.messages[len(p.messages)-1-n].uid == 0 {
		n++
	}
	return n
}

// vanish takes messages out of the picture by their UIDs. One that only its
// number was known of stands where its UID would, with UIDONLY behind all others.
func (p *painter) vanish(set string, earlier bool) error {
	for _, part := range strings.Split(set, ",") {
		first, last, ok := strings.Cut(part, ":")
		if !ok {
			last = first
		}
		lo, err1 := strconv.Atoi(first)
		hi, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil {
			return fmt.Errorf("no set of UIDs")
		}
		for uid := lo; uid <= hi; uid++ {
			at := -1
			for i, m := range p.messages {
				if m.uid == 0 && !earlier || m.uid == uid {
					at = i
				}
				if m.uid >= uid && (!p.uidOnly || m.uid == uid) {
					break
				}
				if m.uid != 0 && !p.uidOnly {
					at = -1
				}
			}
			if at >= 0 {
				p.messages = slices.Delete(p.messages, at, at+1)
			} else if !earlier {
				return fmt.Errorf("UID %d was not there", uid)
			}
		}
	}
	return nil
}
