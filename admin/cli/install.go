package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"roost/admin"
	"roost/admin/install"
)

// InstallFlags are those of `roost install`.
type InstallFlags struct {
	Root    string `placeholder:"DIR" help:"Put all files below this directory, make no user and start nothing: for who builds packages."`
	NoStart bool   `help:"Do not start the service."`
}

// Help is shown below the one line of the list.
func (InstallFlags) Help() string {
	return "Copies this program to " + install.Program + ", makes the user " + install.User + " and the data directory, and starts a systemd service that may do little else. Doing it again is an update."
}

// UninstallFlags are those of `roost uninstall`.
type UninstallFlags struct {
	Root      string `placeholder:"DIR" help:"As it was given to install."`
	PurgeData bool   `help:"Remove the data directory too, with all mail in it."`
	Yes       bool   `help:"Do not ask."`
}

// Install makes Roost a service of this machine.
func Install(ctx context.Context, data string, f InstallFlags, stdout io.Writer) error {
	i, err := installation(data, f.Root, stdout)
	if err != nil {
		return err
	}
	i.Start = !f.NoStart
	if i.Source, err = os.Executable(); err != nil {
		return err
	}
	return i.Install(ctx)
}

// Uninstall takes it away, and keeps the mail unless it is told otherwise twice.
func Uninstall(ctx context.Context, data string, f UninstallFlags, stdin io.Reader, stdout, stderr io.Writer) error {
	i, err := installation(data, f.Root, stdout)
	if err != nil {
		return err
	}
	if f.PurgeData && !f.Yes {
		// Unlike an operation, this one takes silence for a no.
		if tty, ok := stdin.(*os.File); !ok || !term.IsTerminal(int(tty.Fd())) {
			return invalid("--purge-data removes all mail for good: add --yes where nobody can be asked")
		}
		question := fmt.Sprintf("Remove %s and all mail in it for good?", filepath.Join(i.Root, i.Data))
		if err := confirm(asked(question), stdin, stderr); err != nil {
			return err
		}
	}
	return i.Uninstall(ctx, f.PurgeData)
}

// asked is a question by itself.
type asked string

func (q asked) Question() string { return string(q) }

func installation(data, root string, stdout io.Writer) (*install.Installation, error) {
	i := &install.Installation{Root: root, Data: install.DefaultData, Out: stdout}
	if data != "" {
		dir, err := filepath.Abs(data)
		if err != nil {
			return nil, err
		}
		i.Data = dir
	}
	if root != "" {
		return i, nil
	}
	if os.Geteuid() != 0 {
		return nil, &admin.Error{Kind: admin.Forbidden, Message: "only root may do this: put sudo before it"}
	}
	i.Host = install.ThisHost()
	return i, nil
}
