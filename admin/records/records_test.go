package records

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

var update = flag.Bool("update", false, "write the golden files")

func setup() Setup {
	rsa := strings.Repeat("+not/a/real/key/", 24) + "QAB=" // as long as a 2048-bit key
	return Setup{
		Domain:    "example.org",
		Host:      "mail.example.org",
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		DKIM: []DKIMKey{
			{"20260102r", "v=DKIM1; k=rsa; p=" + rsa},
			{"20260102e", "v=DKIM1; k=ed25519; p=" + rsa[:44]},
		},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; got:\n%s", file, got)
	}
}

func TestGolden(t *testing.T) {
	var zone, table bytes.Buffer
	if err := WriteZone(&zone, Want(setup())); err != nil {
		t.Fatal(err)
	}
	golden(t, "example.org.zone", zone.Bytes())
	if err := WriteTable(&table, Want(setup())); err != nil {
		t.Fatal(err)
	}
	golden(t, "example.org.table", table.Bytes())
}

// A zone parser must read back exactly what was wanted.
func TestZoneParses(t *testing.T) {
	odd := Record{Name: "odd.example.org", Type: "TXT", Value: `a "quoted" back\slash ` + "é\x00" + strings.Repeat("x", 600)}
	list := append(Want(setup()), odd, Record{Name: "empty.example.org", Type: "TXT"})
	var zone bytes.Buffer
	if err := WriteZone(&zone, list); err != nil {
		t.Fatal(err)
	}
	p := dns.NewZoneParser(&zone, "elsewhere.example.", "")
	for _, want := range list {
		rr, ok := p.Next()
		if !ok {
			t.Fatalf("no record where %+v was wanted: %v", want, p.Err())
		}
		h := rr.Header()
		value := strings.TrimPrefix(rr.String(), h.String())
		if txt, ok := rr.(*dns.TXT); ok {
			value = ""
			for _, s := range txt.Txt {
				value += unescape(t, s)
			}
		}
		if h.Name != want.Name+"." || dns.TypeToString[h.Rrtype] != want.Type || value != want.Value {
			t.Errorf("got %s %s %q, want %s %s %q", h.Name, dns.TypeToString[h.Rrtype], value, want.Name, want.Type, want.Value)
		}
		buf := make([]byte, 64<<10)
		if _, err := dns.PackRR(rr, buf, 0, nil, false); err != nil {
			t.Errorf("%s does not pack: %v", h.Name, err)
		}
	}
	if rr, ok := p.Next(); ok {
		t.Errorf("one too many: %v", rr)
	}
	if err := p.Err(); err != nil {
		t.Error(err)
	}
}

// unescape undoes what miekg/dns keeps escaped in a parsed string.
func unescape(t *testing.T, s string) string {
	t.Helper()
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		if i+3 < len(s) && s[i+1] >= '0' && s[i+1] <= '9' {
			b = append(b, (s[i+1]-'0')*100+(s[i+2]-'0')*10+s[i+3]-'0')
			i += 3
			continue
		}
		i++
		b = append(b, s[i])
	}
	return string(b)
}

func TestWant(t *testing.T) {
	types := func(s Setup, name string) (list []string) {
		for _, r := range Want(s) {
			if r.Name == name {
				list = append(list, r.Type)
			}
		}
		return list
	}
	second := setup()
	second.Domain = "second.example"
	onApex := setup()
	onApex.Host = onApex.Domain
	unknown := setup()
	unknown.Addresses = nil
	autoconfig := setup()
	autoconfig.Host = "autoconfig.example.org"
	for _, test := range []struct {
		what  string
		setup Setup
		name  string
		want  string
	}{
		{"the host in its own zone", setup(), "mail.example.org", "A AAAA TXT"},
		{"the host in another domain's zone", second, "mail.example.org", ""},
		{"the host is the domain", onApex, "example.org", "A AAAA MX TXT"},
		{"addresses unknown", unknown, "mail.example.org", "TXT"},
		{"no CNAME beside other records", autoconfig, "autoconfig.example.org", "A AAAA TXT"},
	} {
		if got := strings.Join(types(test.setup, test.name), " "); got != test.want {
			t.Errorf("%s: %q, want %q", test.what, got, test.want)
		}
	}
	for _, r := range Want(setup()) {
		if r.Kind == "" || !strings.HasSuffix(r.Why, ".") {
			t.Errorf("%s %s: kind %q, why %q", r.Name, r.Type, r.Kind, r.Why)
		}
	}
}

func TestPolicyIDFollowsPolicy(t *testing.T) {
	p := NewPolicy("mail.example.org")
	q := p
	q.Mode = "enforce"
	if p.ID() == q.ID() || p.ID() != NewPolicy("mail.example.org").ID() {
		t.Error("the id must change with the policy, and only with it")
	}
	if n := len(p.ID()); n < 1 || n > 32 {
		t.Errorf("id %q has %d characters", p.ID(), n)
	}
}
