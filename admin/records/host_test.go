package records

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/tools/txtar"
)

// TestHostStories holds what is said of a host, in a world where no mail server answers
// but the one at 192.0.2.25, and that one as the file port25 says.
func TestHostStories(t *testing.T) {
	files, err := filepath.Glob("testdata/host/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, err := txtar.ParseFile(file)
				if err != nil {
					t.Fatal(err)
				}
				s, w := story(t, a)
				greeting := "220 mx.large.example ESMTP\r\n"
				for _, f := range a.Files {
					if f.Name == "port25" {
						greeting = strings.ReplaceAll(string(f.Data), "\n", "\r\n")
					}
				}
				o := w.options()
				o.MailServers = []string{"mx.large.example:25", "mx.deaf.example:25"}
				dial := o.Dial
				o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					switch address {
					case "192.0.2.25:25":
						return greeter(ctx, greeting)
					case "198.51.100.25:25", "[2001:db8::25]:25":
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return dial(ctx, network, address)
				}
				w.resolver.Add("mx.large.example. A 192.0.2.25\nmx.large.example. AAAA 2001:db8::25\nmx.deaf.example. A 198.51.100.25\n")
				list, err := CheckHost(t.Context(), s, o)
				if err != nil {
					t.Fatal(err)
				}
				for i := range list {
					if list[i].Source == "" {
						list[i].Source = "-" // a source is for records
					}
				}
				got := tell(t, list)
				if n := len(a.Files); n == 0 || a.Files[n-1].Name != "want" {
					a.Files = append(a.Files, txtar.File{Name: "want"})
				}
				last := &a.Files[len(a.Files)-1]
				if *update {
					last.Data = got
					golden(t, strings.TrimPrefix(file, "testdata/"), txtar.Format(a))
				}
				if !bytes.Equal(last.Data, got) {
					t.Errorf("got\n%s", got)
				}
			})
		})
	}
}

// greeter is a connection to a server that says one thing and waits; with nothing to say it
// never speaks.
func greeter(ctx context.Context, text string) (net.Conn, error) {
	if text == "refused\r\n" {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	client, server := net.Pipe()
	context.AfterFunc(ctx, func() { server.Close() })
	go func() {
		if text == "\r\n" {
			return
		}
		if _, err := io.WriteString(server, text); err == nil {
			_, _ = bufio.NewReader(server).ReadString('\n') // QUIT
		}
		server.Close()
	}()
	return client, nil
}

func TestPort25(t *testing.T) {
	// Over a real socket, to a mail server on loopback.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			done <- err.Error()
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "220 here\r\n")
		line, _ := bufio.NewReader(conn).ReadString('\n')
		done <- line
	}()
	a, err := newAsker(Options{MailServers: []string{l.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	if f := a.port25(t.Context(), Setup{}); f.State != Passed {
		t.Errorf("%+v", f)
	}
	if said := <-done; said != "QUIT\r\n" {
		t.Errorf("we said %q", said)
	}
	l.Close()
	if f := a.port25(t.Context(), Setup{}); f.State != Wrong || !f.Required || !strings.Contains(f.Says, "connection refused") || f.Advice == "" {
		t.Errorf("closed: %+v", f)
	}
}

// A block list that is slow keeps nobody waiting longer than a check takes.
func TestCheckHostEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, w := story(t, &txtar.Archive{Files: []txtar.File{{Name: "seen", Data: []byte(";! timeout .\n")}, {Name: "zone", Data: []byte(";! timeout .\n")}}})
		began := time.Now()
		list, err := CheckHost(t.Context(), setup(), w.options())
		if err != nil || time.Since(began) > checkTime+time.Second {
			t.Errorf("took %v, %v", time.Since(began), err)
		}
		for _, f := range list {
			if f.State != Unknown {
				t.Errorf("%s: %s", f.Name, f.State)
			}
		}
	})
}
