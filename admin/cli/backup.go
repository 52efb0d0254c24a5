package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"roost/admin"
	"roost/mailbox"
)

// Commands that open files themselves: a server may not be able to reach what the person
// in front of the terminal names.

// Files is what such a command works with.
type Files struct {
	Dir  string // the data directory; empty: FindDir
	JSON bool
	// Inspect looks at a roost.db that may be damaged; see mailbox.Options.
	Inspect func(path string) error

	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// BackupFlags are those of `roost backup`.
type BackupFlags struct {
	To string `arg:"" help:"A file, a directory, or - for standard output. A directory that has an earlier backup gets only what is new."`
}

// Help is shown below the one line of the list.
func (BackupFlags) Help() string {
	return "The server may go on meanwhile. A backup is a tar file of a data directory, with its checksums; keep it off this machine. `roost restore` puts it back."
}

// RestoreFlags are those of `roost restore`.
type RestoreFlags struct {
	From    string `arg:"" help:"A file or a directory that roost backup wrote, or - for standard input."`
	Replace bool   `help:"Move a store that is in the data directory aside."`
}

// Help is shown below the one line of the list.
func (RestoreFlags) Help() string {
	return "No server may run on the data directory. Every byte is held against the checksums before anything is changed. Mail that waited to be sent is held for you: see roost queue list. Mail programs read all mailboxes anew, unless the store that was there proves that nothing came after the backup."
}

// RescueFlags are those of `roost rescue`.
type RescueFlags struct {
	Whole bool `help:"Go on though roost.db is whole as far as can be seen."`
}

// Help is shown below the one line of the list.
func (RescueFlags) Help() string {
	return "When roost.db is damaged or missing: makes a new one from the newest snapshot that is whole and from all messages in the packs. The damaged file is kept. No server may run on the data directory."
}

// Backup makes a backup of a data directory.
func (c Files) Backup(ctx context.Context, f BackupFlags) error {
	dir, err := Dir(c.Dir, FindDir)
	if err != nil {
		return err
	}
	to, err := openTarget(f.To, c.Stdout)
	if err != nil {
		return err
	}
	progress := newBar(c.Stderr, "backup")
	took := time.Now()
	m, err := c.backup(ctx, dir, to, progress)
	progress.end()
	if err = errors.Join(err, to.close(err == nil)); err != nil {
		return err
	}
	if to.file == nil && to.dir == "" {
		return nil // standard output is the backup's
	}
	done := backedUp{To: f.To, Seconds: time.Since(took).Seconds(), Bytes: m, Kind: "tar"}
	if to.dir != "" {
		done.Kind = "directory"
	}
	return Print(c.Stdout, done, nil, c.JSON)
}

type backedUp struct {
	To      string  `json:"to"`
	Kind    string  `json:"kind"` // "tar" or "directory"
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

// Text is one line.
func (b backedUp) Text(w io.Writer, _ any) error {
	_, err := fmt.Fprintf(w, "Backed up %.1f MB to %s in %.1f s.\n", float64(b.Bytes)/1e6, b.To, b.Seconds)
	return err
}

// target is where a backup goes.
type target struct {
	path   string
	dir    string   // for a directory
	file   *os.File // for a file: it has another name until it is whole
	stdout io.Writer
}

func openTarget(path string, stdout io.Writer) (*target, error) {
	if path == "-" {
		return &target{path: path, stdout: stdout}, nil
	}
	if st, err := os.Stat(path); err == nil && st.IsDir() || strings.HasSuffix(path, "/") {
		return &target{path: path, dir: path}, os.MkdirAll(path, 0o700)
	}
	f, err := os.OpenFile(path+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &target{path: path, file: f}, nil
}

func (t *target) close(whole bool) error {
	if t.file == nil {
		return nil
	}
	if !whole {
		return errors.Join(t.file.Close(), os.Remove(t.file.Name()))
	}
	return errors.Join(t.file.Sync(), t.file.Close(), os.Rename(t.file.Name(), t.path))
}

// backup has the running server make a backup, or makes it where none runs. It returns
// the bytes of files in it.
func (c Files) backup(ctx context.Context, dir string, to *target, progress *bar) (int64, error) {
	var ask admin.BackupRequest
	var err error
	if to.dir != "" {
		if ask.Have, err = mailbox.BackupHas(to.dir); err != nil {
			return 0, err
		}
	}
	stream, total, err := backupFromServer(ctx, dir, ask)
	if errors.Is(err, errNoServer) {
		stream, total, err = c.backupHere(ctx, dir, ask)
	}
	if err != nil {
		return 0, err
	}
	defer stream.Close()
	if to.dir != "" {
		_, err := mailbox.ReceiveBackup(ctx, stream, to.dir, progress.at)
		return total, err
	}
	out := to.stdout
	if to.file != nil {
		out = to.file
	}
	_, err = io.Copy(out, &watched{r: stream, total: total, bar: progress})
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the server ended the backup early: its log tells why")
	}
	return total, err
}

// watched tells a bar what was read.
type watched struct {
	r           io.Reader
	done, total int64
	bar         *bar
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	w.done += int64(n)
	w.bar.at(w.done, w.total)
	return n, err
}

func backupFromServer(ctx context.Context, dir string, ask admin.BackupRequest) (io.ReadCloser, int64, error) {
	conn, err := dialServer(ctx, dir)
	if err != nil {
		return nil, 0, err
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://roost/v1/backup", bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	resp, err := over(conn).Do(req)
	if err != nil {
		conn.Close()
		return nil, 0, fmt.Errorf("the server on %s went away: %w", dir, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer conn.Close()
		return nil, 0, failureOf(resp, dir)
	}
	total, _ := strconv.ParseInt(resp.Header.Get(admin.BackupSize), 10, 64)
	return closer{resp.Body, conn}, total, nil
}

type closer struct {
	io.Reader
	io.Closer
}

// backupHere opens the store itself.
func (c Files) backupHere(ctx context.Context, dir string, ask admin.BackupRequest) (io.ReadCloser, int64, error) {
	store, err := c.open(dir)
	if err != nil {
		return nil, 0, err
	}
	b, err := store.NewBackup(ctx)
	if err != nil {
		store.Close()
		return nil, 0, err
	}
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(b.WriteTar(ctx, w, ask.Have, nil))
	}()
	return closer{r, closeFunc(func() error {
		r.Close()
		<-done
		return errors.Join(b.Close(), store.Close())
	})}, b.Size(), nil
}

type closeFunc func() error

func (f closeFunc) Close() error { return f() }

// open opens the store of a data directory as its owner.
func (c Files) open(dir string) (*mailbox.Store, error) {
	owner, err := OwnerOf(dir)
	if err != nil {
		return nil, err
	}
	if err := owner.Become(); err != nil {
		return nil, err
	}
	if !exists(filepath.Join(dir, "roost.db")) && !exists(filepath.Join(dir, "packs")) {
		return nil, noRoost(dir)
	}
	return mailbox.Open(dir, mailbox.Options{Inspect: c.Inspect})
}

// Restore puts a backup back.
func (c Files) Restore(ctx context.Context, f RestoreFlags) error {
	dir, err := Dir(c.Dir, FindDir)
	if err != nil {
		return err
	}
	if c.Dir == "" {
		if err := NotAsRoot(dir); err != nil {
			return err
		}
	}
	o := mailbox.RestoreOptions{Replace: f.Replace}
	progress := newBar(c.Stderr, "restore")
	o.Progress = progress.at
	source, from := c.Stdin, ""
	if st, err := os.Stat(f.From); f.From != "-" && err == nil && st.IsDir() {
		from = f.From
	} else if f.From != "-" {
		file, err := os.Open(f.From)
		if err != nil {
			return err
		}
		defer file.Close()
		source = file
	}
	owner, err := OwnerOf(dir)
	if err != nil {
		return err
	}
	if err := owner.Become(); err != nil {
		return err
	}
	var out mailbox.Restored
	if from != "" {
		out, err = mailbox.RestoreDir(ctx, from, dir, o)
	} else {
		out, err = mailbox.Restore(ctx, source, dir, o)
	}
	progress.end()
	if err != nil {
		return err
	}
	return Print(c.Stdout, restored{out, dir}, nil, c.JSON)
}

type restored struct {
	mailbox.Restored
	dir string
}

// Text tells what is there now and what to do next.
func (r restored) Text(w io.Writer, _ any) error {
	fmt.Fprintf(w, "Restored %s with %s into %s, as of %s.\n", plural(r.Accounts, "account"), plural(r.Messages, "message"), r.dir, r.Taken.Local().Format("2006-01-02 15:04"))
	if r.Replaced != "" {
		fmt.Fprintf(w, "The store that was there is in %s; remove it when you do not need it.\n", r.Replaced)
	}
	return tellHeld(w, r.Held, r.SameUIDs)
}

func tellHeld(w io.Writer, held int, same bool) error {
	if held > 0 {
		fmt.Fprintf(w, "Held, since they may have been sent already: %s. See roost queue list; roost queue retry lets one go.\n", plural(held, "message"))
	}
	if !same {
		fmt.Fprintln(w, "Mail programs will read all mailboxes anew.")
	}
	_, err := fmt.Fprintln(w, "Next: start the server.")
	return err
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Rescue makes a new roost.db.
func (c Files) Rescue(ctx context.Context, f RescueFlags) error {
	dir, err := Dir(c.Dir, FindDir)
	if err != nil {
		return err
	}
	owner, err := OwnerOf(dir)
	if err != nil {
		return err
	}
	if err := owner.Become(); err != nil {
		return err
	}
	if !exists(filepath.Join(dir, "roost.db")) && !exists(filepath.Join(dir, "packs")) {
		return noRoost(dir)
	}
	progress := newBar(c.Stderr, "rescue")
	out, err := mailbox.Rescue(ctx, dir, mailbox.RescueOptions{Whole: f.Whole, Inspect: c.Inspect, Progress: progress.at})
	progress.end()
	if err != nil {
		return err
	}
	return Print(c.Stdout, rescued{out}, nil, c.JSON)
}

type rescued struct{ mailbox.Rescued }

// Text tells what was found, and what was not.
func (r rescued) Text(w io.Writer, _ any) error {
	if r.Snapshot != "" {
		fmt.Fprintf(w, "From the snapshot %s, and %s that came after it:\n", filepath.Base(r.Snapshot), plural(r.Found, "message"))
	} else {
		fmt.Fprintf(w, "No snapshot was whole. From the packs alone, %s: those that were expunged are back, and flags are as at delivery.\n", plural(r.Found, "message"))
	}
	fmt.Fprintf(w, "%s with %s.\n", plural(r.Accounts, "account"), plural(r.Messages, "message"))
	if r.Made > 0 {
		fmt.Fprintf(w, "Made again, without a password: %s. Set one with roost account password.\n", plural(r.Made, "account"))
	}
	if r.Lost > 0 {
		fmt.Fprintf(w, "Damaged and not to be had: %s. roost check lists them.\n", plural(r.Lost, "message"))
	}
	if r.Damaged != "" {
		fmt.Fprintf(w, "The damaged file is %s.\n", r.Damaged)
	}
	return tellHeld(w, r.Held, false)
}

func noRoost(dir string) error {
	return &admin.Error{Kind: admin.NotFound, Message: fmt.Sprintf("there is no Roost in %s: name another directory with --data DIR", dir)}
}

// InspectCommand is the hidden command that Inspect runs this program with.
const InspectCommand = "inspect-database"

// inspecting is set for that process, which starts no other.
const inspecting = "ROOST_INSPECTING"

// Inspect has another process of this program look at a roost.db (mailbox.Inspect): what
// it dies of does not end this one.
func Inspect(path string) error {
	exe, err := os.Executable()
	if err != nil || os.Getenv(inspecting) != "" {
		return mailbox.Inspect(path)
	}
	cmd := exec.Command(exe, InspectCommand, path)
	cmd.Env = append(os.Environ(), "GOTRACEBACK=none", inspecting+"=1")
	out, err := cmd.CombinedOutput()
	if errors.Is(err, fs.ErrNotExist) {
		return mailbox.Inspect(path) // an update took the program away
	}
	if err == nil {
		return nil
	}
	line, _, _ := strings.Cut(string(out[:min(len(out), 500)]), "\n")
	what := strings.TrimPrefix(line, "roost: ")
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		for kind, sentinel := range map[admin.Kind]error{admin.InUse: mailbox.ErrLocked, admin.Invalid: mailbox.ErrInvalid} {
			if exit.ExitCode() == kind.ExitCode() && what != "" {
				return fmt.Errorf("%s%w", what, quiet{sentinel})
			}
		}
	}
	if what == "" {
		what = err.Error()
	}
	return errors.New(what)
}

// quiet is an error that is told apart and not read.
type quiet struct{ error }

func (quiet) Error() string   { return "" }
func (q quiet) Unwrap() error { return q.error }
