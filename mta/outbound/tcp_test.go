package outbound_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"

	"roost/mta/dns/dnstest"
	"roost/mta/outbound"
	"roost/mta/smtp"
)

// TestOverTCP is the one attempt over real sockets: our own server, with
// STARTTLS, and a port where nobody listens.
func TestOverTCP(t *testing.T) {
	cert, _ := certificate(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	server := smtp.NewServer(smtp.Options{
		Hostname:   func() string { return "mx.example.net" },
		TLS:        &tls.Config{Certificates: []tls.Certificate{cert}},
		NewSession: func(context.Context, *smtp.Conn) (smtp.Session, error) { return sink(got), nil },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- server.Serve(ctx, l) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	sender := outbound.New(outbound.Options{
		Hostname: func() string { return "us.example.org" },
		Resolver: dnstest.New(t, "mx.test. A 127.0.0.1\n").Resolver(),
	})
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	m := outbound.Message{
		To:   []smtp.Forward{{Path: smtp.Path{Local: "ann", Domain: "example.net"}}},
		Size: int64(len(body)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil },
	}
	send := func(to string) outbound.Result {
		t.Helper()
		relay, err := outbound.ParseRelay(to)
		if err != nil {
			t.Fatal(err)
		}
		report := sender.Send(t.Context(), m, relay)
		t.Log(report.Transcript)
		return report.Results[0]
	}
	r := send("smtp://mx.test:" + port)
	if r.Outcome != outbound.Delivered || r.TLS != "TLS 1.3" || r.Host != "mx.test" {
		t.Fatalf("%+v", r)
	}
	if text := <-got; text != body {
		t.Errorf("arrived %q", text)
	}

	// Freed just now, and so most likely still free.
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	r = send("smtp://" + free.Addr().String())
	if r.Outcome != outbound.Temporary || r.Host != "" || !strings.Contains(r.Reply.Text, "connection refused") {
		t.Errorf("%+v", r)
	}
}

type sink chan string

func (sink) Mail(context.Context, smtp.Path, smtp.MailParams) error { return nil }
func (sink) Rcpt(context.Context, smtp.Path, smtp.RcptParams) error { return nil }
func (sink) Reset(context.Context)                                  {}

func (s sink) Data(_ context.Context, message io.Reader) (string, error) {
	b, err := io.ReadAll(message)
	if err == nil {
		s <- string(b)
	}
	return "1", err
}
