package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"roost/admin"
	"roost/admin/cli"
	"roost/mailbox"
)

// terminal is a person at a terminal, who types ahead; tty is what a command reads.
func terminal(t *testing.T, typed string) (tty *os.File) {
	t.Helper()
	person, tty := openTerminal(t)
	if _, err := person.WriteString(typed); err != nil {
		t.Fatal(err)
	}
	return tty
}

// openTerminal opens both ends of a terminal.
func openTerminal(t *testing.T) (person, tty *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { person.Close() })
	fd := int(person.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return person, tty
}

func TestSetupAtATerminal(t *testing.T) {
	for name, test := range map[string]struct {
		typed string
		fails string
		said  []string
	}{
		"answers":        {"Example.org\nsmtp.example.org\nanna@example.org\nsecret\nsecret\n", "", []string{"Domain, the part", "[mail.Example.org]: "}},
		"suggestion":     {"example.org\n\nanna@example.org\nsecret\nsecret\n", "", []string{"Name of this server [mail.example.org]: "}},
		"wrong at first": {"nodot\nexample.org\n\nanna@example.net\nanna@example.org\nsecret\nsecret\n", "", []string{"not a full name", "not an address of example.org"}},
		"had enough":     {"example.org\n\x04", "nothing was changed", nil},
		"two passwords":  {"example.org\n\nanna@example.org\nsecret\nSecret\n", "differ", nil},
		"much too much":  {strings.Repeat("x", 1100) + "\n", "too long", nil},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		op, err := admin.Find("setup")
		if err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		c := cli.Command{Op: op, Args: op.NewArgs(), Dir: dir, Stdin: terminal(t, test.typed), Stdout: &out, Stderr: &errs}
		err = c.Run(context.Background())
		if test.fails != "" {
			if err == nil || !strings.Contains(err.Error(), test.fails) {
				t.Errorf("%s: %v, want %s", name, err, test.fails)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("%s: made a data directory", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, errs.String())
			continue
		}
		for _, want := range test.said {
			if !strings.Contains(errs.String(), want) {
				t.Errorf("%s: no %q in\n%s", name, want, errs.String())
			}
		}
		store, err := mailbox.Open(dir, mailbox.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Login(context.Background(), netip.Addr{}, "anna@example.org", "secret"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestUninstallAsks(t *testing.T) {
	root := t.TempDir()
	data := filepath.Join(root, "/var/lib/roost")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "roost.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	purge := cli.UninstallFlags{Root: root, PurgeData: true}
	var out, errs bytes.Buffer
	for typed, want := range map[string]string{"n\n": "nothing was changed", "\n": "nothing was changed"} {
		if err := cli.Uninstall(t.Context(), "", purge, terminal(t, typed), &out, &errs); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", typed, err)
		}
	}
	if err := cli.Uninstall(t.Context(), "", purge, strings.NewReader("y\n"), &out, &errs); err == nil || !strings.Contains(err.Error(), "--yes") {
		t.Errorf("with nobody there: %v", err)
	}
	if _, err := os.Stat(data); err != nil {
		t.Fatal(err)
	}
	if err := cli.Uninstall(t.Context(), "", purge, terminal(t, "y\n"), &out, &errs); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("the data are still there")
	}
}

func TestInstallIntoARoot(t *testing.T) {
	root := t.TempDir()
	var out bytes.Buffer
	if err := cli.Install(t.Context(), "", cli.InstallFlags{Root: root}, &out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/usr/local/bin/roost", "/etc/systemd/system/roost.service", "/var/lib/roost"} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
	if os.Geteuid() != 0 {
		if err := cli.Install(t.Context(), "", cli.InstallFlags{}, &out); admin.Explain(err) == nil || admin.Explain(err).Kind != admin.Forbidden {
			t.Errorf("without root: %v", err)
		}
	}
}
