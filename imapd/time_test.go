package imapd_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roost/imapd"
	"roost/mailbox"
)

// pipes is a listener whose connections are net.Pipes, which keep a bubble's
// clock.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// from gives a connection the address of a client far away.
type from struct {
	net.Conn
	ip string
}

func (f from) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(f.ip), Port: 1024} }

// bubble is a server in a synctest bubble.
type bubble struct {
	*testing.T
	*house
	me     mailbox.Account
	pipes  *pipes
	stop   context.CancelFunc
	served chan error
}

func inBubble(t *testing.T, limits imapd.Limits, f func(b *bubble)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t, house: newHouse(t, limits), served: make(chan error, 1)}
		b.me = b.person(t)
		b.pipes = &pipes{make(chan net.Conn), make(chan struct{})}
		ctx, stop := context.WithCancel(t.Context())
		b.stop = stop
		go func() { b.served <- b.server.Serve(ctx, tls.NewListener(b.pipes, b.house.tls)) }()
		f(b)
		stop()
		if err := <-b.served; err != nil {
			t.Error(err)
		}
	})
}

// client is a connection that fails its test when a line is not as expected.
type client struct {
	*bubble
	net.Conn
	r *bufio.Reader
}

func (b *bubble) dial(ip string) *client {
	ours, theirs := net.Pipe()
	b.pipes.conns <- from{theirs, ip}
	secure := tls.Client(ours, b.clientTLS())
	return &client{b, secure, bufio.NewReader(secure)}
}

func (b *bubble) login(ip string) *client {
	b.Helper()
	c := b.dial(ip)
	c.expect("* OK")
	c.send("login LOGIN %s \"%s\"", b.me.Address, password)
	c.expect("login OK")
	return c
}

func (c *client) send(format string, args ...any) {
	c.Helper()
	if _, err := fmt.Fprintf(c, format+"\r\n", args...); err != nil {
		c.Fatal(err)
	}
}

func (c *client) expect(prefix string) {
	c.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, prefix) {
		c.Fatalf("got %q, %v, want %q", line, err, prefix)
	}
}

func (c *client) expectClosed() {
	c.Helper()
	if rest, err := io.ReadAll(c.r); len(rest) > 0 {
		c.Fatalf("got %q, %v, want the end", rest, err)
	}
}

// took fails unless what came before took d since begun.
func (b *bubble) took(begun time.Time, d time.Duration) {
	b.Helper()
	if got := time.Since(begun); got != d {
		b.Fatalf("took %v, want %v", got, d)
	}
}

func TestIdleKeepsAlive(t *testing.T) {
	inBubble(t, imapd.Limits{}, func(b *bubble) {
		c := b.login("192.0.2.1")
		c.send("a IDLE")
		c.expect("+ idling")
		begun := time.Now()
		for n := range 15 { // an hour, and beyond the autologout time
			c.expect("* OK Still here")
			b.took(begun, time.Duration(n+1)*4*time.Minute)
		}
		c.send("DONE")
		c.expect("a OK")
		c.Close()
	})
}

func TestAutologout(t *testing.T) {
	inBubble(t, imapd.Limits{}, func(b *bubble) {
		c := b.login("192.0.2.1")
		time.Sleep(29 * time.Minute)
		c.send("a NOOP")
		c.expect("a OK")
		begun := time.Now()
		c.expect("* BYE no command for too long")
		b.took(begun, 30*time.Minute)
		c.expectClosed()
	})
}

func TestLoginTime(t *testing.T) {
	inBubble(t, imapd.Limits{}, func(b *bubble) {
		begun := time.Now()
		c := b.dial("192.0.2.1")
		c.expect("* OK")
		for range 3 { // commands do not prolong it
			time.Sleep(30 * time.Second)
			c.send("a NOOP")
			c.expect("a OK")
		}
		c.expect("* BYE no command for too long")
		b.took(begun, 2*time.Minute)
		c.expectClosed()
	})
}

func TestHalfACommand(t *testing.T) {
	inBubble(t, imapd.Limits{}, func(b *bubble) {
		c := b.login("192.0.2.1")
		time.Sleep(20 * time.Minute)
		fmt.Fprint(c, "a APPEND INBOX {100}\r\n")
		c.expect("+ ")
		begun := time.Now()
		fmt.Fprint(c, "From: ")
		c.expect("* BYE no command for too long")
		b.took(begun, 2*time.Minute)
		c.expectClosed()
	})
}

