package smtp_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roost/mta/smtp"
)

// greeted is what a client at an address hears after it said something, and
// whom the server takes it for.
func greeted(t *testing.T, from, says string) (line, peer string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		peers := make(chan string, 1)
		l := newPipeListener()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		server := smtp.NewServer(smtp.Options{NewSession: func(_ context.Context, c *smtp.Conn) (smtp.Session, error) {
			peers <- c.Peer().String()
			return &session{box: &taken{}}, nil
		}})
		proxies := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28"), netip.MustParsePrefix("2001:db8::1/128")}
		go func() { done <- server.Serve(ctx, smtp.BehindProxy(l, proxies)) }()
		conn := l.dial(&net.TCPAddr{IP: net.ParseIP(from), Port: 1})
		go func() { _, _ = io.WriteString(conn, says) }()
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		text, _ := bufio.NewReader(conn).ReadString('\n')
		line = strings.TrimSpace(text)
		select {
		case peer = <-peers:
		default:
		}
		conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return line, peer
}

// TestProxy: only those who are named are believed, and they must tell.
func TestProxy(t *testing.T) {
	const v2 = "\r\n\r\n\x00\r\nQUIT\n"
	for _, tt := range []struct{ name, from, says, line, peer string }{
		{"v1", "192.0.2.1", "PROXY TCP4 198.51.100.7 192.0.2.1 5000 25\r\n", "220", "198.51.100.7"},
		{"v1, IPv6", "2001:db8::1", "PROXY TCP6 2001:db8:9::7 2001:db8::1 5000 25\r\n", "220", "2001:db8:9::7"},
		{"v2", "192.0.2.1", v2 + "\x21\x11\x00\x0c\xc6\x33\x64\x07\xc0\x00\x02\x01\x13\x88\x00\x19", "220", "198.51.100.7"},
		{"v2, about the proxy itself", "192.0.2.1", v2 + "\x20\x00\x00\x00", "220", "192.0.2.1"},
		{"v1, unknown", "192.0.2.1", "PROXY UNKNOWN\r\n", "220", "192.0.2.1"},
		{"a proxy that tells nothing", "192.0.2.1", "EHLO evil.example\r\n", "", ""},
		{"a proxy that is silent", "192.0.2.1", "", "", ""},
		{"a header that is none", "192.0.2.1", "PROXY TCP4 localhost 192.0.2.1 5000 25\r\n", "", ""},
		{"a header without an end", "192.0.2.1", "PROXY TCP4 " + strings.Repeat("1", 500), "", ""},
		{"v2 with lengths that lie", "192.0.2.1", v2 + "\x21\x11\x00\x04\xc6\x33\x64\x07", "", ""},
		{"a stranger", "198.51.100.9", "PROXY TCP4 127.0.0.1 192.0.2.1 5000 25\r\n", "220", "198.51.100.9"},
		{"a stranger next to a proxy", "192.0.2.16", "PROXY TCP4 127.0.0.1 192.0.2.1 5000 25\r\n", "220", "192.0.2.16"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			line, peer := greeted(t, tt.from, tt.says)
			if !strings.HasPrefix(line, tt.line) || tt.line == "" && line != "" || peer != tt.peer {
				t.Errorf("heard %q, taken for %q; want %q and %q", line, peer, tt.line, tt.peer)
			}
		})
	}
}

// FuzzProxy holds that whatever a proxy says, the server does not break, and
// takes nobody for loopback who was not said to be.
func FuzzProxy(f *testing.F) {
	f.Add("PROXY TCP4 198.51.100.7 192.0.2.1 5000 25\r\n")
	f.Add("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x07\xc0\x00\x02\x01\x13\x88\x00\x19")
	f.Fuzz(func(t *testing.T, says string) {
		line, peer := greeted(t, "192.0.2.1", says)
		if (line == "") != (peer == "") && !strings.HasPrefix(line, "421") {
			t.Errorf("%q: heard %q, taken for %q", says, line, peer)
		}
	})
}
