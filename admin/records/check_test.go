package records

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/tools/txtar"

	"roost/mta/dns/dnstest"
)

// world is a small DNS: the name servers of a zone, at 192.0.2.53, and a resolver that may
// see something else.
type world struct {
	servers, resolver *dnstest.Server
}

func (w world) options() Options {
	return Options{Resolver: "192.0.2.99", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "192.0.2.53:53" {
			return w.servers.Dial(ctx, network, address)
		}
		return w.resolver.Dial(ctx, network, address)
	}}
}

// story reads a case: setup says "host", "domain", "address", "relay" and "include", a word
// each; the zone is all that is wanted, less what without names, with what zone adds. The
// resolver sees the same, less what unseen names, with what seen adds. A file bare leaves
// out all that is wanted.
func story(t *testing.T, a *txtar.Archive) (Setup, world) {
	t.Helper()
	files := map[string]string{}
	for _, f := range a.Files {
		files[f.Name] = string(f.Data)
	}
	s := setup()
	for line := range strings.Lines(files["setup"]) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "host":
			s.Host = value
		case "domain":
			s.Domain = value
		case "address":
			s.Addresses = nil
			for text := range strings.FieldsSeq(value) {
				s.Addresses = append(s.Addresses, netip.MustParseAddr(text))
			}
		case "relay":
			s.Relay = value
		case "include":
			s.SPFInclude = value
		default:
			t.Fatalf("setup: %q", line)
		}
	}
	var zone bytes.Buffer
	if _, bare := files["bare"]; !bare {
		if err := WriteZone(&zone, Want(s)); err != nil {
			t.Fatal(err)
		}
	}
	// No TTL: what is cached is not what these stories are about.
	literal := strings.ReplaceAll(zone.String(), "\t3600\tIN\t", " ")
	if _, silent := files["no-servers"]; !silent {
		literal += "example.org. NS ns1.example.org.\nns1.example.org. A 192.0.2.53\n"
	}
	w := world{dnstest.NewMemory(t, literal), dnstest.NewMemory(t, literal)}
	edit := func(less, more string, servers ...*dnstest.Server) {
		for line := range strings.Lines(files[less]) {
			words := strings.Fields(line)
			for _, server := range servers {
				server.Remove(words[0], words[1:]...)
			}
		}
		for _, server := range servers {
			server.Add(files[more])
		}
	}
	edit("without", "zone", w.servers, w.resolver)
	edit("unseen", "seen", w.resolver)
	return s, w
}

// tell prints the findings that are not just good, with what is not in WriteFindings.
func tell(t *testing.T, list []Finding) []byte {
	t.Helper()
	var worth []Finding
	for _, f := range list {
		if !f.State.Good() || f.Advice != "" || f.Pending != "" || f.Source == fromResolver && f.Type != "PTR" {
			worth = append(worth, f)
		}
	}
	var b bytes.Buffer
	if err := WriteFindings(&b, worth); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "All: %d.", len(list))
	for _, f := range list {
		if f.Bad() {
			fmt.Fprintf(&b, " %s fails.", f.Kind)
		}
		if f.State.Good() && (f.Says == "" || f.Source == "") || !f.State.Good() && (f.Says == "" || f.Advice == "") {
			t.Errorf("%s %s: %s, but says %q, advice %q, source %q", f.Kind, f.Name, f.State, f.Says, f.Advice, f.Source)
		}
	}
	return append(b.Bytes(), '\n')
}

// TestStories holds each finding of a DNS to what a person reads of it.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/check/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, err := txtar.ParseFile(file)
				if err != nil {
					t.Fatal(err)
				}
				s, w := story(t, a)
				began := time.Now()
				list, err := Check(t.Context(), s, w.options())
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("took %v", took)
				}
				got := tell(t, list)
				if n := len(a.Files); n == 0 || a.Files[n-1].Name != "want" {
					a.Files = append(a.Files, txtar.File{Name: "want"})
				}
				last := &a.Files[len(a.Files)-1]
				if *update {
					last.Data = got
					golden(t, strings.TrimPrefix(file, "testdata/"), txtar.Format(a))
				}
				if !bytes.Equal(last.Data, got) {
					t.Errorf("got\n%s", got)
				}
			})
		})
	}
}

