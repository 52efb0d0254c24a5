// Package install makes Roost a service of a Linux machine, and takes it away again: a
// program in /usr/local/bin, a user of its own, a data directory that only that user
// reads, and a systemd unit that lets it do little else.
//
// It refuses to touch a firewall, whose commands it only prints, to take over a data
// directory of somebody else's, and to remove mail that it was not told to.
package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Host is the machine that is worked on. The zero value is a tree of files for another
// machine: nothing is run there.
type Host struct {
	// Run runs a program to its end. Its output is part of the error.
	Run func(ctx context.Context, program string, args ...string) error
	Has func(program string) bool // it can be run
	// Owner finds a user by name: user.UnknownUserError when there is none.
	Owner   func(name string) (uid, gid int, err error)
	Systemd bool
	SELinux bool
}

// ThisHost is the machine that this process runs on.
func ThisHost() Host {
	is := func(name string) bool { _, err := os.Stat(name); return err == nil }
	return Host{
		Run: func(ctx context.Context, program string, args ...string) error {
			out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
			}
			return nil
		},
		Has: func(program string) bool { _, err := exec.LookPath(program); return err == nil },
		Owner: func(name string) (uid, gid int, err error) {
			u, err := user.Lookup(name)
			if err != nil {
				return 0, 0, err
			}
			uid, err = strconv.Atoi(u.Uid)
			if err == nil {
				gid, err = strconv.Atoi(u.Gid)
			}
			return uid, gid, err
		},
		Systemd: is("/run/systemd/system"), // sd_booted(3)
		SELinux: is("/sys/fs/selinux/enforce"),
	}
}

// Installation is one to make or to take away.
type Installation struct {
	Root   string // before every path; empty for the machine itself
	Data   string // the data directory, without Root
	Source string // the program to copy
	Start  bool   // start the service, now and with the machine
	Host   Host
	Out    io.Writer // gets a line for everything done
}

func (i *Installation) at(name string) string { return filepath.Join(i.Root, name) }

func (i *Installation) say(format string, args ...any) { fmt.Fprintf(i.Out, format+"\n", args...) }

// Install makes it. What is there already is brought up to date, so that an update is
// another installation.
func (i *Installation) Install(ctx context.Context) error {
	text, err := Unit(i.Data)
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		i.copyProgram,
		i.makeUser,
		i.makeData,
		func(ctx context.Context) error { return i.writeUnit(ctx, text) },
		i.label,
		i.start,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	i.firewall()
	if i.Host.Systemd {
		i.say("Next: roost setup, or follow the link that the server prints: journalctl -u roost")
	}
	return nil
}

func (i *Installation) copyProgram(context.Context) error {
	target := i.at(Program)
	from, err := os.Stat(i.Source)
	if err != nil {
		return err
	}
	if to, err := os.Stat(target); err == nil && os.SameFile(from, to) {
		return nil
	}
	in, err := os.Open(i.Source)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := place(target, in, 0o755); err != nil {
		return err
	}
	i.say("copied this program to %s", target)
	return nil
}

func (i *Installation) makeUser(ctx context.Context) error {
	if i.Host.Run == nil {
		return nil
	}
	_, _, err := i.Host.Owner(User)
	if !errors.As(err, new(user.UnknownUserError)) {
		return err
	}
	err = i.Host.Run(ctx, "useradd", "--system", "--user-group", "--home-dir", i.Data, "--no-create-home", "--shell", "/usr/sbin/nologin", User)
	if err != nil {
		return fmt.Errorf("make the user %s: %w", User, err)
	}
	i.say("made the user %s", User)
	return nil
}

// makeData gives the user a data directory, also one that root has made by starting
// Roost before.
func (i *Installation) makeData(context.Context) error {
	dir := i.at(i.Data)
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeDirs(dir); err != nil {
			return err
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			return err
		}
		i.say("made %s", dir)
		info, err = os.Stat(dir)
	}
	if err != nil || i.Host.Run == nil {
		return err
	}
	uid, gid, err := i.Host.Owner(User)
	if err != nil {
		return err
	}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	switch {
	case owner == uid:
		return nil
	case owner != 0 && owner != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d: to hand it over, stop what uses it, then chown -R %s: %[1]s", dir, owner, User)
	}
	return filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(name, uid, gid))
	})
}

