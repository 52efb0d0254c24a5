package install_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"roost/admin/install"
)

var update = flag.Bool("update", false, "write the golden files")

func TestUnit(t *testing.T) {
	for name, data := range map[string]string{"roost.service": install.DefaultData, "home.service": "/home/anna/mail"} {
		got, err := install.Unit(data)
		if err != nil {
			t.Fatal(err)
		}
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
	for _, data := range []string{"", "roost", "/", "/a b", "/a\nUser=root", "/a%h", "/a/../b", "/a;b", "/é", `/a"`} {
		if got, err := install.Unit(data); err == nil {
			t.Errorf("%q in a unit: %s", data, got)
		}
	}
}

// site is a machine in a directory, which keeps what is run on it.
type site struct {
	t       *testing.T
	root    string
	ran     []string
	users   map[string]bool
	has     string // programs
	failing string
	out     bytes.Buffer
	install.Installation
}

func newSite(t *testing.T) *site {
	s := &site{t: t, root: t.TempDir(), users: map[string]bool{}}
	source := filepath.Join(t.TempDir(), "roost")
	if err := os.WriteFile(source, []byte("version 1"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.Installation = install.Installation{
		Root: s.root, Data: install.DefaultData, Source: source, Start: true, Out: &s.out,
		Host: install.Host{
			Run: func(_ context.Context, program string, args ...string) error {
				command := program + " " + strings.Join(args, " ")
				s.ran = append(s.ran, strings.ReplaceAll(command, s.root, ""))
				if s.failing != "" && strings.HasPrefix(command, s.failing) {
					return errors.New(command + ": exit status 1")
				}
				if program == "useradd" {
					s.users[args[len(args)-1]] = true
				}
				return nil
			},
			Has: func(program string) bool { return strings.Contains(" "+s.has+" ", " "+program+" ") },
			Owner: func(name string) (int, int, error) {
				if !s.users[name] {
					return 0, 0, user.UnknownUserError(name)
				}
				return os.Getuid(), os.Getgid(), nil
			},
			Systemd: true,
		},
	}
	return s
}

func (s *site) read(name string) string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.root, name))
	if err != nil {
		s.t.Error(err)
	}
	return string(b)
}

func (s *site) mode(name string, want fs.FileMode) {
	s.t.Helper()
	info, err := os.Stat(filepath.Join(s.root, name))
	if err != nil {
		s.t.Error(err)
	} else if info.Mode() != want {
		s.t.Errorf("%s has mode %v", name, info.Mode())
	}
}

func (s *site) ranAll(want ...string) {
	s.t.Helper()
	if got, want := strings.Join(s.ran, "\n"), strings.Join(want, "\n"); got != want {
		s.t.Errorf("ran\n%s\nwant\n%s", got, want)
	}
	s.ran = nil
}

const useradd = "useradd --system --user-group --home-dir /var/lib/roost --no-create-home --shell /usr/sbin/nologin roost"

func TestInstallUpdateUninstall(t *testing.T) {
	s := newSite(t)
	s.Host.SELinux, s.has = true, "restorecon ufw nft"
	if err := s.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.ranAll(useradd,
		"restorecon -R /usr/local/bin/roost /etc/systemd/system/roost.service /var/lib/roost",
		"systemctl daemon-reload", "systemctl enable roost", "systemctl restart roost")
	if got := s.read(install.Program); got != "version 1" {
		t.Errorf("the program is %q", got)
	}
	s.mode(install.Program, 0o755)
	s.mode("usr/local", fs.ModeDir|0o755)
	s.mode(install.UnitFile, 0o644)
	s.mode(install.DefaultData, fs.ModeDir|0o700)
	if unit, _ := install.Unit(install.DefaultData); s.read(install.UnitFile) != unit {
		t.Error("another unit")
	}
	if out := s.out.String(); !strings.Contains(out, "ufw allow") || strings.Contains(out, "nft add") || !strings.Contains(out, "roost setup") {
		t.Errorf("said\n%s", out)
	}

	// A newer program takes the place of the running one, whose file lives on.
	old, err := os.Open(filepath.Join(s.root, install.Program))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := os.WriteFile(s.Source, []byte("version 2"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.Host.SELinux = false
	if err := s.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 20)
	if n, _ := old.Read(b); string(b[:n]) != "version 1" || s.read(install.Program) != "version 2" {
		t.Errorf("the running program reads %q, the new one %q", b[:n], s.read(install.Program))
	}
	s.ranAll("systemctl daemon-reload", "systemctl enable roost", "systemctl restart roost")

	// The installed program installs itself: an update of the unit alone.
	s.Source = filepath.Join(s.root, install.Program)
	if err := s.Install(t.Context()); err != nil || s.read(install.Program) != "version 2" {
		t.Error(err)
	}
	s.ran = nil

	if err := s.Uninstall(t.Context(), true); err == nil || s.read(install.Program) == "" {
		t.Errorf("removed a directory without a store: %v", err)
	}
	if err := s.Uninstall(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	s.ranAll("systemctl disable --now roost", "systemctl daemon-reload")
	for _, name := range []string{install.Program, install.UnitFile} {
		if _, err := os.Stat(filepath.Join(s.root, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.mode(install.DefaultData, fs.ModeDir|0o700)

	if err := os.WriteFile(filepath.Join(s.root, install.DefaultData, "roost.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Uninstall(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	s.ranAll("systemctl daemon-reload", "userdel roost")
	if _, err := os.Stat(filepath.Join(s.root, install.DefaultData)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the data: %v", err)
	}
}

func TestInstallWithoutStart(t *testing.T) {
	s := newSite(t)
	s.Start = false
	if err := s.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.ranAll(useradd, "systemctl daemon-reload")
	if !strings.Contains(s.out.String(), "systemctl enable --now roost") {
		t.Errorf("said\n%s", s.out.String())
	}
}

// A package builder's tree: files, and nothing that is done to this machine.
func TestInstallIntoATree(t *testing.T) {
	s := newSite(t)
	s.Host = install.Host{}
	if err := s.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.read(install.Program)
	s.read(install.UnitFile)
	if err := s.Uninstall(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	s.ranAll()
}

func TestInstallStopsAtAFailure(t *testing.T) {
	for failing, want := range map[string]string{"useradd": "make the user", "systemctl restart": "journalctl"} {
		s := newSite(t)
		s.failing = failing
		if err := s.Install(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", failing, err)
		}
		if last := s.ran[len(s.ran)-1]; !strings.HasPrefix(last, failing) {
			t.Errorf("%s failed, and then %s", failing, last)
		}
	}
	s := newSite(t)
	s.Data = "relative"
	if err := s.Install(t.Context()); err == nil {
		t.Error("a relative data directory")
	}
}

func TestDataDirectoryChangesHands(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	s := newSite(t)
	s.users[install.User] = true
	s.Host.Owner = func(string) (int, int, error) { return 12345, 23456, nil }
	dir := filepath.Join(s.root, install.DefaultData)
	if err := os.MkdirAll(filepath.Join(dir, "packs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	uid := func(name string) int {
		info, err := os.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		return owner(info)
	}
	if uid(dir) != 12345 || uid(filepath.Join(dir, "packs")) != 12345 {
		t.Errorf("root's data belong to %d and %d now", uid(dir), uid(filepath.Join(dir, "packs")))
	}
	if err := os.Lchown(dir, 54321, 54321); err != nil {
		t.Fatal(err)
	}
	if err := s.Install(t.Context()); err == nil || !strings.Contains(err.Error(), "54321") || uid(dir) != 54321 {
		t.Errorf("somebody else's data: %v", err)
	}
}

func owner(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }
