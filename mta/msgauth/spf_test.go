package msgauth

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/authres"
	"gopkg.in/yaml.v3"

	"roost/mta/dns/dnstest"
)

// suite is one part of the published test suite of RFC 7208.
type suite struct {
	Description string
	Tests       map[string]struct {
		Helo     string
		Host     string
		MailFrom string `yaml:"mailfrom"`
		Result   words
	}
	Zone map[string][]any `yaml:"zonedata"`
}

// words is a list of words, or one word.
type words []string

func (w *words) UnmarshalYAML(v *yaml.Node) error {
	if v.Kind == yaml.ScalarNode {
		*w = words{v.Value}
		return nil
	}
	return v.Decode((*[]string)(w))
}

// differs are the cases in which we answer otherwise than the suite, and why.
var differs = map[string]string{
	"a-colon-domain":            "a name with a slash in it, which no host has",
	"a-colon-domain-ip4mapped":  "the same",
	"mx-colon-domain":           "the same",
	"mx-colon-domain-ip4mapped": "the same",
	"macro-mania-in-domain":     "a name with a blank in it, which no host has",
	"p-macro-multiple":          "the macro p, which RFC 7208 section 7.2 wants nobody to use, is not expanded",
}

// TestPublishedSuite runs the test suite that openspf.org published for RFC 7208,
// which the evaluator's module carries along.
func TestPublishedSuite(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "blitiri.com.ar/go/spf").Output()
	if err != nil {
		t.Fatal("where is the module of the evaluator:", err)
	}
	f, err := os.Open(filepath.Join(strings.TrimSpace(string(dir)), "testdata", "rfc7208-tests.yml"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cases := 0
	for dec := yaml.NewDecoder(f); ; {
		var s suite
		if dec.Decode(&s) != nil {
			break
		}
		zone := dnstest.NewMemory(t, s.zone())
		r := zone.Resolver()
		for name, c := range s.Tests {
			cases++
			v := &Verdict{Client: netip.MustParseAddr(c.Host).Unmap()}
			m := Mail{Client: v.Client, Hello: c.Helo, From: c.MailFrom}
			v.identities(m)
			checkSPF(t.Context(), r, v, m)
			if got := string(v.MailFrom.Result); !slices.Contains(c.Result, got) && differs[name] == "" {
				t.Errorf("%s: %s: got %s (%s), want %s", s.Description, name, got, v.MailFrom.Reason, c.Result)
			}
			told(t, name, v)
		}
	}
	if cases < 200 {
		t.Errorf("the suite has only %d cases", cases)
	}
}

// told holds that the Authentication-Results field has the result, where a program
// looks for it.
func told(t *testing.T, name string, v *Verdict) {
	t.Helper()
	header := v.Header("mx.example.org")
	value := strings.TrimPrefix(strings.ReplaceAll(header, "\r\n", ""), "Authentication-Results: ")
	id, results, err := authres.Parse(value)
	if err != nil || id != "mx.example.org" {
		t.Errorf("%s: %q: %q, %v", name, header, id, err)
	}
	want := v.MailFrom.Result
	if v.Null {
		want = v.Hello.Result
	}
	for _, r := range results {
		if spf, ok := r.(*authres.SPFResult); ok && string(spf.Value) == string(want) && (spf.From != "" || v.Null || v.MailFrom.Domain == "") {
			return
		}
	}
	t.Errorf("%s: %q does not tell %s", name, header, want)
}

// zone is the suite's zone as zone text. What times out there is answered with
// a failure here, which is as temporary and takes no time.
func (s *suite) zone() string {
	var b strings.Builder
	for name, records := range s.Zone {
		owner := escapedName(name)
		// Without a TXT record the suite means its SPF record to be one too.
		hasTXT, told := false, false
		for _, r := range records {
			if m, ok := r.(map[string]any); ok && m["TXT"] != nil {
				hasTXT, told = true, told || m["TXT"] != "NONE"
			}
		}
		fmt.Fprintf(&b, ";! insecure %s\n", owner) // and no failure, whatever is above
		for _, r := range records {
			m, ok := r.(map[string]any)
			if r == "TIMEOUT" || ok && m["TIMEOUT"] != nil {
				if told {
					continue // the other type does
				}
				fmt.Fprintf(&b, ";! servfail %s\n", owner)
				continue
			}
			for kind, value := range m {
				if kind == "SPF" && !hasTXT {
					kind = "TXT"
				}
				switch kind {
				case "TXT":
					if value == "NONE" {
						continue
					}
					fmt.Fprintf(&b, "%s TXT", owner)
					if len(list(value)) == 0 {
						b.WriteString(` ""`)
					}
					for _, text := range list(value) {
						fmt.Fprintf(&b, " %s", escapedText(fmt.Sprint(text)))
					}
					b.WriteByte('\n')
				case "MX":
					mx := list(value)
					fmt.Fprintf(&b, "%s MX %v %s\n", owner, mx[0], escapedName(mx[1].(string)))
				case "A", "AAAA":
					for _, a := range list(value) {
						fmt.Fprintf(&b, "%s %s %v\n", owner, kind, a)
					}
				case "PTR", "CNAME":
					for _, a := range list(value) {
						fmt.Fprintf(&b, "%s %s %s\n", owner, kind, escapedName(a.(string)))
					}
				}
			}
		}
	}
	return b.String()
}

func list(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{v}
}

func escapedName(s string) string {
	var b strings.Builder
	for _, c := range []byte(strings.TrimSuffix(s, ".")) {
		if isLetter(c) || isDigit(c) || strings.IndexByte("-_.", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\%03d`, c)
		}
	}
	return b.String() + "."
}

func escapedText(s string) string {
	var parts []string
	for {
		n := min(len(s), 255)
		var b strings.Builder
		for _, c := range []byte(s[:n]) {
			if c < ' ' || c > '~' || c == '"' || c == '\\' || c == ';' {
				fmt.Fprintf(&b, `\%03d`, c)
			} else {
				b.WriteByte(c)
			}
		}
		parts = append(parts, `"`+b.String()+`"`)
		if s = s[n:]; s == "" {
			return strings.Join(parts, " ")
		}
	}
}

func TestCheckSPFRecord(t *testing.T) {
	for _, s := range []string{
		"v=spf1", "v=spf1 -all", "V=SPF1   +ALL  ", "v=spf1 a mx ptr ~all", "v=spf1 a:mail.example.org/24//64 mx//48 a/0 -all",
		"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ip6:::ffff:192.0.2.1 ?all", "v=spf1 include:_spf.example.org. redirect=%{d2}.example.org",
		"v=spf1 exists:%{ir}.%{v}.%{l1r-+}._spf.%{d} exp=%{o} -all", "v=spf1 x=%{s}%%%_%- a.b-c_d=1:2/3", "v=spf1 a:a_b.xn--p1ai -all",
	} {
		if err := checkSPFRecord(s); err != nil || !isSPFRecord(s) {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{
		"v=spf1 -all moo", "v=spf1 all:x", "v=spf1 -all.", "v=spf1 --all", "v=spf1 a:museum", "v=spf1 a:192.0.2.1", "v=spf1 a: -all", "v=spf1 a/33", "v=spf1 a//129",
		"v=spf1 a/024", "v=spf1 a/", "v=spf1 ip4:192.0.2.0/33", "v=spf1 ip4:192.0.2", "v=spf1 ip4", "v=spf1 ip6:192.0.2.1", "v=spf1 ip4:2001:db8::", "v=spf1 ip6:fe80::1%25eth0",
		"v=spf1 include", "v=spf1 include:", "v=spf1 exists:example.org/24", "v=spf1 redirect=", "v=spf1 redirect=a.example redirect=b.example", "v=spf1 exp=a.example exp=a.example",
		"v=spf1 exists:%{x}.example.org", "v=spf1 exists:%{c}.example.org", "v=spf1 exists:%{d0}.example.org", "v=spf1 exists:%{d.example.org", "v=spf1 exists:%x.example.org", "v=spf1 a:example.org%",
		"v=spf1 =all", "v=spf1 1x=y", "v=spf1 -all\tmx", "v=spf1 a:b\xc3\xbc.example", "v=spf1 ptr/24", "v=spf1 mx:example.-x", "v=spf1 x=%(",
	} {
		if checkSPFRecord(s) == nil {
			t.Errorf("%q is taken", s)
		}
	}
	for _, s := range []string{"v=spf10", "v=spf1-all", " v=spf1", "v=spf2.0/pra", ""} {
		if isSPFRecord(s) {
			t.Errorf("%q is a record", s)
		}
	}
}

func FuzzCheckSPFRecord(f *testing.F) {
	f.Add("v=spf1 a:mail.example.org/24//64 exists:%{ir}.%{v}._spf.%{d2} ip6:2001:db8::/32 include:x.example redirect=y.example exp=%{d} -all")
	f.Add("v=spf1 x=%{s}%%%_%- a.b-c_d=1:2/3 ?mx//48 +ptr ip4:192.0.2.1/24")
	f.Fuzz(func(t *testing.T, s string) {
		err := checkSPFRecord(s)
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("%q: %v", s, err)
		}
		// Blanks between terms and a modifier that nobody knows change nothing.
		if again := checkSPFRecord(s + "  unknown=%{d}  "); (again == nil) != (err == nil) {
			t.Errorf("%q: %v, then %v", s, err, again)
		}
	})
}

// FuzzKey is about a key record of DKIM, and a signature that names one.
func FuzzKey(f *testing.F) {
	f.Add("v=DKIM1; k=ed25519; t=y:s; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "@sub.example.org")
	f.Add("k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3id", "")
	f.Fuzz(func(t *testing.T, record, identity string) {
		s := Signature{Domain: "example.org", Selector: "s", identity: identity}
		s.judgeKey(record)
		if s.decided && (s.Reason == "" || s.Result == Pass) {
			t.Errorf("%q: %+v", record, s)
		}
		if n := rsaBits(map[string]string{"p": record}); n < 0 {
			t.Errorf("%q has %d bits", record, n)
		}
		keyRecords([]string{record})
	})
}
