package cli_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"roost/admin/records"
	"roost/mta/dns/dnstest"
)

// A person sets up the DNS of a domain in a terminal: with a server running, and without.
func TestDNSFromEmptyToComplete(t *testing.T) {
	for _, name := range []string{"without a server", "with one"} {
		t.Run(name, func(t *testing.T) {
			r := rig{t, filepath.Join(t.TempDir(), "data")}
			if name == "with one" {
				defer r.serve()()
			}
			zone := dnstest.New(t, `
2.0.0.127.zen.spamhaus.org.  A 127.0.0.2
2.0.0.127.bl.spamcop.net.    A 127.0.0.2
2.0.0.127.psbl.surriel.com.  A 127.0.0.2
2.0.0.127.dnsbl.dronebl.org. A 127.0.0.2
`)
			roost := func(want int, args string) string {
				t.Helper()
				out, errs, code := r.run("", strings.Fields(args)...)
				if code != want {
					t.Fatalf("roost %s: exit code %d, want %d; it said\n%s%s", args, code, want, out, errs)
				}
				return out + errs
			}
			roost(0, "domain add example.org")
			roost(0, "host set mail.example.org --address 192.0.2.1")
			check := "dns example.org --check --resolver " + zone.Addr()
			said := roost(1, check)
			for _, want := range []string{"missing  MX ", "wanted: 10 mail.example.org.\n", "\n0 of 17 as", "roost: not as it should be: address, MX, SPF, DKIM\n"} {
				if !strings.Contains(said, want) {
					t.Errorf("%q is not in\n%s", want, said)
				}
			}
			zone.Add(roost(0, "dns example.org --zone"))
			if said := roost(0, check); !strings.Contains(said, "\n17 of 17 as") || strings.Contains(said, "missing") {
				t.Errorf("complete:\n%s", said)
			}
			zone.Remove("_dmarc.example.org")
			roost(0, check) // advisable, but no mail is lost without it
			zone.Remove("example.org", "MX")
			roost(1, check)
			if said := roost(0, "dns example.org"); strings.Contains(said, "missing") {
				t.Errorf("without --check:\n%s", said)
			}

			var findings []records.Finding
			out, errs, code := r.run("", strings.Fields(check+" --json")...)
			if err := json.Unmarshal([]byte(out), &findings); err != nil || code != 1 || !json.Valid([]byte(errs)) {
				t.Fatalf("exit code %d, %v: %s%s", code, err, out, errs)
			}
			states := map[records.State]int{}
			for _, f := range findings {
				states[f.State]++
			}
			if states[records.Missing] != 2 || states[records.Found] != 15 {
				t.Errorf("%v in %s", states, out)
			}

			// The host: a name both ways, port 25, block lists.
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = io.WriteString(conn, "220 mail server\r\n")
					_, _ = bufio.NewReader(conn).ReadString('\n')
					conn.Close()
				}
			}()
			check = fmt.Sprintf("host check --resolver %s --smtp %s", zone.Addr(), l.Addr())
			said = roost(1, check)
			for _, want := range []string{"missing  PTR  1.2.0.192.in-addr.arpa\n", "ok            outbound port 25\n", "ok            192.0.2.1 on Spamhaus ZEN\n", "roost: not as it should be: reverse name\n"} {
				if !strings.Contains(said, want) {
					t.Errorf("%q is not in\n%s", want, said)
				}
			}
			zone.Add("1.2.0.192.in-addr.arpa. PTR mail.example.org.\n")
			roost(0, check)
			zone.Add("1.2.0.192.psbl.surriel.com. A 127.0.0.2\n")
			if said := roost(1, check+" --json"); !strings.Contains(said, "PSBL lists 192.0.2.1 (127.0.0.2).") {
				t.Errorf("listed:\n%s", said)
			}

			roost(2, "dns example.org --check --resolver nonsense")
			roost(3, "dns example.net --check")
		})
	}
}

func TestCheckWithoutAName(t *testing.T) {
	r := rig{t, filepath.Join(t.TempDir(), "data")}
	r.run("", "domain", "add", "example.org")
	if _, errs, code := r.run("", "host", "set", "localhost"); code != 0 {
		t.Fatal(errs)
	}
	for _, args := range []string{"dns example.org --check", "host check"} {
		if _, errs, code := r.run("", strings.Fields(args)...); code != 2 || !strings.Contains(errs, "roost host set") {
			t.Errorf("roost %s: exit code %d, %s", args, code, errs)
		}
	}
}

func TestQueueAndRelayInATerminal(t *testing.T) {
	story := []struct {
		stdin, args string
		code        int
		want        string
	}{
		{"", "queue list", 0, "ID  SINCE  FROM  TO  BYTES  ATTEMPTS  NEXT TRY  LAST REPLY\n"},
		{"", "queue list --json", 0, "[]\n"},
		{"", "queue show 1", 3, "nothing in the outbox has the number 00000001"},
		{"", "queue retry xyz", 2, "not the number"},
		{"", "queue drop 00000009 --yes", 3, "00000009"},
		{"", "relay show", 0, "straight to their servers"},
		{"secret\n", "relay set smtps://anna@smtp.isp.example --password-stdin --spf-include spf.isp.example", 0, "through smtps://anna@smtp.isp.example. SPF records allow it with include:spf.isp.example.\n"},
		{"", "relay show --json", 0, `"url": "smtps://anna@smtp.isp.example"`},
		{"", "dns example.org", 0, "v=spf1 mx include:spf.isp.example ~all"},
		{"", "relay set smtps://anna@smtp.isp.example", 2, "--password-stdin"},
		{"", "relay remove", 0, "straight to their servers"},
	}
	for _, name := range []string{"without a server", "with one"} {
		t.Run(name, func(t *testing.T) {
			r := rig{t, filepath.Join(t.TempDir(), "data")}
			if name == "with one" {
				defer r.serve()()
			}
			r.run("", "domain", "add", "example.org")
			for _, s := range story {
				out, errs, code := r.run(s.stdin, strings.Fields(s.args)...)
				if code != s.code || !strings.Contains(out+errs, s.want) || strings.Contains(out+errs, "secret") {
					t.Errorf("roost %s: exit code %d, %s%s", s.args, code, out, errs)
				}
			}
		})
	}
}
