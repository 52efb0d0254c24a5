package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// asRoost makes the test binary be Roost: that is how tests run the program
// without building it twice.
const asRoost = "ROOST_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asRoost) != "" {
		main()
		return
	}
	// Pebble reads these when it is made: no pauses, no nonces refused for practice.
	os.Setenv("PEBBLE_VA_NOSLEEP", "1")
	os.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	testscript.Main(m, map[string]func(){"roost": main})
}

// services are the listeners of a server, by the names of their flags.
var services = []string{"smtp", "submission", "submissions", "imap", "imaps", "http", "https"}

// world is a Roost server on loopback ports of its own, in a process of its own.
type world struct {
	dir  string
	addr map[string]string
	cmd  *exec.Cmd
	out  syncBuffer
	done chan error
}

// nextPort walks through the ports below those that the kernel gives to clients,
// so that no connection takes one between our choice and the server's bind.
var nextPort atomic.Int32

func newWorld(dir string) (*world, error) {
	w := &world{dir: dir, addr: make(map[string]string)}
	nextPort.CompareAndSwap(0, 20000+rand.Int32N(8000))
	for _, s := range services {
		for w.addr[s] == "" {
			addr := fmt.Sprintf("127.0.0.1:%d", nextPort.Add(1))
			l, err := net.Listen("tcp", addr)
			if errors.Is(err, syscall.EADDRINUSE) {
				continue
			}
			if err != nil {
				return nil, err
			}
			l.Close()
			w.addr[s] = addr
		}
	}
	return w, nil
}

// start runs `roost local` and returns when it says that it is ready.
func (w *world) start(args ...string) error { return w.startAs("local", args...) }

func (w *world) startAs(command string, args ...string) error {
	w.cmd = exec.Command(os.Args[0], append([]string{command, "--data", w.dir}, args...)...)
	w.cmd.Env = append(os.Environ(), asRoost+"=1")
	for _, s := range services {
		w.cmd.Args = append(w.cmd.Args, "--"+s, w.addr[s])
	}
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	w.cmd.Stderr = &w.out
	if err := w.cmd.Start(); err != nil {
		return err
	}
	ready := make(chan bool, 1)
	w.done = make(chan error, 1)
	go func() {
		scan := bufio.NewScanner(stdout)
		for scan.Scan() {
			fmt.Fprintln(&w.out, scan.Text())
			if strings.Contains(scan.Text(), "ready") {
				ready <- true
			}
		}
		w.done <- w.cmd.Wait()
	}()
	select {
	case <-ready:
		return nil
	case err := <-w.done:
		w.done <- err
		return fmt.Errorf("roost ended: %v\n%s", err, w.out.String())
	case <-time.After(time.Minute):
		w.kill()
		return fmt.Errorf("roost was not ready after a minute:\n%s", w.out.String())
	}
}

// stop asks for a clean end, which takes seconds, and on a busy machine some more.
func (w *world) stop() error {
	w.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-w.done:
		if err != nil {
			return fmt.Errorf("roost ended: %w\n%s", err, w.out.String())
		}
		return nil
	case <-time.After(30 * time.Second):
		w.kill()
		return errors.New("roost was still there 30 seconds after SIGTERM")
	}
}

func (w *world) kill() {
	w.cmd.Process.Kill()
	<-w.done
}

// roots is the server's own certificate authority.
func (w *world) roots() (*x509.CertPool, error) {
	pem, err := os.ReadFile(filepath.Join(w.dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("ca.pem holds no certificate")
	}
	return pool, nil
}

// startWorld starts a server that ends with the test.
func startWorld(t *testing.T, args ...string) *world {
	t.Helper()
	w, err := newWorld(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.start(args...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if w.cmd.ProcessState == nil {
			if err := w.stop(); err != nil {
				t.Error(err)
			}
		}
		if t.Failed() {
			t.Logf("the server said:\n%s", w.out.String())
		}
	})
	return w
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// talk plays a dialog with a server:
//
//	C: what the client sends
//	S: a pattern for the next line from the server
//	...            skips lines until one fits the next pattern
//	TLS            begins TLS on the connection (STARTTLS)
//
// Empty lines and those that begin with # are left out. With TLS the server's
// certificate must be for the name; without a name it may be any.
func talk(addr, name string, implicitTLS bool, roots *x509.CertPool, dialog string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer func() { conn.Close() }()
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	config := &tls.Config{RootCAs: roots, ServerName: name, InsecureSkipVerify: name == ""}
	if implicitTLS {
		conn = tls.Client(conn, config)
	}
	in := bufio.NewReader(conn)
	skip := false
	for n, line := range strings.Split(dialog, "\n") {
		where := fmt.Sprintf("line %d (%s)", n+1, line)
		kind, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || line[0] == '#':
		case line == "...":
			skip = true
		case line == "TLS":
			if in.Buffered() > 0 {
				return fmt.Errorf("%s: the server went on talking before TLS", where)
			}
			conn = tls.Client(conn, config)
			in = bufio.NewReader(conn)
		case kind == "C:" || line == "C:":
			if _, err := fmt.Fprintf(conn, "%s\r\n", rest); err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
		case kind == "S:":
			pattern, err := regexp.Compile("^(?:" + rest + ")$")
			if err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			for {
				got, err := in.ReadString('\n')
				if err != nil {
					return fmt.Errorf("%s: %w", where, err)
				}
				if pattern.MatchString(strings.TrimRight(got, "\r\n")) {
					break
				}
				if !skip {
					return fmt.Errorf("%s: the server said %q", where, got)
				}
			}
			skip = false
		default:
			return fmt.Errorf("%s: a dialog line begins with C: or S:", where)
		}
	}
	return nil
}
