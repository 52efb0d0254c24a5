package dns_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roost/mta/dns"
	"roost/mta/dns/dnstest"
)

const zone = `
;! secure signed.example
;! timeout silent.example
;! servfail ill.example
$ORIGIN example.org.
@          MX   20 mx2
@          MX   10 MX1.Example.ORG.
@          TXT  "v=spf1 " "mx -all"
@          TXT  "quote \" back\\slash \200 end"
mx1        A    192.0.2.1
mx1        AAAA 2001:db8::1
mx2        A    192.0.2.2
www        CNAME mx1
far        CNAME www
loop       CNAME loop2
loop2      CNAME loop
none       MX   0 .
mixed      MX   0 .
mixed      MX   5 mx1
bad        MX   5 not\032a\032host.example.
*.wild     A    192.0.2.9
a.b.deep   A    192.0.2.10
half       A    192.0.2.11
half       AAAA 2001:db8::11 ; servfail
halfgone   AAAA 2001:db8::11 ; servfail
_imaps._tcp SRV 0 1 993 mx1
_pop3._tcp  SRV 0 0 0 .
@          NS   ns1
big        TXT "x" ; truncate
1.2.0.192.in-addr.arpa. PTR mx1
signed.example.   MX 10 mx.signed.example.
mx.signed.example. A 192.0.2.3
un.signed.example. A 192.0.2.4 ; insecure
_25._tcp.mx.signed.example. TLSA 3 1 1 00FF
out.signed.example. CNAME mx1.example.org.
forged.example.   A 192.0.2.66 ; bogus
`

