package dns

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

// reply serves one fixed message, with the question's ID, to every query.
func reply(t *testing.T, edit func(m *mdns.Msg)) *Resolver {
	t.Helper()
	r, err := New(Options{Servers: []string{"127.0.0.1"}, Rounds: 1, CacheEntries: -1,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				c := &mdns.Conn{Conn: server}
				if q, err := c.ReadMsg(); err == nil {
					m := new(mdns.Msg)
					m.SetReply(q)
					edit(m)
					c.WriteMsg(m)
				}
			}()
			return client, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestHostileAnswers(t *testing.T) {
	rr := func(s string) mdns.RR {
		r, err := mdns.NewRR(s)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for name, test := range map[string]struct {
		edit func(m *mdns.Msg)
		want error
	}{
		"another question": {func(m *mdns.Msg) { m.Question[0].Name = "other.example." }, ErrTemporary},
		"another id":       {func(m *mdns.Msg) { m.Id++ }, ErrTemporary},
		"a query":          {func(m *mdns.Msg) { m.Response = false }, ErrTemporary},
		"refused":          {func(m *mdns.Msg) { m.Rcode = mdns.RcodeRefused }, ErrTemporary},
		"records of another name": {func(m *mdns.Msg) {
			m.Answer = []mdns.RR{rr("other.example. A 192.0.2.1")}
		}, ErrNotFound},
		"alias to the root": {func(m *mdns.Msg) {
			m.Answer = []mdns.RR{rr("example.org. CNAME .")}
		}, ErrNotFound},
		"endless aliases": {func(m *mdns.Msg) {
			m.Answer = []mdns.RR{rr(m.Question[0].Name + " CNAME a." + m.Question[0].Name)}
		}, ErrTemporary},
		"too many records": {func(m *mdns.Msg) {
			for range maxRecords + 1 {
				m.Answer = append(m.Answer, rr("example.org. A 192.0.2.1"))
			}
		}, ErrTemporary},
		"a type that lies about its length": {func(m *mdns.Msg) {
			m.Answer = []mdns.RR{&mdns.RFC3597{Hdr: mdns.RR_Header{Name: "example.org.", Rrtype: mdns.TypeA, Class: 1}, Rdata: "00"}}
		}, ErrTemporary},
		"control bytes in the extended error": {func(m *mdns.Msg) {
			m.Rcode = mdns.RcodeServerFailure
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = append(m.IsEdns0().Option, &mdns.EDNS0_EDE{InfoCode: 22, ExtraText: "x\r\ny" + strings.Repeat("z", 5000)})
		}, ErrTemporary},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := reply(t, test.edit).A(t.Context(), "example.org")
			if !errors.Is(err, test.want) {
				t.Fatalf("%v, %v; want %v", a.Records, err, test.want)
			}
			if s := err.Error(); strings.ContainsAny(s, "\r\n") || len(s) > 500 {
				t.Errorf("a stranger's text in the error: %q", s)
			}
		})
	}
}

// A server that predates EDNS0 answers FORMERR, and is asked again without.
func TestWithoutEDNS(t *testing.T) {
	r := reply(t, func(m *mdns.Msg) {
		m.Answer = []mdns.RR{&mdns.A{
			Hdr: mdns.RR_Header{Name: "example.org.", Rrtype: mdns.TypeA, Class: 1}, A: net.IPv4(192, 0, 2, 1)}}
	})
	plain := r.dial
	asked := 0
	r.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if asked++; asked > 1 {
			return plain(ctx, network, address)
		}
		old := reply(t, func(m *mdns.Msg) { m.Rcode = mdns.RcodeFormatError })
		return old.dial(ctx, network, address)
	}
	if _, err := r.A(t.Context(), "example.org"); err != nil || asked != 2 {
		t.Errorf("%v after %d queries", err, asked)
	}
}

// A validating resolver without extended errors gives a forgery away by
// answering once checking is disabled.
func TestBogusWithoutExtendedError(t *testing.T) {
	asked := 0
	edit := func(m *mdns.Msg) {
		if !m.CheckingDisabled {
			m.Rcode = mdns.RcodeServerFailure
		}
		asked++
	}
	if _, err := reply(t, edit).A(t.Context(), "example.org"); !errors.Is(err, ErrBogus) || asked != 2 {
		t.Errorf("%v after %d queries", err, asked)
	}
}

func TestResolvConf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	text := "# made by hand\nnameserver 192.0.2.1\nnameserver localhost\nsearch example.org\n" +
		"nameserver fe80::1%eth0\nnameserver 2001:db8::1\nnameserver 192.0.2.2\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range readResolvConf(path) {
		got = append(got, s.String())
	}
	if want := "192.0.2.1:53 [fe80::1%eth0]:53 [2001:db8::1]:53"; strings.Join(got, " ") != want {
		t.Errorf("servers %v, want %s", got, want)
	}
	if readResolvConf(filepath.Join(t.TempDir(), "none")) != nil {
		t.Error("servers from a file that is not there")
	}
	r, err := New(Options{})
	if err != nil || len(r.list()) == 0 {
		t.Errorf("the system's resolvers: %v, %v", r.list(), err)
	}
}

func FuzzAnswer(f *testing.F) {
	m := new(mdns.Msg)
	m.SetQuestion("example.org.", mdns.TypeMX)
	for _, s := range []string{
		"example.org. 5 CNAME a.example.", "a.example. 5 MX 0 .", "a.example. 5 MX 10 mx.example.", "a.example. TXT \"a\\\"\\200\"",
	} {
		rr, err := mdns.NewRR(s)
		if err != nil {
			f.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	b, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, uint16(mdns.TypeMX))
	f.Add(b, uint16(mdns.TypeTXT))
	f.Fuzz(func(t *testing.T, b []byte, qtype uint16) {
		m := new(mdns.Msg)
		if m.Unpack(b) != nil {
			return
		}
		a, err := readAnswer(m, "example.org.", qtype)
		if err != nil {
			return
		}
		if len(a.records) > maxRecords || a.ttl < 0 || a.ttl > maxPositive {
			t.Fatalf("%d records for %v", len(a.records), a.ttl)
		}
		for _, rr := range a.records {
			switch rr := rr.(type) {
			case *mdns.MX:
				if h := hostName(rr.Mx); h != "" {
					if w, err := wireName(h); err != nil || !mdns.IsFqdn(w) {
						t.Fatalf("%q from %q cannot be looked up: %v", h, rr.Mx, err)
					}
				}
			case *mdns.TXT:
				for _, s := range rr.Txt {
					if len(unescape(s)) > 255 {
						t.Fatalf("%q is longer than a character string", s)
					}
				}
			}
		}
	})
}