func (i *Installation) writeUnit(_ context.Context, text string) error {
	if i.Root == "" && !i.Host.Systemd {
		i.say("There is no systemd here. This is its unit, which says what another supervisor should do:\n\n%s", text)
		return nil
	}
	if err := place(i.at(UnitFile), strings.NewReader(text), 0o644); err != nil {
		return err
	}
	i.say("wrote %s", i.at(UnitFile))
	return nil
}

// label gives new files the SELinux types of their places: a program that was copied from
// a home directory would otherwise not be run by systemd.
func (i *Installation) label(ctx context.Context) error {
	if i.Host.Run == nil || !i.Host.SELinux || !i.Host.Has("restorecon") {
		return nil
	}
	return i.Host.Run(ctx, "restorecon", "-R", i.at(Program), i.at(UnitFile), i.at(i.Data))
}

func (i *Installation) start(ctx context.Context) error {
	if i.Host.Run == nil || !i.Host.Systemd {
		return nil
	}
	if err := i.Host.Run(ctx, "systemctl", "daemon-reload"); err != nil {
		return err
	}
	if !i.Start {
		i.say("not started; that would be: systemctl enable --now roost")
		return nil
	}
	if err := i.Host.Run(ctx, "systemctl", "enable", "roost"); err != nil {
		return err
	}
	// A restart also starts what does not run, and brings an update into use.
	if err := i.Host.Run(ctx, "systemctl", "restart", "roost"); err != nil {
		return fmt.Errorf("%w\nlook at: journalctl -u roost -n 30", err)
	}
	i.say("started roost.service")
	return nil
}

func (i *Installation) firewall() {
	if i.Host.Has == nil {
		return
	}
	found := false
	for _, f := range []struct{ program, command string }{
		{"ufw", "ufw allow 25,80,143,443,465,587,993/tcp"},
		{"firewall-cmd", "firewall-cmd --permanent --add-port={25,80,143,443,465,587,993}/tcp && firewall-cmd --reload"},
		{"nft", "nft add rule inet filter input tcp dport '{ 25, 80, 143, 443, 465, 587, 993 }' accept"},
	} {
		// The first two are written with the third.
		if i.Host.Has(f.program) && (f.program != "nft" || !found) {
			if !found {
				i.say("Where a firewall is on, it must let in what Roost is for:")
			}
			found = true
			i.say("  %s", f.command)
		}
	}
}

// Uninstall takes it away. The data directory and its user stay, unless purge is set.
func (i *Installation) Uninstall(ctx context.Context, purge bool) error {
	if purge {
		// Before anything is gone: whatever else was named is not ours to remove.
		if _, err := os.Stat(filepath.Join(i.at(i.Data), "roost.db")); err != nil {
			return fmt.Errorf("%s is not a data directory of Roost: %w", i.at(i.Data), err)
		}
	}
	systemd := i.Host.Run != nil && i.Host.Systemd
	if _, err := os.Stat(i.at(UnitFile)); err == nil && systemd {
		if err := i.Host.Run(ctx, "systemctl", "disable", "--now", "roost"); err != nil {
			return err
		}
	}
	for _, name := range []string{UnitFile, Program} {
		err := os.Remove(i.at(name))
		if err == nil {
			i.say("removed %s", i.at(name))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if systemd {
		if err := i.Host.Run(ctx, "systemctl", "daemon-reload"); err != nil {
			return err
		}
	}
	if !purge {
		i.say("%s stays, and so does its user %s", i.at(i.Data), User)
		return nil
	}
	if err := os.RemoveAll(i.at(i.Data)); err != nil {
		return err
	}
	i.say("removed %s and all mail in it", i.at(i.Data))
	if i.Host.Run == nil {
		return nil
	}
	if _, _, err := i.Host.Owner(User); err != nil {
		return nil // nobody to remove
	}
	return i.Host.Run(ctx, "userdel", User)
}

// place writes a file whole or not at all, so that a program that is running is replaced
// and not overwritten.
func place(name string, content io.Reader, mode fs.FileMode) (err error) {
	if err := makeDirs(filepath.Dir(name)); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = io.Copy(f, content)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// makeDirs makes the directories that are missing, for everybody to look into whatever
// the umask.
func makeDirs(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeDirs(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}
