// Package dnstest serves a zone literal as a recursive resolver would, for
// tests: on a loopback socket (UDP and TCP), or in memory for a
// testing/synctest bubble.
//
// A literal is zone text (RFC 1035 section 5.1): $ORIGIN, $TTL and
// parentheses work; the origin is the root and the TTL 0, so that nothing is
// cached unless the text asks for it. It may hold any number of domains;
// what it does not hold does not exist. Wildcards and CNAMEs are followed.
//
// A comment behind a record marks the answer for that name and type, and a
// line that starts with ";!" marks every answer at and below the names it
// lists, where a mark nearer to the record wins:
//
//	;! secure example.org
//	example.org.            MX   10 mx.example.org.
//	mx.example.org.         A    192.0.2.1
//	plain.example.org.      A    192.0.2.2     ; insecure
//	_25._tcp.mx.example.org. TLSA 3 1 1 00ff   ; servfail
//	broken.example.         TXT  "v=spf1 -all" ; bogus
//	;! timeout gone.example
//
// The marks: secure sets AD; insecure takes it away; bogus answers SERVFAIL
// with an extended error, or the data when checking is disabled; servfail
// answers SERVFAIL always; timeout never answers; truncate answers over TCP
// only. Other comments are comments.
package dnstest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"roost/mta/dns"

	mdns "github.com/miekg/dns"
)

// Server answers from a zone literal. Its methods may be called while it
// runs; every query sees the zone as it is at that moment.
type Server struct {
	t    testing.TB
	addr string // of the sockets; "" in memory

	mu      sync.Mutex
	zone    *zone
	queries []string
}

// New serves the literal on a free port of 127.0.0.1 until the test ends. A
// literal that does not parse fails the test.
func New(t testing.TB, literal string) *Server {
	t.Helper()
	s := NewMemory(t, literal)
	// The same port for both protocols: another process may hold one of the
	// pair, hence the tries.
	for try := 0; ; try++ {
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal("dnstest:", err)
		}
		tcp, err := net.Listen("tcp", udp.LocalAddr().String())
		if err != nil {
			udp.Close()
			if try < 20 {
				continue
			}
			t.Fatal("dnstest:", err)
		}
		s.addr = udp.LocalAddr().String()
		s.start(&mdns.Server{PacketConn: udp, Handler: mdns.HandlerFunc(s.serve)})
		s.start(&mdns.Server{Listener: tcp, Handler: mdns.HandlerFunc(s.serve)})
		return s
	}
}

// NewMemory serves the literal on no socket, only through Dial and Resolver.
func NewMemory(t testing.TB, literal string) *Server {
	t.Helper()
	s := &Server{t: t}
	s.Replace(literal)
	return s
}

func (s *Server) start(server *mdns.Server) {
	ready := make(chan struct{})
	done := make(chan struct{})
	server.NotifyStartedFunc = func() { close(ready) }
	go func() {
		defer close(done)
		server.ActivateAndServe()
	}()
	<-ready
	s.t.Cleanup(func() {
		server.Shutdown()
		<-done
	})
}

// Addr is where the server listens, as IP:port.
func (s *Server) Addr() string {
	if s.addr == "" {
		s.t.Helper()
		s.t.Fatal("dnstest: a server in memory has no address")
	}
	return s.addr
}

// Resolver returns a resolver that asks this server: over its sockets, or in
// memory where it has none.
func (s *Server) Resolver() *dns.Resolver {
	s.t.Helper()
	o := dns.Options{Servers: []string{s.addr}}
	if s.addr == "" {
		o = dns.Options{Servers: []string{"127.0.0.1"}, Dial: s.Dial}
	}
	r, err := dns.New(o)
	if err != nil {
		s.t.Fatal("dnstest:", err)
	}
	return r
}

// Dial connects to the server over net.Pipe, whatever the address.
func (s *Server) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		c := &mdns.Conn{Conn: server}
		for {
			q, err := c.ReadMsg()
			if err != nil {
				return
			}
			if m := s.answer(q, network); m != nil && c.WriteMsg(m) != nil {
				return
			}
		}
	}()
	return client, nil
}

// Replace serves another literal from now on.
func (s *Server) Replace(literal string) {
	s.t.Helper()
	z, err := parse(literal)
	if err != nil {
		s.t.Fatal("dnstest:", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone = z
}

// Add serves the records and marks of another literal too.
func (s *Server) Add(literal string) {
	s.t.Helper()
	more, err := parse(literal)
	if err != nil {
		s.t.Fatal("dnstest:", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone = s.zone.with(more)
}

// Remove takes away the records of a name: of the given types such as "TXT",
// or all of them.
func (s *Server) Remove(name string, types ...string) {
	s.t.Helper()
	var codes []uint16
	for _, text := range types {
		code, ok := mdns.StringToType[strings.ToUpper(text)]
		if !ok {
			s.t.Fatalf("dnstest: unknown type %q", text)
		}
		codes = append(codes, code)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone = s.zone.without(mdns.CanonicalName(name), codes)
}

// Queries lists what has been asked so far, as "MX example.org".
func (s *Server) Queries() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.queries...)
}

func (s *Server) serve(w mdns.ResponseWriter, q *mdns.Msg) {
	if m := s.answer(q, w.LocalAddr().Network()); m != nil {
		w.WriteMsg(m)
	}
}

// answer returns nil for a question that is to time out.
func (s *Server) answer(q *mdns.Msg, network string) *mdns.Msg {
	m := new(mdns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	if len(q.Question) != 1 {
		m.Rcode = mdns.RcodeFormatError
		return m
	}
	asked := q.Question[0]
	s.mu.Lock()
	z := s.zone
	s.queries = append(s.queries, fmt.Sprintf("%s %s", mdns.TypeToString[asked.Qtype], strings.TrimSuffix(asked.Name, ".")))
	s.mu.Unlock()

	opt := q.IsEdns0()
	if opt != nil {
		m.SetEdns0(4096, opt.Do())
	}
	found := z.resolve(asked.Name, asked.Qtype)
	switch mark := found.mark; {
	case mark == timeout:
		return nil
	case mark == servfail, mark == bogus && !q.CheckingDisabled:
		m.Rcode = mdns.RcodeServerFailure
		if mark == bogus && opt != nil {
			out := m.IsEdns0()
			out.Option = append(out.Option, &mdns.EDNS0_EDE{InfoCode: mdns.ExtendedErrorCodeDNSBogus, ExtraText: "marked bogus"})
		}
		return m
	case mark == truncate && network == "udp":
		m.Truncated = true
		return m
	case mark == secure:
		m.AuthenticatedData = q.AuthenticatedData || (opt != nil && opt.Do())
	}
	m.Answer = found.records
	if !found.exists {
		m.Rcode = mdns.RcodeNameError
	}
	if found.soa != nil {
		m.Ns = []mdns.RR{found.soa}
	}
	if network == "udp" {
		size := mdns.MinMsgSize
		if opt != nil {
			size = int(opt.UDPSize())
		}
		m.Truncate(size)
	}
	return m
}
