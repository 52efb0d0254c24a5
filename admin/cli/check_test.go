package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roost/admin"
	"roost/admin/cli"
	"roost/mailbox"
)

// A check of a damaged store says what is damaged and fails; at a terminal it shows
// how far it has come, be it the server that checks or the command itself.
func TestCheckOfADamagedStore(t *testing.T) {
	r := rig{t, filepath.Join(t.TempDir(), "data")}
	r.run("", "domain", "add", "example.org")
	store, err := mailbox.Open(r.dir, mailbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := store.CreateAccount(context.Background(), mailbox.NewAccount{Address: "bob@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		spool := store.NewSpool(0)
		fmt.Fprintf(spool, "Subject: hello\r\n\r\nbody\r\n")
		if _, err := store.Accept(context.Background(), mailbox.Intake{Body: spool, Place: []mailbox.Placement{{Account: a.ID}}}); err != nil {
			t.Fatal(err)
		}
		spool.Close()
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	pack := filepath.Join(r.dir, "packs", "00000001.pack")
	whole, err := os.ReadFile(pack)
	if err != nil {
		t.Fatal(err)
	}
	b := bytes.Clone(whole)
	b[len(b)-3] ^= 1
	if err := os.WriteFile(pack, b, 0o600); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		op, err := admin.Find("check")
		if err != nil {
			t.Fatal(err)
		}
		person, tty := openTerminal(t)
		var out bytes.Buffer
		err = cli.Command{Op: op, Args: op.NewArgs(), Dir: r.dir, Stdout: &out, Stderr: tty}.Run(context.Background())
		var failed *admin.Error
		if !errors.As(err, &failed) || failed.Kind.ExitCode() != 8 {
			t.Errorf("check of a damaged store: %v, want it to end with 8", err)
		}
		for _, want := range []string{"checksum", "In quarantine", "in pack 1", "3 messages", "MB/s"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("check says\n%swant %q in it", out.String(), want)
			}
		}
		// A terminal gives what was written to it in pieces, and an error after the last.
		tty.Close()
		shown, screen := "", make([]byte, 4096)
		for !strings.Contains(shown, "100 %") {
			n, err := person.Read(screen)
			if err != nil {
				t.Fatalf("the terminal shows %q (%v), want a bar", shown, err)
			}
			shown += string(screen[:n])
		}
		if !strings.Contains(shown, "check [") {
			t.Errorf("the terminal shows %q, want a bar", shown)
		}
	}
	check()
	stop := r.serve()
	check()
	if err := os.WriteFile(pack, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	stop()
}