func TestLookups(t *testing.T) {
	// Over sockets: the one test that shows UDP and TCP.
	r := dnstest.New(t, zone).Resolver()
	ctx := t.Context()
	addr := netip.MustParseAddr
	for _, test := range []struct {
		what string
		got  func() (any, error)
		want any
	}{
		{"mx", list(r.MX(ctx, "example.org")), []dns.MX{{Preference: 20, Host: "mx2.example.org"}, {Preference: 10, Host: "mx1.example.org"}}},
		{"mx with final dot and capitals", list(r.MX(ctx, "Example.ORG.")), []dns.MX{{Preference: 20, Host: "mx2.example.org"}, {Preference: 10, Host: "mx1.example.org"}}},
		{"null mx", list(r.MX(ctx, "none.example.org")), dns.ErrNullMX},
		{"null mx beside another", list(r.MX(ctx, "mixed.example.org")), []dns.MX{{Preference: 5, Host: "mx1.example.org"}}},
		{"mx that is no host", list(r.MX(ctx, "bad.example.org")), dns.ErrNotFound},
		{"txt joined and unescaped", list(r.TXT(ctx, "example.org")), []string{"v=spf1 mx -all", "quote \" back\\slash \xc8 end"}},
		{"a", list(r.A(ctx, "mx1.example.org")), []netip.Addr{addr("192.0.2.1")}},
		{"aaaa", list(r.AAAA(ctx, "mx1.example.org")), []netip.Addr{addr("2001:db8::1")}},
		{"both", list(r.Addrs(ctx, "mx1.example.org")), []netip.Addr{addr("2001:db8::1"), addr("192.0.2.1")}},
		{"one family", list(r.Addrs(ctx, "mx2.example.org")), []netip.Addr{addr("192.0.2.2")}},
		{"one family ill", list(r.Addrs(ctx, "half.example.org")), []netip.Addr{addr("192.0.2.11")}},
		{"one family ill, the other not there", list(r.Addrs(ctx, "halfgone.example.org")), dns.ErrTemporary},
		{"alias", list(r.A(ctx, "far.example.org")), []netip.Addr{addr("192.0.2.1")}},
		{"alias itself", list(r.CNAME(ctx, "far.example.org")), []string{"www.example.org"}},
		{"alias loop", list(r.A(ctx, "loop.example.org")), dns.ErrTemporary},
		{"alias to nothing of the type", list(r.TXT(ctx, "far.example.org")), dns.ErrNotFound},
		{"wildcard", list(r.A(ctx, "any.wild.example.org")), []netip.Addr{addr("192.0.2.9")}},
		{"no such name", list(r.A(ctx, "no.example.org")), dns.ErrNotFound},
		{"no such type", list(r.MX(ctx, "mx1.example.org")), dns.ErrNotFound},
		{"empty non-terminal", list(r.A(ctx, "b.deep.example.org")), dns.ErrNotFound},
		{"servfail", list(r.A(ctx, "x.ill.example")), dns.ErrTemporary},
		{"bogus", list(r.A(ctx, "forged.example")), dns.ErrBogus},
		{"ptr", list(r.PTR(ctx, addr("::ffff:192.0.2.1"))), []string{"mx1.example.org"}},
		{"no ptr", list(r.PTR(ctx, addr("2001:db8::1"))), dns.ErrNotFound},
		{"tlsa", list(r.TLSA(ctx, "_25._tcp.mx.signed.example")), []dns.TLSA{{Usage: 3, Selector: 1, MatchingType: 1, Data: []byte{0, 255}}}},
		{"srv", list(r.SRV(ctx, "_imaps._tcp.example.org")), []dns.SRV{{Weight: 1, Port: 993, Host: "mx1.example.org"}}},
		{"srv not offered", list(r.SRV(ctx, "_pop3._tcp.example.org")), []dns.SRV{{}}},
		{"ns", list(r.NS(ctx, "example.org")), []string{"ns1.example.org"}},
		{"truncated", list(r.TXT(ctx, "big.example.org")), []string{"x"}},
		{"not a name", list(r.A(ctx, "two words.example")), dns.ErrNotFound},
		{"empty label", list(r.A(ctx, "a..example")), dns.ErrNotFound},
		{"empty name", list(r.A(ctx, "")), dns.ErrNotFound},
		{"long label", list(r.A(ctx, strings.Repeat("a", 64)+".example")), dns.ErrNotFound},
	} {
		t.Run(test.what, func(t *testing.T) {
			got, err := test.got()
			if kind, ok := test.want.(error); ok {
				var e *dns.Error
				if !errors.Is(err, kind) || !errors.As(err, &e) {
					t.Fatalf("got %v, %v; want an *Error of kind %v", got, err, kind)
				}
				if e.Temporary() != (kind == dns.ErrTemporary || kind == dns.ErrBogus) {
					t.Errorf("Temporary() is %v for %v", e.Temporary(), err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Fatalf("got %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

func list[T any](a dns.Answer[T], err error) func() (any, error) {
	return func() (any, error) { return a.Records, err }
}

func TestVerdict(t *testing.T) {
	z := dnstest.NewMemory(t, zone)
	ctx := t.Context()
	elsewhere, err := dns.New(dns.Options{Servers: []string{"192.0.2.53:53"}, Dial: z.Dial})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		r     *dns.Resolver
		want  dns.Verdict
		owner string
	}{
		{"mx.signed.example", z.Resolver(), dns.Secure, "mx.signed.example"},
		{"un.signed.example", z.Resolver(), dns.Insecure, "un.signed.example"},
		{"mx1.example.org", z.Resolver(), dns.Insecure, "mx1.example.org"},
		// The alias is proven, what it points at is not.
		{"out.signed.example", z.Resolver(), dns.Insecure, "mx1.example.org"},
		{"mx.signed.example", elsewhere, dns.Unknown, "mx.signed.example"},
	} {
		a, err := test.r.A(ctx, test.name)
		if err != nil || a.Verdict != test.want || a.Name != test.owner {
			t.Errorf("%s: %v %q, %v; want %v %q", test.name, a.Verdict, a.Name, err, test.want, test.owner)
		}
	}
	// That something is not there can be proven too.
	for name, want := range map[string]dns.Verdict{"no.signed.example": dns.Secure, "no.example.org": dns.Insecure} {
		_, err := z.Resolver().TLSA(ctx, name)
		var e *dns.Error
		if !errors.As(err, &e) || e.Verdict != want {
			t.Errorf("%s: %v; want a denial that is %v", name, err, want)
		}
	}
}

func TestTimeoutAndNextServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := dnstest.NewMemory(t, zone)
		start := time.Now()
		_, err := z.Resolver().A(t.Context(), "a.silent.example")
		if !errors.Is(err, dns.ErrTemporary) {
			t.Errorf("silent server: %v", err)
		}
		if took := time.Since(start); took != 8*time.Second {
			t.Errorf("gave up after %v; want two rounds of 4 s", took)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := z.Resolver().A(ctx, "a.silent.example"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller's deadline: %v", err)
		}

		r, err := dns.New(dns.Options{
			Servers: []string{"192.0.2.1", "127.0.0.1"},
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				if address == "192.0.2.1:53" {
					return nil, errors.New("unreachable")
				}
				return z.Dial(ctx, network, address)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.A(t.Context(), "mx1.example.org"); err != nil {
			t.Errorf("second server not asked: %v", err)
		}
	})
}

func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lasting = `$TTL 60
example.org. SOA ns.example.org. h.example.org. 1 1 1 1 30
example.org. TXT "one"
forever.example.org. 999999999 TXT "x"
`
		z := dnstest.NewMemory(t, lasting)
		r := z.Resolver()
		ask := func(name, want string) {
			t.Helper()
			a, err := r.TXT(t.Context(), name)
			got := strings.Join(a.Records, ",")
			if errors.Is(err, dns.ErrNotFound) {
				got = "not found"
			} else if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Fatalf("%s is %q, want %q", name, got, want)
			}
		}
		ask("example.org", "one")
		ask("new.example.org", "not found")
		ask("forever.example.org", "x")
		z.Replace(strings.Replace(lasting, "one", "two", 1) + "new.example.org. TXT \"new\"\n")
		z.Remove("forever.example.org")
		ask("example.org", "one")
		ask("EXAMPLE.org", "one")
		ask("new.example.org", "not found")
		time.Sleep(31 * time.Second)
		ask("example.org", "one")
		ask("new.example.org", "new")
		time.Sleep(30 * time.Second)
		ask("example.org", "two")
		ask("forever.example.org", "x")
		time.Sleep(time.Hour)
		ask("forever.example.org", "not found")
		if n := len(z.Queries()); n != 6 {
			t.Errorf("%d queries, want 6: %v", n, z.Queries())
		}
	})
}

// A resolver in trouble is left alone for five seconds (RFC 9520 section 3.2).
func TestFailuresAreKeptForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := dnstest.NewMemory(t, "$TTL 60\nexample.org. TXT one ; servfail\n")
		r := z.Resolver()
		var first error
		asked := 0
		for i := range 3 {
			_, err := r.TXT(t.Context(), "example.org")
			if !errors.Is(err, dns.ErrTemporary) {
				t.Fatalf("%v, want a temporary failure", err)
			}
			if i == 0 {
				first, asked = err, len(z.Queries())
			}
			if err.Error() != first.Error() {
				t.Errorf("kept as %q, told as %q", first, err)
			}
		}
		if n := len(z.Queries()); n != asked {
			t.Errorf("a failure that was known took %d queries", n-asked)
		}
		z.Replace("$TTL 60\nexample.org. TXT one\n")
		time.Sleep(5*time.Second + 1)
		if a, err := r.TXT(t.Context(), "example.org"); err != nil || a.Records[0] != "one" {
			t.Errorf("after 5 s: %v, %v", a.Records, err)
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	z := dnstest.NewMemory(t, "$TTL 60\n*.example.org. A 192.0.2.1\n")
	r, err := dns.New(dns.Options{Servers: []string{"127.0.0.1"}, Dial: z.Dial, CacheEntries: 10})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for i := range 100 {
			if _, err := r.A(t.Context(), fmt.Sprintf("n%d.example.org", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := len(z.Queries()); n < 190 {
		t.Errorf("200 look-ups of 100 names made %d queries: more than 10 entries were kept", n)
	}
}

func TestNoCache(t *testing.T) {
	z := dnstest.New(t, "$TTL 60\nexample.org. TXT one")
	r, err := dns.New(dns.Options{Servers: []string{z.Addr()}, CacheEntries: -1})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		z.Replace("$TTL 60\nexample.org. TXT " + text)
		if a, err := r.TXT(t.Context(), "example.org"); err != nil || a.Records[0] != text {
			t.Errorf("%v, %v; want %q", a.Records, err, text)
		}
	}
	z.Remove("example.org", "TXT")
	z.Add("example.org. A 192.0.2.1")
	if _, err := r.TXT(t.Context(), "example.org"); !errors.Is(err, dns.ErrNotFound) {
		t.Errorf("removed record: %v", err)
	}
	if _, err := r.A(t.Context(), "example.org"); err != nil {
		t.Errorf("added record: %v", err)
	}
}

func TestBadServer(t *testing.T) {
	for _, s := range []string{"", "localhost", "localhost:53", "192.0.2.1:0", "192.0.2.1:x"} {
		if _, err := dns.New(dns.Options{Servers: []string{s}}); err == nil {
			t.Errorf("server %q accepted", s)
		}
	}
	for _, s := range []string{"192.0.2.1", "192.0.2.1:5353", "::1", "[::1]:53"} {
		if _, err := dns.New(dns.Options{Servers: []string{s}}); err != nil {
			t.Error(err)
		}
	}
}
