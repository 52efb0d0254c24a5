package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// What keeps a server from starting, each in one sentence that says how to go on.

// CannotUse explains an error met in a data directory.
func CannotUse(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("the data directory %s cannot be used by this user (%w): choose another with --data DIR", dir, err)
	}
	return err
}

// CannotListen explains an error met at the door of that flag.
func CannotListen(flag, address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use by another program: stop that one, or choose with --%s HOST:PORT (or off)", address, flag)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s may not be opened by this user: start Roost as root, which it stays only until the ports are bound, or choose with --%s HOST:PORT (or off)", address, flag)
	}
	return fmt.Errorf("--%s: %w", flag, err)
}

// NotAsRoot refuses to root a data directory of root's, or none: there would be nobody to
// become.
func NotAsRoot(dir string) error {
	owner, err := OwnerOf(dir)
	if err != nil {
		return CannotUse(dir, err)
	}
	if os.Geteuid() != 0 || owner.UID != 0 {
		return nil
	}
	return fmt.Errorf("the data directory %s belongs to root or is not there, and Roost never works as root: give it a user of its own with\n"+
		"  useradd --system --home-dir %[1]s --shell /usr/sbin/nologin roost && install -d -m 700 %[1]s && chown -R roost: %[1]s", dir)
}
