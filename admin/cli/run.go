package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"

	"roost/admin"
	"roost/mailbox"
)

// Command is one operation asked for in a terminal.
type Command struct {
	Op   admin.Op
	Args any    // as Op.NewArgs makes them
	Dir  string // the data directory; empty: FindDir
	JSON bool

	// Inspect looks at a store first that was not closed; see mailbox.Options.
	Inspect func(path string) error

	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Run carries the command out and prints the result to Stdout. The error that it returns
// has been printed to nobody; Fail prints it.
func (c Command) Run(ctx context.Context) error {
	if err := confirm(c.Args, c.Stdin, c.Stderr); err != nil {
		return err
	}
	if err := askMissing(c.Args, c.Stdin, c.Stderr); err != nil {
		return err
	}
	if err := readSecrets(c.Args, c.Stdin, c.Stderr); err != nil {
		return err
	}
	result, err := c.do(ctx)
	if err != nil {
		return err
	}
	if err := Print(c.Stdout, result, c.Args, c.JSON); err != nil {
		return err
	}
	// A result may be bad news.
	if r, ok := result.(interface{ Failure() error }); ok {
		return r.Failure()
	}
	return nil
}

func (c Command) do(ctx context.Context) (any, error) {
	if c.Op.NoStore {
		return c.in(ctx, nil)
	}
	named := c.Dir != ""
	dir, err := Dir(c.Dir, FindDir)
	if err != nil {
		return nil, err
	}
	c.Dir = dir
	result, err := c.ask(ctx)
	if !errors.Is(err, errNoServer) {
		return result, err
	}
	if c.Op.Founds && !named {
		// Nobody meant root to own the data of the machine's mail server.
		if err := NotAsRoot(c.Dir); err != nil {
			return nil, err
		}
	}
	owner, err := OwnerOf(c.Dir)
	if err != nil {
		return nil, err
	}
	if err := owner.Become(); err != nil {
		return nil, err
	}
	if !c.Op.Founds && !exists(filepath.Join(c.Dir, "roost.db")) {
		return nil, &admin.Error{Kind: admin.NotFound, Message: fmt.Sprintf(
			"there is no Roost in %s: begin with `roost local`, `roost serve` or `roost setup`, or name another directory with --data DIR", c.Dir)}
	}
	store, err := mailbox.Open(c.Dir, mailbox.Options{Inspect: c.Inspect})
	if errors.Is(err, mailbox.ErrLocked) {
		// A server that was just starting may answer by now.
		if result, again := c.ask(ctx); !errors.Is(again, errNoServer) {
			return result, again
		}
	}
	if err != nil {
		return nil, err
	}
	result, err = c.in(ctx, store)
	return result, errors.Join(err, store.Close())
}

func (c Command) in(ctx context.Context, store *mailbox.Store) (any, error) {
	office := &admin.Office{Store: store}
	progress := newBar(c.Stderr, c.Op.Name)
	defer progress.end()
	return office.Do(admin.WithProgress(ctx, progress.at), admin.Caller{Owner: true}, c.Op, c.Args)
}

var errNoServer = errors.New("no server runs on this data directory")

// ask has the running server carry the command out.
func (c Command) ask(ctx context.Context) (any, error) {
	conn, err := dialServer(ctx, c.Dir)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	body, err := json.Marshal(c.Args)
	if err != nil {
		return nil, err
	}
	url := "http://roost/v1/op/" + strings.ReplaceAll(c.Op.Name, " ", "/")
	progress := newBar(c.Stderr, c.Op.Name)
	defer progress.end()
	req, err := http.NewRequestWithContext(progress.heard(ctx), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if progress.w != nil {
		req.Header.Set(admin.ProgressHeader, "yes")
	}
	resp, err := over(conn).Do(req)
	if err != nil {
		return nil, fmt.Errorf("the server on %s went away: %w", c.Dir, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, failureOf(resp, c.Dir)
	}
	result := c.Op.NewResult()
	if err := json.NewDecoder(resp.Body).Decode(result); err != nil {
		return nil, fmt.Errorf("the server's answer: %w", err)
	}
	return result, nil
}

// dialServer connects to the server that runs on a data directory. errNoServer.
func dialServer(ctx context.Context, dir string) (net.Conn, error) {
	path, done, err := admin.SocketPath(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoServer
	}
	if err != nil {
		return nil, err
	}
	defer done()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, errNoServer
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, &admin.Error{Kind: admin.Forbidden, Message: fmt.Sprintf("%s belongs to another user: run this command as its owner or as root", dir)}
	}
	return conn, err
}

// over is a client that has one connection.
func over(conn net.Conn) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}}
}

// failureOf is the error that a server answered with.
func failureOf(resp *http.Response, dir string) error {
	var failure struct{ Error *admin.Error }
	if err := json.NewDecoder(resp.Body).Decode(&failure); err != nil || failure.Error == nil {
		return fmt.Errorf("the server on %s answered %s: is it an older version?", dir, resp.Status)
	}
	return failure.Error
}

// Fail prints why a command failed and returns the exit code for it.
func Fail(stderr io.Writer, err error, asJSON bool) int {
	e := admin.Explain(err)
	if asJSON {
		_ = Print(stderr, map[string]*admin.Error{"error": e}, nil, true)
	} else {
		fmt.Fprintf(stderr, "roost: %s\n", e.Message)
	}
	return e.Kind.ExitCode()
}
