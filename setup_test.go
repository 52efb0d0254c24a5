package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"roost/mta/dns/dnstest"
)

// A person starts `roost serve` on a new machine, follows the link on its first screen
// in a browser that compares the fingerprint, and reads the first message by IMAP.
func TestFirstStartInABrowser(t *testing.T) {
	w, err := newWorld(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	if err := ownData(w.dir); err != nil {
		t.Fatal(err)
	}
	resolver := dnstest.New(t, "").Addr()
	if err := w.startAs("serve", "--resolver", resolver, "--probe-mail", greeter(t), "--probe-clock", slowClock(t)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	}()
	screen := w.waitFor(t, "setup\n")
	for _, want := range []string{`ok  out to \d+ +127\.0\.0\.1 answers`, `!!  clock +ahead by 1h0m\ds\n.*timedatectl`, `ok  listening`} {
		if !regexp.MustCompile(want).MatchString(screen) {
			t.Errorf("no %s on the screen", want)
		}
	}
	link := regexp.MustCompile(`https://127\.0\.0\.1:\d+/setup\?token=[A-Z2-7]+`).FindString(screen)
	fingerprint := strings.Join(regexp.MustCompile(`([0-9A-F]{2}:){15}[0-9A-F]{2}`).FindAllString(screen, -1), ":")
	page, err := url.Parse(link)
	if link == "" || err != nil {
		t.Fatalf("no link on the screen:\n%s", screen)
	}

	browser := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, // and compared like this instead:
		VerifyConnection: func(c tls.ConnectionState) error {
			sum := sha256.Sum256(c.PeerCertificates[0].Raw)
			if shown := strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":"); shown != fingerprint {
				return fmt.Errorf("the certificate's fingerprint is %s, the screen says %s", shown, fingerprint)
			}
			return nil
		},
	}}}
	read := func(r *http.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	if form := read(browser.Get(link)); !strings.Contains(form, page.Query().Get("token")) {
		t.Fatalf("the link leads to\n%s", form)
	}
	done := read(browser.PostForm(strings.Split(link, "?")[0], url.Values{
		"token": page.Query()["token"], "domain": {"example.org"}, "admin": {"anna@example.org"}, "password": {"secret"}, "again": {"secret"},
	}))
	if !strings.Contains(done, "mail.example.org receives mail for example.org") {
		t.Fatalf("the form leads to\n%s", done)
	}

	send := "S: 220 .*\nC: HELO client.example\nS: 250 .*\nC: MAIL FROM:<a@client.example>\nS: 250 .*\nC: RCPT TO:<postmaster@example.org>\nS: 250 .*\nC: QUIT\nS: 221 .*\n"
	if err := talk(w.addr["smtp"], "", false, nil, send); err != nil {
		t.Error(err)
	}
	conn, err := tls.Dial("tcp", w.addr["imaps"], &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "a LOGIN anna@example.org secret\r\nb LOGOUT\r\n")
	if said, _ := io.ReadAll(conn); !strings.Contains(string(said), "a OK") {
		t.Errorf("IMAP: %s", said)
	}
}

// ownData makes a data directory that a server started by root can go on with.
func ownData(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil || os.Geteuid() != 0 {
		return err
	}
	err := os.Chown(dir, 65534, 65534)
	// Whoever it becomes must get there.
	for up := filepath.Dir(dir); len(up) > len(os.TempDir()); up = filepath.Dir(up) {
		err = errors.Join(err, os.Chmod(up, 0o755))
	}
	return err
}

// waitFor waits until the server has said something, and returns all that it said.
func (w *world) waitFor(t *testing.T, text string) string {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if said := w.out.String(); strings.Contains(said, text) {
			return said
		}
	}
	t.Fatalf("the server never said %q:\n%s", text, w.out.String())
	return ""
}

// greeter is a mail server far away.
func greeter(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "220 far.example ESMTP\r\n")
			c.Close()
		}
	}()
	return l.Addr().String()
}

// slowClock is an NTP server (RFC 5905) whose clock is an hour behind.
func slowClock(t *testing.T) string {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		for {
			p := make([]byte, 48)
			n, from, err := c.ReadFrom(p)
			if err != nil {
				return
			}
			if n < 48 {
				continue
			}
			copy(p[24:], p[40:])
			p[0], p[1] = 4<<3|4, 1
			now := uint32(time.Now().Add(-time.Hour).Unix() + 2208988800)
			binary.BigEndian.PutUint32(p[32:], now)
			binary.BigEndian.PutUint32(p[40:], now)
			_, _ = c.WriteTo(p, from)
		}
	}()
	return c.LocalAddr().String()
}
