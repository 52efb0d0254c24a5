package inbound_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roost/mailbox"
	"roost/mta/inbound"
	"roost/mta/smtp/smtptest"
)

// pipes is a listener of net.Pipe connections.
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

func (p *pipes) dial(ip string) *smtptest.Player {
	server, client := net.Pipe()
	p.conns <- farConn{server, &net.TCPAddr{IP: net.ParseIP(ip), Port: 25000}}
	return &smtptest.Player{Conn: client}
}

// TestProbing: who asks for addresses that are not here is answered slowly, then
// sent away with all its network, and may come back after an hour. Others notice
// nothing, and a right recipient in each pair keeps a forwarder welcome.
func TestProbing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := mailbox.Open(t.TempDir(), mailbox.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = s.AddDomain(t.Context(), "example.org"); err == nil {
			_, err = s.CreateAccount(t.Context(), mailbox.NewAccount{Address: "ann@example.org"})
		}
		if err != nil {
			t.Fatal(err)
		}
		server := inbound.New(inbound.Options{Store: s})
		l := &pipes{make(chan net.Conn), make(chan struct{})}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- server.Serve(ctx, l) }()
		hello := "S: 220 ...\nC: HELO probe\nS: 250 ...\nC: MAIL FROM:<>\nS: 250 ...\n"
		ask := func(n, from int) string {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, "C: RCPT TO:<nobody%d@example.org>\nS: 550 5.1.1 ...\n", from+i)
			}
			return b.String()
		}
		quit := "C: QUIT\nS: 221 ...\nEOF"
		away := "S: 421 4.7.0 ...\nEOF"

		start := time.Now()
		l.dial("2001:db8:1::1").Play(t, hello+ask(3, 0)+quit)
		if took := time.Since(start); took != 0 {
			t.Errorf("three slips took %s", took)
		}
		l.dial("2001:db8:1::1").Play(t, hello+ask(21, 3)+"C: RCPT TO:<last@example.org>\n"+away)
		// 0.5 to 5 seconds in steps, then 5 each.
		if took := time.Since(start); took < 80*time.Second || took > 90*time.Second {
			t.Errorf("25 wrong recipients took %s", took)
		}
		l.dial("2001:db8:1::2").Play(t, away)
		l.dial("2001:db8:2::1").Play(t, hello+ask(1, 0)+"C: RCPT TO:<ann@example.org>\nS: 250 ...\n"+quit)
		time.Sleep(time.Hour)
		l.dial("2001:db8:1::1").Play(t, hello+ask(1, 0)+quit)

		var pairs strings.Builder
		for i := range 30 {
			pairs.WriteString(ask(1, i) + "C: RCPT TO:<ann@example.org>\nS: 250 ...\n")
		}
		l.dial("192.0.2.1").Play(t, hello+ask(1, 0)+"C: RCPT TO:<ann@example.org>\nS: 250 ...\nC: RCPT TO:<ann@example.org>\nS: 250 ...\n"+pairs.String()+quit)

		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
