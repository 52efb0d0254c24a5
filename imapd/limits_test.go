package imapd_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"roost/imapd"
	"roost/mailbox"
)

// An IPv4 address is one, also where it is written as an IPv6 one, as a listener for
// both kinds has it.
func TestAddressInEitherForm(t *testing.T) {
	inBubble(t, imapd.Limits{PerAddress: 2}, func(b *bubble) {
		one, two := b.login("192.0.2.1"), b.login("::ffff:192.0.2.1")
		for _, ip := range []string{"192.0.2.1", "::ffff:192.0.2.1"} {
			c := b.dial(ip)
			c.expect("* BYE [LIMIT] too many connections")
			c.expectClosed()
		}
		b.login("::ffff:192.0.2.2").Close() // no /64 of all IPv4 addresses
		for _, c := range []*client{one, two} {
			c.Close()
		}
	})
}

// Each read of a literal may take two minutes, before its first octet and after any;
// a literal that comes on may take long. Before login all reads together have two minutes.
func TestLiteralTimes(t *testing.T) {
	inBubble(t, imapd.Limits{}, func(b *bubble) {
		c := b.login("192.0.2.1")
		fmt.Fprint(c, "a APPEND INBOX {66}\r\n")
		c.expect("+ ")
		for range 33 {
			time.Sleep(119 * time.Second)
			fmt.Fprint(c, "A:")
		}
		time.Sleep(119 * time.Second)
		fmt.Fprint(c, "\r\n")
		c.expect("a OK")
		time.Sleep(29 * time.Minute)
		fmt.Fprint(c, "b APPEND INBOX {10}\r\n")
		c.expect("+ ")
		begun := time.Now()
		c.expect("* BYE no command for too long")
		b.took(begun, 2*time.Minute)
		c.expectClosed()

		begun = time.Now()
		c = b.dial("192.0.2.1")
		c.expect("* OK")
		fmt.Fprint(c, "a LOGIN {100}\r\n")
		c.expect("+ ")
		for range 3 {
			time.Sleep(30 * time.Second)
			fmt.Fprint(c, "x")
		}
		c.expect("* BYE no command for too long")
		b.took(begun, 2*time.Minute)
		c.expectClosed()
	})
}

// The greeting and the answer to either login name the capabilities: no program has to
// ask for them.
func TestCapabilitiesAreToldUnasked(t *testing.T) {
	inBubble(t, imapd.Limits{}, func(b *bubble) {
		const before = "[CAPABILITY IMAP4rev1 IMAP4rev2 AUTH=PLAIN AUTH=LOGIN SASL-IR LITERAL+ ID ENABLE] "
		const after = "[CAPABILITY IMAP4rev1 IMAP4rev2 SASL-IR LITERAL+ ID ENABLE "
		c := b.dial("192.0.2.1")
		c.expect("* OK " + before)
		c.send("a LOGIN %s \"%s\"", b.me.Address, password)
		c.expect("a OK " + after)
		c.Close()
		c = b.dial("192.0.2.1")
		c.expect("* OK " + before)
		c.send("a AUTHENTICATE PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+string(b.me.Address)+"\x00"+password)))
		c.expect("a OK " + after)
		c.send("b UNAUTHENTICATE")
		c.expect("b OK " + before)
		c.Close()
	})
}

// A client that asks for a large message and reads nothing of it costs some KB, not the
// message.
func TestDeafClientsCostLittle(t *testing.T) {
	inBubble(t, imapd.Limits{PerAddress: 1000, PerAccount: 1000}, func(b *bubble) {
		const clients, most = 40, 100 << 10 // with the client's own half of TLS
		var text strings.Builder
		for random := rand.New(rand.NewPCG(1, 2)); text.Len() < 1000<<10; {
			fmt.Fprintf(&text, "%x\r\n", random.Uint64())
		}
		b.deliver(b, mailbox.Placement{Account: b.me.ID}, "Subject: x\r\n\r\n"+text.String())
		heap := func() int64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		b.login("192.0.2.1").Close() // what is made once is made
		before := heap()
		var open []*client
		for range clients {
			c := b.login("192.0.2.1")
			c.send("a EXAMINE INBOX\r\nb FETCH 1 BODY[]")
			open = append(open, c)
		}
		synctest.Wait() // until every one of them waits for its client to read
		time.Sleep(2 * time.Second)
		synctest.Wait()
		each := (heap() - before) / clients
		b.Logf("%d bytes of heap for each of %d clients", each, clients)
		if each > most {
			b.Errorf("that is more than %d", most)
		}
		// One reads after all, and gets the message as it is.
		for line := ""; !strings.Contains(line, "FETCH (BODY[] {"); {
			var err error
			if line, err = open[0].r.ReadString('\n'); err != nil {
				b.Fatal(err)
			}
		}
		got := make([]byte, len("Subject: x\r\n\r\n")+text.Len())
		if _, err := io.ReadFull(open[0].r, got); err != nil || string(got) != "Subject: x\r\n\r\n"+text.String() {
			b.Errorf("another message after the wait, %v", err)
		}
		open[0].expect(")")
		open[0].expect("b OK")
		for _, c := range open {
			c.Close()
		}
	})
}

// tapped is a listener that shows the connections it takes.
type tapped struct {
	net.Listener
	conns chan net.Conn
}

func (l tapped) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.conns <- c
	}
	return c, err
}

// Small writes go out at once: Nagle's algorithm would hold the end of an answer until
// the client has confirmed what came before, which it puts off by 40 ms.
func TestNagleIsOff(t *testing.T) {
	h := newHouse(t, imapd.Limits{})
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := tapped{inner, make(chan net.Conn, 1)}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- h.server.Serve(ctx, l) }()
	c, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	fmt.Fprint(c, "a NOOP\r\n")
	for range 2 {
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := (<-l.conns).(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	on := 0
	raw.Control(func(fd uintptr) { on, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY) })
	if err != nil || on == 0 {
		t.Errorf("TCP_NODELAY is %d, %v", on, err)
	}
	c.Close()
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
