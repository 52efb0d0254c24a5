package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"roost/mta/smtp"
)

// need finds a program that a test talks to Roost with. On a person's machine
// the test is skipped without it; in CI that would hide a hole, so it fails.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed, and CI must have it", program)
	}
	t.Skipf("%s is not installed", program)
	return ""
}

func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

func TestSwaksAndCurl(t *testing.T) {
	swaks, curl := need(t, "swaks"), need(t, "curl")
	w := startWorld(t)
	ca := filepath.Join(w.dir, "ca.pem")
	out := run(t, exec.Command(swaks, "--to", "me@roost.localhost", "--from", "swaks@example.com", "--server", w.addr["smtp"], "--tls"))
	if !strings.Contains(out, "250 2.0.0") {
		t.Errorf("swaks:\n%s", out)
	}
	out = run(t, exec.Command(swaks, "--to", "me@roost.localhost", "--from", "you@roost.localhost", "--server", w.addr["submissions"], "--tlsc",
		"--auth-user", "you@roost.localhost", "--auth-password", "roost", "--auth", "LOGIN", "--header", "Subject: by submission"))
	if !strings.Contains(out, "250 2.0.0") {
		t.Errorf("swaks on submissions:\n%s", out)
	}
	for n, want := range []string{"Return-Path: <swaks@example.com>\r\n", "Subject: by submission\r\n"} {
		out = run(t, exec.Command(curl, "-sS", "--cacert", ca, "-u", "me@roost.localhost:roost", fmt.Sprintf("imaps://localhost:%s/INBOX;UID=%d", port(w.addr["imaps"]), n+1)))
		if !strings.Contains(out, want) {
			t.Errorf("curl reads %q, want %q in it", out, want)
		}
	}
}

