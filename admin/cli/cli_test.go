package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"roost/admin"
	"roost/admin/cli"
	"roost/mailbox"
)

// rig is a data directory that is worked on from a terminal.
type rig struct {
	t   *testing.T
	dir string
}

// run does what `roost ARGS` does and returns what it prints and the exit code.
func (r rig) run(stdin string, args ...string) (stdout, stderr string, code int) {
	r.t.Helper()
	var flags struct {
		Data string
		JSON bool
	}
	var out, errs bytes.Buffer
	options := append(cli.Grammar(), kong.Name("roost"), kong.Writers(&out, &errs), kong.Exit(func(int) {}))
	parser, err := kong.New(&flags, options...)
	if err != nil {
		r.t.Fatal(err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		r.t.Fatalf("%q: %v", args, err)
	}
	op, opArgs, err := cli.Selected(parsed)
	if err != nil {
		r.t.Fatal(err)
	}
	c := cli.Command{Op: op, Args: opArgs, Dir: r.dir, JSON: flags.JSON, Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs}
	if err := c.Run(context.Background()); err != nil {
		code = cli.Fail(&errs, err, flags.JSON)
	}
	return out.String(), errs.String(), code
}

// serve runs the office of a server on the data directory until the test asks it to stop.
func (r rig) serve() (stop func()) {
	r.t.Helper()
	store, err := mailbox.Open(r.dir, mailbox.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	l, err := admin.Listen(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	office := &admin.Office{Store: store}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- admin.Serve(ctx, l, office.API(), nil) }()
	return func() {
		cancel()
		if err := <-served; err != nil {
			r.t.Error(err)
		}
		report, err := store.Check(context.Background())
		if err != nil || report.Err() != nil {
			r.t.Error(err, report.Err())
		}
		if err := store.Close(); err != nil {
			r.t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(r.dir, "admin.sock")); err == nil {
			r.t.Error("the socket is still there")
		}
	}
}

func TestEveryOperationIsACommandWithHelp(t *testing.T) {
	parser, err := kong.New(&struct{}{}, append(cli.Grammar(), kong.Name("roost"))...)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, leaf := range parser.Model.Leaves(false) {
		seen++
		name := strings.TrimPrefix(leaf.Path(), "roost ")
		if _, err := admin.Find(strings.Fields(name)[0]); err != nil && leaf.Parent.Help == "" {
			t.Errorf("%s: the noun has no help", name)
		}
		if leaf.Help == "" || !strings.HasSuffix(leaf.Help, ".") {
			t.Errorf("%s: help is %q", name, leaf.Help)
		}
		for _, v := range leaf.Positional {
			if v.Help == "" {
				t.Errorf("%s: argument %s has no help", name, v.Name)
			}
		}
		for _, f := range leaf.Flags {
			if f.Help == "" {
				t.Errorf("%s: flag %s has no help", name, f.Name)
			}
		}
	}
	if seen != len(admin.Ops()) {
		t.Errorf("%d commands for %d operations", seen, len(admin.Ops()))
	}
}

// Times, secrets and such differ between two runs; nothing else may.
var differs = regexp.MustCompile(`[a-z2-7]{4}(-[a-z2-7]{4}){3,}|"(id|created|last_used|started)": "[^"]*"|"(seconds|uptime)": [0-9.e-]+|[0-9]+\.[0-9] s|[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}|[0-9]{8}[re]\._domainkey|p=[A-Za-z0-9+/=]{40,}(" "[A-Za-z0-9+/=]+)?| +|/.*/data`)

// The same story, told to a server over its socket and without one, reads the same.
func TestServerAndNoServerAnswerAlike(t *testing.T) {
	story := []struct {
		stdin string
		args  string
		code  int
	}{
		{"", "domain add example.org", 0},
		{"", "domain add EXAMPLE.org.", 4},
		{"", "domain add nodot", 2},
		{"", "domain list", 0},
		{"", "host show", 0},
		{"", "host set mail.example.org --address 192.0.2.1 --address 2001:db8::1", 0},
		{"", "host set mail.example.org --address 192.0.2.1.5", 2},
		{"secret\n", "account add anna@example.org --password-stdin", 0},
		{"", "account add bob@example.org", 0},
		{"", "account add bob@example.org", 4},
		{"", "account add bob@elsewhere.example", 3},
		{"", "account add bob", 2},
		{"\n", "account password bob@example.org --password-stdin", 2},
		{"", "account password carol@example.org", 3},
		{"", "account password bob@example.org --json", 0},
		{"", "account list", 0},
		{"", "account list --json", 0},
		{"", "device add anna@example.org phone", 0},
		{"", "device add anna@example.org Phone", 4},
		{"", "device list anna@example.org --json", 0},
		{"", "device list bob@example.org --json", 0},
		{"", "device remove anna@example.org laptop", 3},
		{"", "device remove anna@example.org phone", 0},
		{"", "alias add info@example.org anna@example.org bob@example.org", 0},
		{"", "alias add info@example.org anna@example.org", 4},
		{"", "alias list", 0},
		{"", "alias remove anna@example.org --json", 3},
		{"", "domain remove example.org", 2},
		{"", "dns example.org", 0},
		{"", "dns example.org --zone", 0},
		{"", "dns example.org --json", 0},
		{"", "dns example.net --json", 3},
		{"", "status --json", 0},
		{"", "check", 0},
		{"", "alias remove info@example.org", 0},
		{"", "account remove bob@example.org", 0},
		{"", "account remove bob@example.org", 3},
		{"", "account remove anna@example.org", 0},
		{"", "domain remove example.org", 0},
		{"", "domain list --json", 0},
		{"", "version", 0},
	}
	tell := func(t *testing.T, r rig) []string {
		var told []string
		for _, s := range story {
			out, errs, code := r.run(s.stdin, strings.Fields(s.args)...)
			if code != s.code {
				t.Errorf("roost %s: exit code %d, want %d; it said %s%s", s.args, code, s.code, out, errs)
			}
			if code != 0 && (out != "" || errs == "") {
				t.Errorf("roost %s failed with %q on stdout, %q on stderr", s.args, out, errs)
			}
			if strings.Contains(s.args, "--json") && !json.Valid([]byte(out+errs)) {
				t.Errorf("roost %s printed no JSON: %s%s", s.args, out, errs)
			}
			told = append(told, differs.ReplaceAllString(fmt.Sprintf("roost %s\n%s%s", s.args, out, errs), "~"))
		}
		return told
	}
	alone := rig{t, filepath.Join(t.TempDir(), "data")}
	served := rig{t, filepath.Join(t.TempDir(), "data")}
	without := tell(t, alone)
	stop := served.serve()
	with := tell(t, served)
	stop()
	for i := range story {
		if without[i] != with[i] {
			t.Errorf("without a server:\n%s\nwith one:\n%s", without[i], with[i])
		}
	}
}

func TestMadeUpPasswordsWork(t *testing.T) {
	r := rig{t, filepath.Join(t.TempDir(), "data")}
	r.run("", "domain", "add", "example.org")
	var account admin.AccountAdded
	var device admin.DeviceAdded
	decode := func(v any, out string) {
		t.Helper()
		if err := json.Unmarshal([]byte(out), v); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
	}
	out, _, _ := r.run("", "account", "add", "anna@example.org", "--json")
	decode(&account, out)
	if !account.Admin {
		t.Error("the first account is no administrator")
	}
	out, _, _ = r.run("", "device", "add", "anna@example.org", "Anna's phone", "--json")
	decode(&device, out)
	r.run(" a b \r\n", "account", "add", "bob@example.org", "--password-stdin")

	store, err := mailbox.Open(r.dir, mailbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for name, word := range map[string]string{"anna@example.org": account.Password, "Anna@Example.org": device.Password, "bob@example.org": " a b "} {
		if word == "" {
			t.Errorf("%s: no password", name)
		}
		if _, err := store.Login(context.Background(), netip.Addr{}, name, word); err != nil {
			t.Errorf("%s with %q: %v", name, word, err)
		}
	}
}

func TestNoStoreIsMadeByAsking(t *testing.T) {
	r := rig{t, filepath.Join(t.TempDir(), "data")}
	for _, args := range []string{"status", "account list", "account add anna@example.org"} {
		_, errs, code := r.run("", strings.Fields(args)...)
		if code != 3 || !strings.Contains(errs, r.dir) {
			t.Errorf("roost %s: exit code %d, %s", args, code, errs)
		}
		if _, err := os.Stat(r.dir); err == nil {
			t.Fatalf("roost %s made a data directory", args)
		}
	}
	if out, _, code := r.run("", "version"); code != 0 || !strings.HasPrefix(out, "roost ") {
		t.Errorf("version needs no store; exit code %d, %s", code, out)
	}
}

// A process that has the store but does not answer: not a Roost that could be asked.
func TestStoreInUse(t *testing.T) {
	r := rig{t, t.TempDir()}
	store, err := mailbox.Open(r.dir, mailbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	_, errs, code := r.run("", "status")
	if code != 6 || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, r.dir) {
		t.Errorf("exit code %d, %q", code, errs)
	}
}

func TestSocketOfADeadServer(t *testing.T) {
	r := rig{t, t.TempDir()}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(r.dir, "admin.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, errs, code := r.run("", "domain", "add", "example.org"); code != 0 {
		t.Errorf("without a server: exit code %d, %s", code, errs)
	}
	stop := r.serve()
	defer stop()
	if out, errs, _ := r.run("", "domain", "list"); !strings.Contains(out, "example.org") {
		t.Errorf("with a new server: %s%s", out, errs)
	}
}

// A socket address holds 107 bytes; a data directory may be anywhere.
func TestSocketInALongPath(t *testing.T) {
	r := rig{t, filepath.Join(t.TempDir(), strings.Repeat("long/", 30))}
	stop := r.serve()
	defer stop()
	info, err := os.Stat(filepath.Join(r.dir, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v", info.Mode().Perm())
	}
	if _, errs, code := r.run("", "domain", "add", "example.org"); code != 0 {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

func TestAPIRefusesWhatItDoesNotKnow(t *testing.T) {
	store, err := mailbox.Open(t.TempDir(), mailbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- admin.Serve(ctx, l, (&admin.Office{Store: store}).API(), nil) }()
	defer func() { cancel(); <-served }()
	for _, test := range []struct {
		path, body string
		status     int
		kind       admin.Kind
	}{
		{"domain/add", `{"domain":"example.org"}`, 200, ""},
		{"domain/add", `{"domain":"example.org"}`, 409, admin.Exists},
		{"domain/add", `{"domian":"example.net"}`, 400, admin.Invalid},
		{"domain/add", `{"domain":`, 400, admin.Invalid},
		{"domain/add", `{"domain":"` + strings.Repeat("x", 2<<20) + `"}`, 400, admin.Invalid},
		{"domain/add", ``, 400, admin.Invalid},
		{"domain/list", ``, 200, ""},
		{"domain/burn", ``, 404, admin.NotFound},
	} {
		resp, err := http.Post("http://"+l.Addr().String()+"/v1/op/"+test.path, "application/json", strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		var failure struct{ Error admin.Error }
		_ = json.Unmarshal(body, &failure)
		if resp.StatusCode != test.status || failure.Error.Kind != test.kind {
			t.Errorf("%s %.40s: %d %s", test.path, test.body, resp.StatusCode, body)
		}
	}
}

func TestDataDirectory(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	for state, want := range map[string]string{
		"":           home + "/.local/state/roost",
		"relative":   home + "/.local/state/roost", // the XDG specification: ignore it
		"/var/state": "/var/state/roost",
	} {
		t.Setenv("XDG_STATE_HOME", state)
		if got, err := cli.UserDir(); err != nil || got != want {
			t.Errorf("XDG_STATE_HOME=%q: %s, %v; want %s", state, got, err, want)
		}
	}
}

func TestPrint(t *testing.T) {
	type row struct {
		Name   string    `table:"NAME"`
		On     bool      `table:"ON"`
		Used   time.Time `table:"USED"`
		Hidden int
		List   []string `table:"LIST"`
	}
	var got bytes.Buffer
	if err := cli.Print(&got, []row{{"a", true, time.Time{}, 1, []string{"x", "y"}}, {Name: "longer"}}, nil, false); err != nil {
		t.Fatal(err)
	}
	want := []string{"NAME    ON   USED   LIST", "a       yes  never  x, y", "longer  no   never"}
	if lines := strings.Split(strings.TrimSuffix(got.String(), "\n"), "\n"); !reflect.DeepEqual(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
}
