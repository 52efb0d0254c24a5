package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// arrows says which rooms of the house may call which. "x/*" is every package
// below x, and a package may always be left out of what is allowed to it. To
// change this table is a design decision; the README draws the house.
var arrows = map[string][]string{
	"mailbox":               {"mailbox/*"},
	"mailbox/message":       {},
	"mailbox/junk":          {},
	"mailbox/signature":     {},
	"mailbox/sieve":         {},
	"mailbox/sasl":          {},
	"mailbox/remote":        {},
	"mailbox/mailboxtest":   {},
	"mailbox/sasl/sasltest": {},
	"mta/smtp":              {"mailbox/remote"},
	"mta/dns":               {},
	"mta/dns/dnstest":       {"mta/dns"},
	"mta/smtp/smtptest":     {},
	"mta/refusal":           {},
	"mta/msgauth":           {"mta/dns", "mailbox/message", "mailbox/remote"},
	"mta/tlspolicy":         {"mta/dns", "mailbox/message"},
	"mta/dsn":               {"mailbox/message", "mta/smtp"},
	"mta/inbound":           {"mailbox", "mailbox/*", "mta/smtp", "mta/dsn", "mta/msgauth", "mta/dns"},
	"mta/submit":            {"mailbox", "mailbox/message", "mailbox/sasl", "mta/smtp", "mta/dsn", "mta/msgauth"},
	"mta/outbound":          {"mta/smtp", "mta/tlspolicy", "mta/dns"},
	"mta/queue":             {"mailbox", "mailbox/message", "mta/outbound", "mta/msgauth", "mta/smtp", "mta/dsn", "mta/refusal"},
	"mta/report":            {"mailbox", "mailbox/message", "mta/msgauth", "mta/tlspolicy"},
	"imapd":                 {"imapd/wire", "mailbox", "mailbox/message", "mailbox/sasl", "mailbox/remote"},
	"imapd/wire":            {},
	"imapd/managesieve":     {"imapd/wire", "mailbox", "mailbox/sieve", "mailbox/sasl"},
	"acme":                  {},
	"admin":                 {"mailbox", "mailbox/*", "mta/refusal", "admin/*"},
	"admin/cli":             {"admin", "admin/*", "mailbox", "mailbox/*"},
	"admin/records":         {"mailbox", "mailbox/*", "mta/dns"},
	"admin/machine":         {},
	"admin/install":         {},
	"admin/transfer":        {"mailbox", "mailbox/*"},
	"admin/panel":           {"admin", "admin/*", "mailbox", "mailbox/*"},
	"admin/canary":          {"mailbox", "mailbox/*", "mta/smtp"},
	"admin/backup":          {"mailbox", "mailbox/*"},
	"admin/upgrade":         {"mailbox", "mailbox/*"},
}

// Modules that only one room may know.
var modules = map[string][]string{
	"go.etcd.io/bbolt":                 {"mailbox"},
	"github.com/caddyserver/certmagic": {"acme"},
	"github.com/pires/go-proxyproto":   {"mta/smtp"},
	"github.com/emersion/go-msgauth":   {"mta/msgauth"},
	"github.com/alecthomas/kong":       {"admin/cli", ""},
}

func TestArrows(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		seen++
		from := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, "roost"), "/")
		allowed, known := arrows[from]
		if !known && from != "" {
			t.Errorf("the room %s is not in the table", from)
		}
		for _, to := range p.Imports {
			for module, rooms := range modules {
				if (to == module || strings.HasPrefix(to, module+"/")) && !slices.Contains(rooms, from) {
					t.Errorf("%s must not know %s: only %q may", from, to, rooms)
				}
			}
			to, ours := strings.CutPrefix(to, "roost/")
			if !ours || from == "" {
				continue
			}
			if !slices.ContainsFunc(allowed, func(a string) bool {
				below, all := strings.CutSuffix(a, "/*")
				return to == a || all && strings.HasPrefix(to, below+"/")
			}) {
				t.Errorf("wrong arrow: %s → %s", from, to)
			}
		}
	}
	if seen < 10 {
		t.Errorf("go list showed %d packages", seen)
	}
}

func TestTopLevel(t *testing.T) {
	want := []string{"main.go", "mta", "mailbox", "imapd", "acme", "admin", "go.mod", "go.sum", "README.md", "LICENSE", "testdata"}
	have, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range have {
		name := e.Name()
		test, _ := path.Match("*_test.go", name)
		if !test && name[0] != '.' && name != "roost" && !slices.Contains(want, name) {
			t.Errorf("%s does not belong at the top level", name)
		}
	}
}