// 200 messages go from a Maildir into Roost and from Roost into another one,
// and are the same to the byte.
func TestMbsyncBothWays(t *testing.T) {
	mbsync := need(t, "mbsync")
	w := startWorld(t)
	dir := t.TempDir()
	for _, box := range []string{"up", "down"} {
		for _, sub := range []string{"cur", "new", "tmp"} {
			if err := os.MkdirAll(filepath.Join(dir, box, "INBOX", sub), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	var want []string
	for i := range 200 {
		text := fmt.Sprintf("From: a%d@example.com\nTo: me@roost.localhost\nSubject: message %d\nMessage-ID: <%d@mbsync>\n\n%s", i, i, i, strings.Repeat(fmt.Sprintf("line of %d\n", i), i*7))
		if i%10 == 3 {
			text += "an 8-bit line: \xc3\xa9\xff and no end"
		}
		want = append(want, text)
		if err := os.WriteFile(filepath.Join(dir, "up/INBOX/new", fmt.Sprintf("%d.1.test", 1000000+i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, way := range []string{"up", "down"} {
		config := filepath.Join(dir, way+".rc")
		err := os.WriteFile(config, fmt.Appendf(nil, `IMAPAccount roost
Host localhost
Port %s
User me@roost.localhost
Pass roost
SSLType IMAPS
CertificateFile %s

IMAPStore far
Account roost

MaildirStore near
Path %s/
Inbox %s/INBOX

Channel mail
Far :far:
Near :near:
Patterns INBOX
Sync All
SyncState %s/%s.state/
`, port(w.addr["imaps"]), filepath.Join(w.dir, "ca.pem"), filepath.Join(dir, way), filepath.Join(dir, way), dir, way), 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, way+".state"), 0o700); err != nil {
			t.Fatal(err)
		}
		run(t, exec.Command(mbsync, "-c", config, "-a"))
	}
	var got []string
	for _, sub := range []string{"new", "cur"} {
		names, err := os.ReadDir(filepath.Join(dir, "down/INBOX", sub))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			b, err := os.ReadFile(filepath.Join(dir, "down/INBOX", sub, n.Name()))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, withoutTUID(string(b)))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d messages came back, %d went up, and they differ", len(got), len(want))
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("first difference:\n%q\n%q", got[i], want[i])
			}
		}
	}
}

// withoutTUID leaves out the field that mbsync adds to what it copies, and
// takes away again where a server tells it the new UID.
func withoutTUID(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "X-TUID: ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestPythonImaplib(t *testing.T) {
	python := need(t, "python3")
	w := startWorld(t)
	script := `
import imaplib, ssl, sys
host, port, ca = sys.argv[1:]
m = imaplib.IMAP4_SSL(host, int(port), ssl_context=ssl.create_default_context(cafile=ca))
m.login("me@roost.localhost", "roost")
assert m.append("INBOX", r"(\Flagged)", None, b"Subject: from python\r\n\r\nHello.\r\n")[0] == "OK"
assert m.select("INBOX")[0] == "OK"
typ, data = m.search(None, "SUBJECT", "python", "FLAGGED")
assert typ == "OK" and data == [b"1"], data
typ, data = m.fetch("1", "(FLAGS BODY.PEEK[])")
assert data[0][1] == b"Subject: from python\r\n\r\nHello.\r\n", data
assert m.store("1", "+FLAGS", r"(\Deleted)")[0] == "OK"
assert m.copy("1", "Archive")[0] == "OK"
assert m.expunge()[1] == [b"1"]
typ, data = m.status("Archive", "(MESSAGES UIDNEXT)")
assert b"MESSAGES 1" in data[0], data
m.logout()
print("imaplib is content")
`
	out := run(t, exec.Command(python, "-c", script, "localhost", port(w.addr["imaps"]), filepath.Join(w.dir, "ca.pem")))
	if !strings.Contains(out, "imaplib is content") {
		t.Error(out)
	}
}

// sink is a mail server that keeps what it is sent.
type sink struct {
	mu   sync.Mutex
	mail []string
	got  chan struct{}
}

func (s *sink) Mail(context.Context, smtp.Path, smtp.MailParams) error { return nil }
func (s *sink) Rcpt(context.Context, smtp.Path, smtp.RcptParams) error { return nil }
func (s *sink) Reset(context.Context)                                  {}
func (s *sink) Data(_ context.Context, r io.Reader) (string, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	s.mail = append(s.mail, string(b))
	s.mu.Unlock()
	s.got <- struct{}{}
	return "kept", nil
}

func startSink(t *testing.T) (*sink, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{got: make(chan struct{}, 100)}
	server := smtp.NewServer(smtp.Options{
		NewSession: func(context.Context, *smtp.Conn) (smtp.Session, error) { return s, nil },
		MaxSize:    func() int64 { return 1 << 20 },
	})
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { server.Serve(ctx, l) })
	t.Cleanup(func() { stop(); wg.Wait() })
	return s, l.Addr().String()
}

// A person sends with msmtp through Roost and a smart host. What arrives has
// two signatures that dkimpy verifies with the records that `roost dns` prints.
func TestMsmtpThroughARelayIsSigned(t *testing.T) {
	msmtp := need(t, "msmtp")
	python := "/usr/bin/python3" // Debian's, which python3-dkim is for
	if err := exec.Command(python, "-c", "import dkim, nacl").Run(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("python3-dkim is not installed, and CI must have it")
		}
		t.Skip("python3-dkim is not installed")
	}
	sink, relay := startSink(t)
	w := startWorld(t, "--relay", "smtp://"+relay)
	dir := t.TempDir()
	config := filepath.Join(dir, "msmtprc")
	err := os.WriteFile(config, fmt.Appendf(nil, "account default\nhost localhost\nport %s\nauth on\nuser me@roost.localhost\npassword roost\nfrom me@roost.localhost\ntls on\ntls_starttls on\ntls_trust_file %s\n",
		port(w.addr["submission"]), filepath.Join(w.dir, "ca.pem")), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	send := exec.Command(msmtp, "-C", config, "far@example.com", "hidden@example.com")
	send.Stdin = strings.NewReader("From: Me <me@roost.localhost>\nTo: far@example.com\nBcc: hidden@example.com\nSubject: signed and\n folded =?utf-8?q?caf=C3=A9?=\n\nA line.\n.\n\n with  spaces \n\n\n")
	run(t, send)
	select {
	case <-sink.got:
	case <-time.After(time.Minute):
		t.Fatal("nothing came to the smart host")
	}
	got := sink.mail[0]
	if strings.Contains(got, "hidden") || !strings.Contains(got, "\r\nMessage-ID: <") && !strings.Contains(got, "\r\nMessage-Id: <") {
		t.Errorf("sent:\n%s", got)
	}
	records := run(t, roost(w, "dns", "roost.localhost", "--json"))
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "mail"), []byte(got), 0o600), os.WriteFile(filepath.Join(dir, "dns"), []byte(records), 0o600)); err != nil {
		t.Fatal(err)
	}
	out := run(t, exec.Command(python, "-c", `
import dkim, json, sys
mail = open(sys.argv[1], "rb").read()
txt = {r["name"].rstrip("."): r["value"].encode() for r in json.load(open(sys.argv[2])) if r["type"] == "TXT"}
def dns(name, timeout=5):
    return txt.get(name.decode().rstrip("."))
for i in range(2):
    d = dkim.DKIM(mail)
    assert d.verify(idx=i, dnsfunc=dns), i
    print("verified", d.signature_fields[b"a"].decode())
try:
    print("altered:", dkim.DKIM(mail.replace(b"A line", b"B line")).verify(dnsfunc=dns))
except dkim.DKIMException as e:
    print("altered:", False)
`, filepath.Join(dir, "mail"), filepath.Join(dir, "dns")))
	for _, want := range []string{"verified rsa-sha256", "verified ed25519-sha256", "altered: False"} {
		if !strings.Contains(out, want) {
			t.Errorf("dkimpy says %q, want %q in it", out, want)
		}
	}
}

// roost is a command beside the world's server.
func roost(w *world, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], append(args, "--data", w.dir)...)
	cmd.Env = append(os.Environ(), asRoost+"=1")
	return cmd
}
