package smtp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roost/mta/smtp"
)

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

// TestConnectionsPerAddress holds the limit, that a /64 is one address, that a
// connection that ends makes room, and that loopback has none.
func TestConnectionsPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l, stop := serve(t, smtp.Options{MaxPerAddress: 2})
		defer stop()
		first := func(from string) (string, net.Conn) {
			conn := l.dial(&net.TCPAddr{IP: net.ParseIP(from), Port: 1})
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil {
				t.Fatal(from, err)
			}
			return line[:3], conn
		}
		var conns []net.Conn
		for _, tt := range []struct{ from, want string }{
			{"192.0.2.1", "220"}, {"192.0.2.1", "220"}, {"192.0.2.1", "421"}, {"192.0.2.2", "220"},
			{"2001:db8::1", "220"}, {"2001:db8::2", "220"}, {"2001:db8::3", "421"}, {"2001:db8:0:1::3", "220"},
			{"127.0.0.1", "220"}, {"127.0.0.1", "220"}, {"127.0.0.1", "220"}, {"::1", "220"}, {"::1", "220"}, {"::1", "220"},
		} {
			got, conn := first(tt.from)
			if got != tt.want {
				t.Errorf("%s: got %s, want %s", tt.from, got, tt.want)
			}
			conns = append(conns, conn)
		}
		conns[0].Close()
		synctest.Wait()
		if got, conn := first("192.0.2.1"); got != "220" {
			t.Error("no room was made:", got)
		} else {
			conns = append(conns, conn)
		}
		for _, c := range conns {
			c.Close()
		}
	})
}

func TestSessionRefusesConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l, stop := serve(t, smtp.Options{NewSession: func(context.Context, *smtp.Conn) (smtp.Session, error) {
			return nil, smtp.Reply{Code: 554, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "No"}
		}})
		defer stop()
		conn := l.dial(nil)
		defer conn.Close()
		if line, err := bufio.NewReader(conn).ReadString('\n'); line != "554 5.7.1 No\r\n" {
			t.Error(line, err)
		}
	})
}

// TestServeSockets runs over real sockets: implicit TLS and plain, on one
// server, which ends while a client is silent and another one is gone.
func TestServeSockets(t *testing.T) {
	cert := testCertificate(t)
	conf := &tls.Config{Certificates: []tls.Certificate{cert}}
	box := &taken{}
	server := smtp.NewServer(smtp.Options{
		TLS: conf,
		NewSession: func(context.Context, *smtp.Conn) (smtp.Session, error) {
			return &session{box: box}, nil
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 2)
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	plain, secure := listen(), listen()
	go func() { done <- server.Serve(ctx, plain) }()
	go func() { done <- server.Serve(ctx, tls.NewListener(secure, conf)) }()

	dial := func(addr net.Addr) net.Conn {
		conn, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	silent := dial(secure.Addr()) // never shakes hands
	gone := dial(plain.Addr())
	gone.Close()

	c := connect(t, tls.Client(dial(secure.Addr()), &tls.Config{InsecureSkipVerify: true}))
	if _, ok := c.Extension("STARTTLS"); ok {
		t.Error("STARTTLS inside TLS")
	}
	waiting := connect(t, dial(plain.Addr()))
	for _, c := range []*smtp.Client{c, waiting} {
		if _, err := c.Envelope(t.Context(), smtp.Path{}, smtp.MailParams{}, []smtp.Forward{{Path: smtp.Path{Local: "b", Domain: "mx.example"}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Data(t.Context(), strings.NewReader("hi\r\n")); err != nil {
			t.Fatal(err)
		}
		if m := box.next(); m != `<> <b@mx.example> "hi\r\n"` {
			t.Error(m)
		}
	}
	start := time.Now()
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("it took %v to end", d)
	}
	if err := waiting.Reset(t.Context()); err == nil {
		t.Error("the connection outlived its server")
	}
	silent.Close()
}

func TestReceived(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.FixedZone("", 3600))
	tests := []struct {
		t    smtp.Trace
		want string
	}{
		{smtp.Trace{Hello: "c.example", Peer: mustAddr("192.0.2.1"), By: "mx.example", With: "ESMTPS", TLS: "TLS_AES_128_GCM_SHA256", ID: "7", For: "b@mx.example", At: at},
			"Received: from c.example ([192.0.2.1])\r\n\tby mx.example with ESMTPS\r\n\tid 7\r\n\tfor <b@mx.example>\r\n\ttls TLS_AES_128_GCM_SHA256;\r\n\tSun, 22 Nov 2026 10:00:00 +0100\r\n"},
		{smtp.Trace{Hello: "evil)(\"", Peer: mustAddr("2001:db8::1"), By: "mx.example", With: "SMTP", ID: "7", At: at},
			"Received: from unknown ([IPv6:2001:db8::1])\r\n\tby mx.example with SMTP\r\n\tid 7;\r\n\tSun, 22 Nov 2026 10:00:00 +0100\r\n"},
		{smtp.Trace{Hello: "my-phone", By: "mx.example", With: "ESMTPSA", ID: "7", At: at},
			"Received: by mx.example with ESMTPSA\r\n\tid 7;\r\n\tSun, 22 Nov 2026 10:00:00 +0100\r\n"},
	}
	for _, tt := range tests {
		if got := string(tt.t.AppendReceived(nil)); got != tt.want {
			t.Errorf("got\n%q, want\n%q", got, tt.want)
		}
	}
}
