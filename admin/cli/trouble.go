package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"

	"roost/admin"
	"roost/admin/machine"
)

// What keeps a server from starting, each in one sentence that says how to go on.

// CannotUse explains an error met in a data directory.
func CannotUse(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("the data directory %s cannot be used by this user (%w): choose another with --data DIR", dir, err)
	}
	return err
}

// InUse finds out who holds a door that could not be opened because it is in use.
func InUse(flag, address string) machine.Taken {
	t := machine.Taken{Door: machine.Door{Name: flag, Address: address}}
	if port, err := net.LookupPort("tcp", t.Port()); err == nil {
		t.Holder = machine.Holder(os.DirFS("/proc"), uint16(port))
	}
	return t
}

// Occupied explains why a server cannot work without the doors that others hold; nil
// when there are none.
func Occupied(taken []machine.Taken) error {
	var sentences []string
	for _, t := range taken {
		sentences = append(sentences, fmt.Sprintf("%s is in use by %s: %s, or choose with --%s HOST:PORT (or off)", t.Address, t.Holder, evict(t.Holder), t.Name))
	}
	if len(sentences) == 0 {
		return nil
	}
	return &admin.Error{Kind: admin.InUse, Message: strings.Join(sentences, "\n")}
}

// evict says how to make a program leave its ports.
func evict(p machine.Program) string {
	switch {
	case p.Unit != "":
		return "systemctl disable --now " + p.Unit
	case p.PID != 0:
		return fmt.Sprintf("kill %d", p.PID)
	}
	return "stop that one"
}

// CannotListen explains an error met at the door of that flag.
func CannotListen(flag, address string, err error) error {
	switch {
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
	return fmt.Errorf("the data directory %s belongs to root or is not there, and Roost never works as root: `roost install` makes a user and a service for it; by hand that is\n"+
		"  useradd --system --home-dir %[1]s --shell /usr/sbin/nologin roost && install -d -m 700 %[1]s && chown -R roost: %[1]s", dir)
}