// A person enters one record after the other and looks again each time.
func TestMissingTurnsFound(t *testing.T) {
	s, w := story(t, &txtar.Archive{Files: []txtar.File{{Name: "bare"}}})
	state := func(kind string) Finding {
		t.Helper()
		list, err := Check(t.Context(), s, w.options())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			if f.Kind == kind {
				return f
			}
		}
		t.Fatalf("nothing about %s", kind)
		return Finding{}
	}
	for _, step := range []struct{ kind, record string }{
		{"MX", "example.org. 3600 MX 10 mail.example.org."},
		{"DMARC", "_dmarc.example.org. 3600 TXT \"v=DMARC1; p=none\""},
		{"autoconfig", "autoconfig.example.org. 3600 CNAME mail.example.org."},
	} {
		if f := state(step.kind); f.State != Missing || f.Value == "" || f.Why == "" {
			t.Errorf("before: %+v", f)
		}
		w.servers.Add(step.record)
		if f := state(step.kind); f.State != Found || f.Pending == "" {
			t.Errorf("entered: %+v", f)
		}
		w.resolver.Add(step.record)
		if f := state(step.kind); f.State != Found || f.Pending != "" {
			t.Errorf("everywhere: %+v", f)
		}
	}
	w.servers.Remove("example.org", "MX")
	if f := state("MX"); f.State != Missing || f.Pending == "" {
		t.Errorf("taken away: %+v", f)
	}
}

// What Want asks for is what Check is content with.
func TestWhatIsWantedIsFound(t *testing.T) {
	for name, text := range map[string]string{
		"plain":                 "",
		"one address":           "address 192.0.2.1",
		"host is the domain":    "host example.org",
		"host elsewhere":        "host mail.second.example",
		"host is autoconfig":    "host autoconfig.example.org",
		"subdomain":             "domain team.example.org\nhost team.example.org",
		"known relay":           "relay smtp-relay.gmail.com",
		"relay with include":    "relay smtp.isp.example\ninclude spf.isp.example",
		"relay without include": "relay smtp.isp.example",
		"relay with an address": "relay 2001:db8:1::9",
		"relay on this machine": "relay 127.0.0.1",
	} {
		t.Run(name, func(t *testing.T) {
			others := "mail.second.example. A 192.0.2.1\nmail.second.example. AAAA 2001:db8::1\nsmtp.isp.example. A 198.51.100.9\n" +
				"_spf.google.com. TXT \"v=spf1 ip4:198.51.100.8 -all\"\nspf.isp.example. TXT \"v=spf1 ip4:198.51.100.8 -all\"\n"
			s, w := story(t, &txtar.Archive{Files: []txtar.File{{Name: "setup", Data: []byte(text)}, {Name: "zone", Data: []byte(others)}}})
			list, err := Check(t.Context(), s, w.options())
			if err != nil || len(list) != len(Want(s)) {
				t.Fatalf("%d findings for %d records, %v", len(list), len(Want(s)), err)
			}
			for _, f := range list {
				if f.State != Found || f.Advice != "" {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

func TestCheckRefuses(t *testing.T) {
	s := setup()
	if _, err := Check(t.Context(), s, Options{Resolver: "resolver.example"}); err == nil {
		t.Error("a resolver that is no address is taken")
	}
	s.Host = "localhost"
	if _, err := Check(t.Context(), s, Options{}); err != ErrNoHost {
		t.Error(err)
	}
	if _, err := CheckHost(t.Context(), s, Options{}); err != ErrNoHost {
		t.Error(err)
	}
}

// Whoever asked may go away.
func TestCheckIsBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := story(t, &txtar.Archive{Files: []txtar.File{{Name: "zone", Data: []byte(";! timeout .\n")}}})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		list, err := Check(ctx, s, w.options())
		if err != nil || time.Since(began) != time.Second {
			t.Errorf("took %v, %v", time.Since(began), err)
		}
		for _, f := range list {
			if f.State != Unknown {
				t.Errorf("%s: %s", f.Name, f.State)
			}
		}
	})
}
