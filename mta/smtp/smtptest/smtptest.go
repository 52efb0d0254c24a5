// Package smtptest plays SMTP dialogs in tests.
//
// It is a client that does what a script says, wrong things included, which
// is why it is not smtp.Client. It refuses to be used outside tests.
package smtptest

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Player is the client's end of a connection.
//
// A script has a line for each step. "C: " is a line to send; lines in a row go
// out at once. "C= " is a quoted Go string to send as it is; 9x"a" repeats it,
// " * " stands between several. "S: " is what the server must say, "..." at its
// end standing for anything. "AUTH name password" logs in with PLAIN. "EHLO"
// says hello and skips over the extensions. "TLS" shakes hands. "EOF" is that
// the server hangs up. "#" begins a comment. Every other word is for Word.
type Player struct {
	Conn net.Conn
	TLS  *tls.Config                        // for the handshake; nil trusts anybody
	Word func(word, arg string) (done bool) // own steps; may be nil

	r *bufio.Reader
}

// Play plays a script to its end. A dialog over several calls goes on.
func (p *Player) Play(t testing.TB, script string) {
	t.Helper()
	var out strings.Builder
	for n, line := range strings.Split(strings.TrimRight(script, "\n"), "\n") {
		word, arg, _ := strings.Cut(strings.TrimLeft(line, " \t"), " ")
		switch word {
		case "C:":
			out.WriteString(arg + "\r\n")
			continue
		case "C=":
			for _, s := range strings.Split(arg, " * ") {
				out.WriteString(unquote(t, s))
			}
			continue
		}
		p.send(out.String())
		out.Reset()
		p.step(t, n+1, word, arg)
	}
	p.send(out.String())
}

// send does not wait, as a pipe has no room for what is not read. An error
// shows in what is read.
func (p *Player) send(text string) {
	if text != "" {
		conn := p.Conn
		go func() { _, _ = io.WriteString(conn, text) }()
	}
}

func (p *Player) step(t testing.TB, n int, word, arg string) {
	t.Helper()
	switch word {
	case "", "#":
	case "S:":
		if got := p.line(t, n); !match(arg, got) {
			t.Fatalf("line %d: want %q, got %q", n, arg, got)
		}
	case "EHLO":
		p.send("EHLO client.example\r\n")
		p.skip(t, n, "250")
	case "AUTH":
		name, password, _ := strings.Cut(arg, " ")
		p.send("AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+name+"\x00"+password)) + "\r\n")
		p.skip(t, n, "235")
	case "TLS":
		conf := p.TLS
		if conf == nil {
			conf = &tls.Config{InsecureSkipVerify: true}
		}
		c := tls.Client(p.Conn, conf)
		if err := c.Handshake(); err != nil {
			t.Fatalf("line %d: %v", n, err)
		}
		p.Conn, p.r = c, nil
	case "EOF":
		// However it ends: what the server did not read makes it a reset.
		if got, _ := io.ReadAll(p.reader()); len(got) > 0 {
			t.Fatalf("line %d: want the end, got %q", n, got)
		}
	default:
		if p.Word == nil || !p.Word(word, arg) {
			t.Fatalf("line %d: what is %q?", n, word)
		}
	}
}

func (p *Player) reader() *bufio.Reader {
	if p.r == nil {
		p.r = bufio.NewReader(p.Conn)
	}
	_ = p.Conn.SetReadDeadline(time.Now().Add(time.Minute))
	return p.r
}

func (p *Player) line(t testing.TB, n int) string {
	t.Helper()
	got, err := p.reader().ReadString('\n')
	if err != nil {
		t.Fatalf("line %d: got %q and %v", n, got, err)
	}
	return strings.TrimSuffix(got, "\r\n")
}

// skip reads a reply with the given code, of however many lines.
func (p *Player) skip(t testing.TB, n int, code string) {
	t.Helper()
	for {
		got := p.line(t, n)
		if !strings.HasPrefix(got, code) {
			t.Fatalf("line %d: want %s, got %q", n, code, got)
		}
		if !strings.HasPrefix(got, code+"-") {
			return
		}
	}
}

// Line reads one that begins as told, and gives the rest of it.
func (p *Player) Line(t testing.TB, prefix string) string {
	t.Helper()
	got := p.line(t, 0)
	rest, ok := strings.CutPrefix(got, prefix)
	if !ok {
		t.Fatalf("want %q, got %q", prefix, got)
	}
	return rest
}

// Until reads answers up to the one that a "S: " line would want.
func (p *Player) Until(t testing.TB, want string) {
	t.Helper()
	for !match(want, p.line(t, 0)) {
	}
}

func match(want, got string) bool {
	prefix, ok := strings.CutSuffix(want, "...")
	return got == want || ok && strings.HasPrefix(got, prefix)
}

func unquote(t testing.TB, s string) string {
	t.Helper()
	times := 1
	if count, rest, ok := strings.Cut(s, `x"`); ok && !strings.HasPrefix(s, `"`) {
		var err error
		if times, err = strconv.Atoi(count); err != nil {
			t.Fatal(err)
		}
		s = `"` + rest
	}
	text, err := strconv.Unquote(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return strings.Repeat(text, times)
}
