package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"roost/admin"
	"roost/admin/install"
)

// systemDir is where an installed Roost keeps its data.
const systemDir = install.DefaultData

// Dir is the absolute path of the data directory that was named, or the other one when
// none was.
func Dir(named string, otherwise func() (string, error)) (string, error) {
	if named == "" {
		return otherwise()
	}
	return filepath.Abs(named)
}

// UserDir is the data directory of a person who tries Roost: below $XDG_STATE_HOME, or
// ~/.local/state without it.
func UserDir() (string, error) {
	if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "roost"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", invalid("there is no home directory to keep data in: name a data directory with --data DIR")
	}
	return filepath.Join(home, ".local", "state", "roost"), nil
}

// ServeDir is the data directory of `roost serve` when none is named: /var/lib/roost for root
// and wherever that exists, else UserDir.
func ServeDir() (string, error) {
	if exists(systemDir) || os.Geteuid() == 0 {
		return systemDir, nil
	}
	return UserDir()
}

// FindDir is the data directory that a command means when none is named: the one that
// exists of /var/lib/roost and UserDir, or where neither does, that which `roost serve` would
// take. Which one, when both do, is for the caller to say.
func FindDir() (string, error) {
	user, err := UserDir()
	if err != nil {
		return systemDir, nil
	}
	switch {
	case !exists(systemDir) && os.Geteuid() == 0 && !exists(user):
		return systemDir, nil
	case !exists(systemDir):
		return user, nil
	case !exists(user):
		return systemDir, nil
	}
	return "", invalid(fmt.Sprintf("there are two data directories, %s and %s: say which with --data DIR or ROOST_DATA", systemDir, user))
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// Owner is a user who owns a data directory.
type Owner struct{ UID, GID int }

// OwnerOf tells who owns dir. Without a directory that is whoever asks.
func OwnerOf(dir string) (Owner, error) {
	me := Owner{os.Geteuid(), os.Getegid()}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return me, nil
	}
	if err != nil {
		return me, err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return Owner{int(stat.Uid), int(stat.Gid)}, nil
	}
	return me, nil
}

// Become makes this process, when root runs it, one of the owner's for good: no file may
// come to be that the owner cannot use, and a server has no need of root once its ports
// are bound. For everybody else it does nothing.
func (o Owner) Become() error {
	if os.Geteuid() != 0 || o.UID == 0 {
		return nil
	}
	// A directory of nobody:root is still nobody's: root's group is as good as root here.
	if o.GID == 0 {
		if u, err := user.LookupId(strconv.Itoa(o.UID)); err == nil {
			o.GID, _ = strconv.Atoi(u.Gid)
		}
	}
	if o.GID == 0 {
		return &admin.Error{Kind: admin.Failed, Message: fmt.Sprintf("the data directory belongs to user %d, but to the group of root: give it another with chgrp", o.UID)}
	}
	err := errors.Join(
		syscall.Setgroups([]int{o.GID}),
		syscall.Setgid(o.GID),
		syscall.Setuid(o.UID),
	)
	if err != nil {
		return &admin.Error{Kind: admin.Failed, Message: fmt.Sprintf("become user %d, who owns the data directory: %v", o.UID, err)}
	}
	if os.Getuid() != o.UID || os.Geteuid() != o.UID || syscall.Setuid(0) == nil {
		return &admin.Error{Kind: admin.Failed, Message: "root's rights could not be dropped"}
	}
	return nil
}