func TestFailedLoginsWait(t *testing.T) {
	inBubble(t, imapd.Limits{}, func(b *bubble) {
		c := b.dial("192.0.2.1")
		c.expect("* OK")
		for n := range 3 {
			begun := time.Now()
			c.send("a LOGIN %s wrong%d", b.me.Address, n)
			c.expect("a NO [AUTHENTICATIONFAILED]")
			b.took(begun, time.Duration(n+1)*500*time.Millisecond)
		}
		c.send("a LOGIN %s wrong3", b.me.Address)
		c.expect("* BYE too many failed logins")
		c.expectClosed()

		// Another connection from there waits on; one from elsewhere does not,
		// nor does the right password.
		begun := time.Now()
		c = b.dial("192.0.2.1")
		c.expect("* OK")
		c.send("a LOGIN %s wrong4", b.me.Address)
		c.expect("a NO")
		b.took(begun, 2500*time.Millisecond)
		begun = time.Now()
		other := b.dial("192.0.2.2")
		other.expect("* OK")
		other.send("a LOGIN %s wrong", b.me.Address)
		other.expect("a NO")
		b.took(begun, 500*time.Millisecond)
		begun = time.Now()
		other.send("b LOGIN %s \"%s\"", b.me.Address, password)
		other.expect("b OK")
		b.took(begun, 0)
		c.Close()
		other.Close()
	})
}

func TestConnectionLimits(t *testing.T) {
	inBubble(t, imapd.Limits{PerAddress: 2, PerAccount: 3}, func(b *bubble) {
		one, two := b.login("192.0.2.1"), b.login("192.0.2.1")
		c := b.dial("192.0.2.1")
		c.expect("* BYE [LIMIT]")
		c.expectClosed()
		one.Close()
		synctest.Wait()
		one = b.login("192.0.2.1")
		three := b.login("192.0.2.2")

		c = b.dial("127.0.0.1")
		c.expect("* OK")
		c.send("a LOGIN %s \"%s\"", b.me.Address, password)
		c.expect("a NO [LIMIT]")
		two.Close()
		synctest.Wait()
		c.send("b LOGIN %s \"%s\"", b.me.Address, password)
		c.expect("b OK")
		for _, c := range []*client{one, three, c} {
			c.Close()
		}

		// An IPv6 network of one customer counts as one address.
		six, seven := b.dial("2001:db8::1"), b.dial("2001:db8::2")
		six.expect("* OK")
		seven.expect("* OK")
		c = b.dial("2001:db8::3")
		c.expect("* BYE [LIMIT]")
		c.expectClosed()
		for _, c := range []*client{six, seven} {
			c.Close()
		}
	})
}

// Unless other limits are set an address has 100 connections and an account 50, and the
// words say which it was.
func TestConnectionLimitsUnlessSet(t *testing.T) {
	inBubble(t, imapd.Limits{}, func(b *bubble) {
		var open []*client
		for range 50 {
			open = append(open, b.login("192.0.2.1"))
		}
		for range 50 {
			c := b.dial("192.0.2.1")
			c.expect("* OK")
			open = append(open, c)
		}
		c := b.dial("192.0.2.1")
		c.expect("* BYE [LIMIT] too many connections\r\n")
		c.expectClosed()
		c = open[99]
		c.send("a LOGIN %s \"%s\"", b.me.Address, password)
		c.expect("a NO [LIMIT] too many connections of this account\r\n")
		open[0].Close()
		synctest.Wait()
		c.send("b LOGIN %s \"%s\"", b.me.Address, password)
		c.expect("b OK")
		open = append(open[1:], b.dial("192.0.2.1"))
		open[99].expect("* OK")
		for _, c := range open {
			c.Close()
		}
	})
}

// Stopping tells who waits, and does not wait for who does not listen.
func TestStop(t *testing.T) {
	inBubble(t, imapd.Limits{}, func(b *bubble) {
		waiting, idling, deaf := b.login("192.0.2.1"), b.login("192.0.2.1"), b.login("192.0.2.1")
		idling.send("a IDLE")
		idling.expect("+ idling")
		b.deliver(b, mailbox.Placement{Account: b.me.ID}, "Subject: x\r\n\r\n"+strings.Repeat("text\r\n", 10000))
		deaf.send("a EXAMINE INBOX\r\nb FETCH 1 BODY[]") // and reads nothing
		synctest.Wait()
		begun := time.Now()
		b.stop()
		waiting.expect("* BYE [UNAVAILABLE] the server is stopping")
		waiting.expectClosed()
		idling.expect("* BYE [UNAVAILABLE] the server is stopping")
		idling.expectClosed()
		if err := <-b.served; err != nil {
			b.Fatal(err)
		}
		if got := time.Since(begun); got > 4*time.Second {
			b.Fatalf("stopping took %v", got)
		}
		b.served <- nil
		deaf.Close()
	})
}

// A client that stops to read holds its session two minutes and a few KB.
func TestDeafClient(t *testing.T) {
	inBubble(t, imapd.Limits{PerAddress: 1}, func(b *bubble) {
		b.deliver(b, mailbox.Placement{Account: b.me.ID}, "Subject: x\r\n\r\n"+strings.Repeat("text\r\n", 10000))
		c := b.login("192.0.2.1")
		c.send("a EXAMINE INBOX\r\nb FETCH 1 BODY[]")
		time.Sleep(2*time.Minute + 6*time.Second) // TLS takes five to say good-bye
		b.login("192.0.2.1").Close()              // its place is free
		c.Close()
	})
}
