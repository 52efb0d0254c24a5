package imapd_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"roost/imapd"
	"roost/mailbox"
)

// TestPicturesAgree lets several clients work on one mailbox at random. Each
// keeps the picture that the server's untagged responses draw, and at the end
// every picture has to be the mailbox as it is.
func TestPicturesAgree(t *testing.T) {
	h := newHouse(t, imapd.Limits{})
	addr := h.serve(t)
	me := h.person(t)
	for range 30 {
		h.deliver(t, mailbox.Placement{Account: me.ID}, "Subject: x\r\n\r\ntext\r\n")
	}
	seed := rand.Uint64()
	painters := make([]*painter, 5)
	for i := range painters {
		painters[i] = &painter{T: t, rand: rand.New(rand.NewPCG(seed, uint64(i)))}
		painters[i].connect(h, addr, me)
	}
	var wg sync.WaitGroup
	for _, p := range painters {
		wg.Go(func() {
			for range 120 {
				p.act()
			}
		})
	}
	wg.Wait()
	for i, p := range painters {
		p.do("NOOP")
		p.learn()
		drawn := slices.Clone(p.messages)
		p.do("FETCH 1:* (UID FLAGS)")
		for n := range p.messages {
			if drawn[n].uid != p.messages[n].uid || !maps.Equal(drawn[n].flags, p.messages[n].flags) {
				t.Errorf("seed %d, client %d, message %d: drawn %v, is %v", seed, i, n+1, drawn[n], p.messages[n])
			}
		}
		if i > 0 && !slices.EqualFunc(p.messages, painters[0].messages, func(a, b sketch) bool { return a.uid == b.uid && maps.Equal(a.flags, b.flags) }) {
			t.Errorf("seed %d: clients 0 and %d disagree", seed, i)
		}
	}
	t.Logf("%d messages at the end", len(painters[0].messages))
}

// painter is a client and its picture of the mailbox.
type painter struct {
	*testing.T
	rand     *rand.Rand
	c        net.Conn
	r        *bufio.Reader
	tag      int
	messages []sketch
}

type sketch struct {
	uid   int
	flags map[string]bool
}

func (p *painter) connect(h *house, addr string, me mailbox.Account) {
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(time.Minute))
	p.c, p.r = raw, bufio.NewReader(raw)
	p.r.ReadString('\n')
	p.do("STARTTLS")
	p.c = tls.Client(raw, h.clientTLS())
	p.r = bufio.NewReader(p.c)
	p.do(fmt.Sprintf("LOGIN %s \"%s\"", me.Address, password))
	p.do("SELECT INBOX")
	p.learn()
}

// act does something at random, and draws what a client may conclude.
func (p *painter) act() {
	n := len(p.messages)
	pick := func() (string, int, int) {
		lo := 1 + p.rand.IntN(n)
		hi := min(n, lo+p.rand.IntN(4))
		return fmt.Sprintf("%d:%d", lo, hi), lo, hi
	}
	flag := []string{`\Seen`, `\Flagged`, `\Deleted`, "$Work"}[p.rand.IntN(4)]
	switch what := p.rand.IntN(12); {
	case what < 2 || n == 0:
		p.do("APPEND INBOX (" + flag + ") {7+}\r\nA: b\r\n\r\n")
	case what < 4:
		set, _, _ := pick()
		p.do("STORE " + set + " " + []string{"+", "-", ""}[p.rand.IntN(3)] + "FLAGS (" + flag + ")")
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
		p.do("STORE " + set + " " + sign + "FLAGS.SILENT (" + flag + ")")
	case what == 7:
		set, _, _ := pick()
		p.do("FETCH " + set + " (UID BODY[TEXT])")
		p.do("UID FETCH 1:* (FLAGS)")
	case what == 8:
		set, _, _ := pick()
		p.do("COPY " + set + " INBOX")
	case what == 9:
		set, _, _ := pick()
		p.do("MOVE " + set + " " + []string{"INBOX", "Archive"}[p.rand.IntN(2)])
	case what == 10:
		p.do("EXPUNGE")
	default:
		p.do("IDLE")
	}
	p.learn()
}

// learn asks about messages that only their number is known of.
func (p *painter) learn() {
	for len(p.messages) > 0 && p.messages[len(p.messages)-1].uid == 0 {
		i := slices.IndexFunc(p.messages, func(m sketch) bool { return m.uid == 0 })
		p.do(fmt.Sprintf("FETCH %d:* (UID FLAGS)", i+1))
		if slices.ContainsFunc(p.messages, func(m sketch) bool { return m.uid == 0 }) {
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

func (p *painter) draw(line, command string) error {
	f := strings.Fields(line)
	if len(f) < 3 || f[0] != "*" {
		return nil
	}
	n, err := strconv.Atoi(f[1])
	if err != nil {
		return nil
	}
	switch f[2] {
	case "EXISTS":
		if n < len(p.messages) {
			return fmt.Errorf("there were %d", len(p.messages))
		}
		for len(p.messages) < n {
			p.messages = append(p.messages, sketch{})
		}
	case "EXPUNGE":
		if verb := strings.Fields(command)[0]; verb == "FETCH" || verb == "STORE" || verb == "SEARCH" {
			return fmt.Errorf("EXPUNGE is not allowed here")
		}
		if n > len(p.messages) {
			return fmt.Errorf("there are %d", len(p.messages))
		}
		p.messages = slices.Delete(p.messages, n-1, n)
	case "FETCH":
		if n > len(p.messages) {
			return fmt.Errorf("there are %d", len(p.messages))
		}
		m := &p.messages[n-1]
		if i := slices.IndexFunc(f, func(w string) bool { return strings.HasSuffix(w, "UID") }); i >= 0 {
			uid, err := strconv.Atoi(strings.TrimRight(f[i+1], ")"))
			if err != nil || m.uid != 0 && m.uid != uid {
				return fmt.Errorf("the UID was %d", m.uid)
			}
			m.uid = uid
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
