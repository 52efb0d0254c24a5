package cli_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"roost/acme"
	"roost/admin"
	"roost/admin/cli"
	"roost/admin/machine"
	"roost/mailbox"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s", name, got)
	}
}

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

func doors(names ...string) []admin.Listener {
	ports := map[string]string{"smtp": "25", "submission": "587", "submissions": "465", "imap": "143", "imaps": "993", "http": "80", "https": "443"}
	var all []admin.Listener
	for _, name := range names {
		all = append(all, admin.Listener{Name: name, Address: "[::]:" + ports[name]})
	}
	return all
}

func TestFirstScreen(t *testing.T) {
	far := machine.Answer{Asked: "mx.example:25"}
	clock := machine.Answer{Asked: "clock.example:123"}
	held := func(name, port string, by machine.Program) machine.Taken {
		return machine.Taken{Door: machine.Door{Name: name, Address: ":" + port}, Holder: by}
	}
	until := time.Date(2026, 1, 2, 15, 4, 0, 0, time.UTC)
	for name, s := range map[string]cli.First{
		"first-good.txt": {
			Facts: machine.Facts{
				Addresses: machine.Sort(addrs("203.0.113.7", "2001:db8::7", "10.0.0.2")),
				Names:     []machine.Name{{Address: addrs("203.0.113.7")[0], Names: []string{"vps7.example.net"}}, {Address: addrs("2001:db8::7")[0], Names: []string{"vps7.example.net"}}},
				Mail:      far, Clock: clock, Ahead: -200 * time.Millisecond,
			},
			Open: doors("smtp", "submission", "submissions", "imap", "imaps", "http", "https"),
			Link: "https://203.0.113.7/setup?token=ABCDEFGHIJKLMNOPQRSTUVWXYZ", Until: until,
		},
		"first-bad.txt": {
			Facts: machine.Facts{
				Addresses: machine.Sort(addrs("203.0.113.7")),
				Names:     []machine.Name{{Address: addrs("203.0.113.7")[0]}},
				Mail:      machine.Answer{Asked: "mx.example:25", Err: errors.New("i/o timeout")}, Clock: clock, Ahead: 3 * time.Hour,
			},
			Open: doors("submission", "submissions", "imap", "imaps"),
			Taken: []machine.Taken{
				held("smtp", "25", machine.Program{Name: "exim4", PID: 812, Unit: "exim4.service"}),
				held("http", "80", machine.Program{Name: "python3", PID: 99}),
				held("https", "443", machine.Program{}),
			},
			Data: " --data /srv/mail",
		},
		"first-nat.txt": {
			Facts: machine.Facts{
				Addresses: machine.Sort(addrs("192.168.1.5", "fd00::5")),
				Mail:      machine.Answer{Asked: "mx.example:25", Err: &net.DNSError{Err: "server misbehaving", Name: "mx.example"}},
				Clock:     machine.Answer{Asked: "clock.example:123", Err: os.ErrDeadlineExceeded},
			},
			Open: doors("https"), Link: "https://192.168.1.5/setup?token=ABCDEFGHIJKLMNOPQRSTUVWXYZ", Until: until,
		},
		"first-ipv6.txt": {
			Facts: machine.Facts{
				Addresses: machine.Sort(addrs("2001:db8::7", "2001:db8::8", "2001:db8::9")),
				Names:     []machine.Name{{Address: addrs("2001:db8::7")[0], Err: errors.New("timeout")}},
			},
		},
		"first-none.txt": {Facts: machine.Facts{Clock: clock, Ahead: -time.Minute}},
	} {
		s.Version = "1.0"
		var plain, colored bytes.Buffer
		if err := s.Write(&plain); err != nil {
			t.Fatal(err)
		}
		golden(t, name, plain.String())
		if n := strings.Count(plain.String(), "\n"); n > 24 {
			t.Errorf("%s: %d lines", name, n)
		}
		lines := strings.Split(plain.String(), "\n")
		for i, line := range lines {
			if strings.HasPrefix(line, "  !!") && !strings.Contains(lines[i+1], "→ ") {
				t.Errorf("%s: nothing to do about %q", name, line)
			}
		}
		s.Color = true
		if err := s.Write(&colored); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(plain.String(), "\x1b") || !strings.Contains(colored.String(), "\x1b[1;3") {
			t.Errorf("%s: colours", name)
		}
	}
}

func TestReachedAt(t *testing.T) {
	for _, test := range []struct {
		door string
		have []string
		want string
	}{
		{"[::]:443", []string{"10.0.0.1", "2001:db8::7", "203.0.113.7"}, "203.0.113.7"},
		{"0.0.0.0:8443", []string{"10.0.0.1", "2001:db8::7"}, "[2001:db8::7]:8443"},
		{"[::]:443", []string{"2001:db8::7"}, "[2001:db8::7]"},
		{":443", []string{"10.0.0.1"}, "10.0.0.1"},
		{"[::]:443", nil, "127.0.0.1"},
		{"127.0.0.1:1443", []string{"203.0.113.7"}, "127.0.0.1:1443"},
	} {
		if got := cli.ReachedAt(admin.Listener{Name: "https", Address: test.door}, machine.Sort(addrs(test.have...))); got != test.want {
			t.Errorf("%s on %v: %s, want %s", test.door, test.have, got, test.want)
		}
	}
}

// The fingerprint on the screen is that of the certificate which the browser is shown.
func TestIntroduce(t *testing.T) {
	dir := t.TempDir()
	store, err := mailbox.Open(dir, mailbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	office := &admin.Office{Store: store, Listeners: doors("imaps", "https")}
	keys, err := acme.NewSelfSigned(dir, func() []string { return []string{office.Hostname()} })
	if err != nil {
		t.Fatal(err)
	}
	var screen bytes.Buffer
	q := machine.Questions{Addresses: func() (machine.Addresses, error) { return machine.Sort(addrs("203.0.113.7")), nil }}
	if err := cli.Introduce(t.Context(), &screen, office, q, keys.TLSConfig()); err != nil {
		t.Fatal(err)
	}
	cert, err := keys.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	f := fingerprint(cert.Certificate[0])
	for _, want := range []string{"https://203.0.113.7/setup?token=", f[:48], f[48:], "roost --data " + dir + " setup"} {
		if !strings.Contains(screen.String(), want) {
			t.Errorf("no %q on\n%s", want, screen.String())
		}
	}
}

// fingerprint is how browsers write it.
func fingerprint(der []byte) string {
	var octets []string
	for _, b := range sha256.Sum256(der) {
		octets = append(octets, fmt.Sprintf("%02X", b))
	}
	return strings.Join(octets, ":")
}
