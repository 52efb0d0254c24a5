package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	socketName = "admin.sock"
	// maxSocketPath is what fits into sun_path of unix(7), with its zero.
	maxSocketPath = 107
	maxArgs       = 1 << 20
	// stopWithin leaves the other servers their share of the five seconds that a stop may take.
	stopWithin = 3 * time.Second
)

// SocketPath names the admin socket of a data directory, for listening and for dialling.
// Call done when it has been used. A path too long for a socket address is reached
// through an open directory.
func SocketPath(dir string) (path string, done func(), err error) {
	path = filepath.Join(dir, socketName)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), socketName), func() { d.Close() }, nil
}

// Listen opens the admin socket of a data directory, with mode 0600; its close removes
// it. The caller holds the store open, so a socket that is there already was left by a
// server that died.
func Listen(dir string) (net.Listener, error) {
	path, done, err := SocketPath(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	// By then a path through a file descriptor would name something else.
	l.SetUnlinkOnClose(false)
	s := &socket{l, filepath.Join(dir, socketName)}
	if err := os.Chmod(path, 0o600); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

type socket struct {
	*net.UnixListener
	path string
}

func (s *socket) Close() error {
	err := s.UnixListener.Close()
	os.Remove(s.path)
	return err
}

// Serve answers HTTP on l until ctx is done, then waits up to three seconds for requests
// at work and returns nil. Log gets what net/http has to complain of; nil discards.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve http on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if server.Shutdown(within) != nil {
		server.Close()
	}
	<-served
	return nil
}

// API is the office over HTTP: POST /v1/op/domain/add with the arguments as a JSON object
// gives the result as JSON, or {"error":{"kind":…,"message":…}} with the status of its
// kind; see ProgressHeader for what takes long. It is for callers who own the data directory.
func (o *Office) API() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/op/{name...}", func(w http.ResponseWriter, r *http.Request) {
		result, err := o.answer(w, r)
		if err != nil {
			e := Explain(err)
			reply(w, e.Kind.Status(), map[string]*Error{"error": e})
			return
		}
		reply(w, http.StatusOK, result)
	})
	mux.HandleFunc("POST /v1/backup", o.sendBackup)
	return mux
}

func (o *Office) answer(w http.ResponseWriter, r *http.Request) (any, error) {
	op, err := Find(strings.ReplaceAll(r.PathValue("name"), "/", " "))
	if err != nil {
		return nil, err
	}
	args := op.NewArgs()
	d := json.NewDecoder(io.LimitReader(r.Body, maxArgs))
	d.DisallowUnknownFields()
	if err := d.Decode(args); err != nil && err != io.EOF {
		return nil, errorf(Invalid, "the arguments are not the JSON that %q takes: %v", op.Name, err)
	}
	ctx := r.Context()
	if r.Header.Get(ProgressHeader) != "" {
		ctx = WithProgress(ctx, tellProgress(w))
	}
	return o.Do(ctx, Caller{Owner: true}, op, args)
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// What is left to fail is a caller that went away.
	_ = json.NewEncoder(w).Encode(v)
}
