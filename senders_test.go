package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"roost/mailbox"
	"roost/mta/smtp"
)

// needRoot skips a test whose programs only root can run; in CI it fails.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("CI must run as root: other mail servers start no other way")
	}
	t.Skip("other mail servers start only as root")
}

// until waits for something that another process does.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

// openTo lets the daemons of another server, which are other users, into dir.
func openTo(t *testing.T, dir string) {
	t.Helper()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// postfix is a Postfix of its own: its mail for roost.localhost goes to a Roost
// over TLS that it checks, and what comes for out.example into a Maildir.
type postfix struct {
	t    *testing.T
	dir  string
	addr string
}

func startPostfix(t *testing.T, roostSMTP, ca string) *postfix {
	t.Helper()
	program := need(t, "postfix")
	needRoot(t)
	p := &postfix{t: t, dir: t.TempDir()}
	openTo(t, p.dir)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	l.Close()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.dir+"/ca.pem", string(pem))
	write(t, p.dir+"/etc/main.cf", fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/spool
data_directory = %[1]s/data
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.example
mydestination =
alias_maps =
local_recipient_maps =
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtp_host_lookup = native
message_size_limit = 60000000
virtual_mailbox_domains = out.example
virtual_mailbox_maps = static:box/
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_limit = 0
virtual_uid_maps = static:5000
virtual_gid_maps = static:5000
transport_maps = inline:{roost.localhost=smtp:[localhost]:%[2]s}
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = hostname
smtp_tls_CAfile = %[1]s/ca.pem
smtp_tls_loglevel = 1
smtp_destination_recipient_limit = 200
smtputf8_enable = yes
strict_smtputf8 = yes
`, p.dir, port(roostSMTP)))
	write(t, p.dir+"/etc/master.cf", p.addr+` inet n - n - - smtpd
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
virtual unix - n n - - virtual
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`)
	for _, d := range []string{"spool", "data", "mail"} {
		if err := os.MkdirAll(filepath.Join(p.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, exec.Command("chown", "postfix", p.dir+"/data"))
	if err := os.Chown(p.dir+"/mail", 5000, 5000); err != nil {
		t.Fatal(err)
	}
	run(t, exec.Command(program, "-c", p.dir+"/etc", "start"))
	t.Cleanup(func() {
		out, err := exec.Command(program, "-c", p.dir+"/etc", "stop").CombinedOutput()
		if err != nil {
			t.Errorf("postfix stop: %v\n%s", err, out)
		}
		if t.Failed() {
			t.Logf("Postfix said:\n%s", p.log())
		}
	})
	return p
}

func (p *postfix) log() string {
	b, _ := os.ReadFile(p.dir + "/log") // there is none before the first line
	return string(b)
}

// send gives Postfix a message with its own sendmail.
func (p *postfix) send(text string, args ...string) {
	p.t.Helper()
	cmd := exec.Command("sendmail", append([]string{"-C", p.dir + "/etc", "-i"}, args...)...)
	cmd.Stdin = strings.NewReader(text)
	run(p.t, cmd)
}

// sent waits until Postfix has got rid of n recipients, and wants that it did so
// well.
func (p *postfix) sent(n int) {
	p.t.Helper()
	status := regexp.MustCompile(`postfix/smtp.* status=(\w+) .*`)
	until(p.t, fmt.Sprintf("Postfix to send to %d recipients", n), func() bool {
		lines := status.FindAllStringSubmatch(p.log(), -1)
		for _, l := range lines {
			if l[1] != "sent" {
				p.t.Fatalf("Postfix: %s", l[0])
			}
		}
		return len(lines) >= n
	})
}

// arrived gives the messages in the INBOX of me, once the server has ended, by
// their subjects.
func arrived(t *testing.T, w *world) map[string][]string {
	t.Helper()
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	s, err := mailbox.Open(w.dir, mailbox.Options{LockTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := s.Check(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	a, err := s.Account("me@roost.localhost")
	if err != nil {
		t.Fatal(err)
	}
	snap, err := s.Snapshot(a.ID, mailbox.InboxID)
	if err != nil {
		t.Fatal(err)
	}
	subject := regexp.MustCompile(`(?m)^Subject: (.*?)\r$`)
	all := map[string][]string{}
	for _, e := range snap.Entries {
		m, err := s.OpenMessage(a.ID, mailbox.InboxID, e.UID)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(m.Reader())
		if err != nil {
			t.Fatal(err)
		}
		key := "none"
		if found := subject.FindSubmatch(b[:min(len(b), 20000)]); found != nil {
			key = string(found[1])
		}
		all[key] = append(all[key], string(b))
	}
	return all
}

// hard is a body that tests dots and eight bits, as programs that end lines in
// LF have it; it comes with CRLF.
const hard = ".\n..\n.dot\nfrom here\n\nGrüße\n. end\n"

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// ends wants one message of a subject, with a body, and its Received to say how
// it came.
func ends(t *testing.T, all map[string][]string, subject, body, with string) {
	t.Helper()
	got := all[subject]
	if len(got) != 1 || !strings.HasSuffix(got[0], "\r\n\r\n"+body) {
		for i, g := range got {
			if len(g) > 3000 {
				got[i] = g[:3000] + "..."
			}
		}
		t.Errorf("%d messages %q:\n%q", len(got), subject, got)
		return
	}
	if !strings.Contains(got[0], " with "+with+"\r\n") {
		t.Errorf("%s did not come with %s:\n%.1000s", subject, with, got[0])
	}
}

// Postfix delivers to Roost over TLS: eight bits, dots, an address beyond ASCII,
// thirty megabytes, a hundred recipients at once, and wishes for notifications.
func TestPostfixDelivers(t *testing.T) {
	w := startWorld(t)
	p := startPostfix(t, w.addr["smtp"], filepath.Join(w.dir, "ca.pem"))
	p.send("Subject: hard\n\n"+hard, "-f", "a@postfix.example", "me@roost.localhost")
	p.send("Subject: global\n\nhi\n", "-f", "jürgen@postfix.example", "me+grüße@roost.localhost")
	p.send("Subject: wishes\n\nhi\n", "-f", "a@postfix.example", "-N", "success,delay", "-R", "hdrs", "-V", "envelope+1", "me@roost.localhost")
	big := strings.Repeat(strings.Repeat("0123456789", 7)+"\n", 30_000_000/71)
	p.send("Subject: big\n\n"+big, "-f", "a@postfix.example", "me@roost.localhost")
	many := []string{"-f", "a@postfix.example"}
	for i := range 100 {
		many = append(many, fmt.Sprintf("me+%d@roost.localhost", i))
	}
	p.send("Subject: many\n\nhi\n", many...)
	p.sent(104)
	log := p.log()
	if !strings.Contains(log, "Verified TLS connection established to localhost[127.0.0.1]") {
		t.Error("Postfix did not find the certificate right")
	}
	all := arrived(t, w)
	ends(t, all, "hard", crlf(hard), "ESMTPS")
	ends(t, all, "global", "hi\r\n", "UTF8SMTPS")
	ends(t, all, "wishes", "hi\r\n", "ESMTPS")
	ends(t, all, "big", crlf(big), "ESMTPS")
	ends(t, all, "many", "hi\r\n", "ESMTPS")
	if len(all["many"]) == 1 && strings.Count(all["many"][0], "Delivered-To: me+") != 100 {
		t.Errorf("not a hundred recipients:\n%.3000s", all["many"][0])
	}
	if len(all["global"]) == 1 && !strings.HasPrefix(all["global"][0], "Return-Path: <jürgen@postfix.example>\r\nDelivered-To: me+grüße@roost.localhost\r\n") {
		t.Errorf("addresses beyond ASCII:\n%.500s", all["global"][0])
	}
}

// Roost's outbox delivers to Postfix, which takes the wishes of the sender over
// and tells of success in a message of its own that comes back to Roost.
func TestDeliversToPostfix(t *testing.T) {
	w, err := newWorld(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	// Postfix needs Roost's certificate authority, Roost Postfix's port.
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	p := startPostfix(t, w.addr["smtp"], filepath.Join(w.dir, "ca.pem"))
	if err := w.start("--relay", "smtp://"+p.addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if w.cmd.ProcessState == nil {
			w.kill()
		}
		if t.Failed() {
			t.Logf("the server said:\n%s", w.out.String())
		}
	})
	roots, err := w.roots()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", w.addr["submissions"], &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	c, err := smtp.NewClient(ctx, conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Hello(ctx, "test.example"); err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(ctx, "me@roost.localhost", "roost"); err != nil {
		t.Fatal(err)
	}
	me := smtp.Path{Local: "me", Domain: "roost.localhost"}
	answers, err := c.Envelope(ctx, me, smtp.MailParams{EnvelopeID: "round+trip", Return: smtp.ReturnHeaders, Body: smtp.Body8BitMIME}, []smtp.Forward{{
		Path: smtp.Path{Local: "x", Domain: "out.example"}, RcptParams: smtp.RcptParams{Notify: smtp.NotifySuccess, Original: "rfc822;first@out.example"},
	}})
	if err != nil || !answers[0].Positive() {
		t.Fatal(answers, err)
	}
	if _, err := c.Data(ctx, strings.NewReader("From: me@roost.localhost\r\nSubject: out\r\n\r\n"+crlf(hard))); err != nil {
		t.Fatal(err)
	}
	c.Quit(ctx)
	p.sent(1) // the notification, on its way back
	files, err := filepath.Glob(p.dir + "/mail/box/new/*")
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil || !strings.HasSuffix(string(b), "\n\n"+hard) || !strings.Contains(string(b), "DKIM-Signature:") {
		t.Errorf("Postfix has %q, %v", b, err)
	}
	all := arrived(t, w)
	var report string
	for subject, list := range all {
		if strings.Contains(subject, "Successful") {
			report = list[0]
		}
	}
	for _, want := range []string{"Original-Envelope-Id: round+trip\r\n", "Original-Recipient: rfc822;first@out.example\r\n", "Final-Recipient: rfc822; x@out.example\r\n", "Action: delivered\r\n"} {
		if !strings.Contains(report, want) {
			t.Errorf("no %q in the notification:\n%s", want, report)
		}
	}
}

// Exim delivers to Roost: over TLS, by BDAT, and what has dots and eight bits.
func TestEximDelivers(t *testing.T) {
	program := os.Getenv("ROOST_EXIM") // unpacked beside Postfix, which it cannot be installed with
	if program == "" {
		program = need(t, "exim4")
	}
	needRoot(t)
	w := startWorld(t)
	dir := t.TempDir()
	openTo(t, dir)
	pem, err := os.ReadFile(filepath.Join(w.dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/ca.pem", string(pem))
	write(t, dir+"/conf", fmt.Sprintf(`exim_path = %[1]s
primary_hostname = exim.example
spool_directory = %[2]s/spool
log_file_path = %[2]s/log/%%s
message_size_limit = 60M
keep_environment =
add_environment = PATH=/bin
trusted_users = root
begin routers
all:
  driver = manualroute
  route_list = * localhost byname
  self = send
  transport = out
begin transports
out:
  driver = smtp
  port = %[3]s
  hosts_require_tls = *
  tls_verify_certificates = %[2]s/ca.pem
  tls_verify_hosts = *
  hosts_try_chunking = *
begin retry
begin rewrite
`, program, dir, port(w.addr["smtp"])))
	for _, d := range []string{"spool", "log"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
		run(t, exec.Command("chown", "Debian-exim", filepath.Join(dir, d)))
	}
	log := func() string {
		b, _ := os.ReadFile(dir + "/log/main") // there is none before the first line
		return string(b)
	}
	send := func(text string, to ...string) {
		t.Helper()
		cmd := exec.Command(program, append([]string{"-C", dir + "/conf", "-odi", "-i", "-f", "a@exim.example"}, to...)...)
		cmd.Stdin = strings.NewReader(text)
		run(t, cmd)
	}
	send("Subject: hard\n\n"+hard, "me@roost.localhost")
	big := strings.Repeat(strings.Repeat("0123456789", 7)+"\n", 30_000_000/71)
	send("Subject: big\n\n"+big, "me@roost.localhost")
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("me+%d@roost.localhost", i))
	}
	send("Subject: many\n\nhi\n", many...)
	until(t, "Exim to be done", func() bool { return strings.Count(log(), " Completed") == 3 })
	// K is how Exim notes that it used BDAT, CV=yes that it found the certificate right.
	if l := log(); strings.Count(l, " K ") < 3 || strings.Count(l, "CV=yes") < 3 || strings.Contains(l, " == ") || strings.Contains(l, " ** ") {
		t.Errorf("Exim said:\n%s", l)
	}
	all := arrived(t, w)
	ends(t, all, "hard", crlf(hard), "ESMTPS")
	ends(t, all, "big", crlf(big), "ESMTPS")
	ends(t, all, "many", "hi\r\n", "ESMTPS")
	if len(all["many"]) == 1 && strings.Count(all["many"][0], "Delivered-To: me+") != 100 {
		t.Errorf("not a hundred recipients:\n%.3000s", all["many"][0])
	}
}

// swaks delivers and submits, with each way to log in.
func TestSwaksLogsIn(t *testing.T) {
	swaks := need(t, "swaks")
	w := startWorld(t)
	body := filepath.Join(t.TempDir(), "body")
	write(t, body, hard)
	for i, auth := range []string{"PLAIN", "LOGIN"} {
		for _, door := range []struct{ name, tls string }{{"submission", "--tls"}, {"submissions", "--tlsc"}} {
			out := run(t, exec.Command(swaks, "--to", "me@roost.localhost", "--from", "you@roost.localhost", "--server", w.addr[door.name], door.tls,
				"--auth", auth, "--auth-user", "you@roost.localhost", "--auth-password", "roost",
				"--header", fmt.Sprintf("Subject: %s %d", door.name, i), "--body", "@"+body))
			if !strings.Contains(out, "250 2.0.0") {
				t.Errorf("swaks:\n%s", out)
			}
		}
	}
	cmd := exec.Command(swaks, "--to", "me@roost.localhost", "--from", "you@roost.localhost", "--server", w.addr["submission"],
		"--tls", "--auth", "PLAIN", "--auth-user", "you@roost.localhost", "--auth-password", "wrong")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "535 5.7.8") {
		t.Errorf("a wrong password: %v\n%s", err, out)
	}
	all := arrived(t, w)
	for i := range 2 {
		// swaks ends a body with empty lines.
		ends(t, all, fmt.Sprintf("submission %d", i), crlf(hard+"\n\n"), "ESMTPSA")
		ends(t, all, fmt.Sprintf("submissions %d", i), crlf(hard+"\n\n"), "ESMTPSA")
	}
}
