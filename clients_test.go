package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clientTime is how long a mail program may take in these tests.
const clientTime = 2 * time.Minute

// program runs a mail program with a home of its own.
func program(t *testing.T, home string, stdin string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = home
	cmd.Env = append(os.Environ(), "HOME="+home, "TERM=xterm", "LC_ALL=C.UTF-8", "FETCHMAILHOME="+home)
	cmd.Stdin = strings.NewReader(stdin)
	return run(t, cmd)
}

// curlIMAP gives one command to a mailbox with curl and returns what the server
// says.
func curlIMAP(t *testing.T, w *world, box, command string) string {
	t.Helper()
	return run(t, exec.Command(need(t, "curl"), "-sS", "--cacert", filepath.Join(w.dir, "ca.pem"), "-u", "me@roost.localhost:roost",
		fmt.Sprintf("imaps://localhost:%s/%s", port(w.addr["imaps"]), box), "-X", command))
}

// put appends a message to a mailbox with curl.
func put(t *testing.T, w *world, box, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mail")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "\n", "\r\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, exec.Command(need(t, "curl"), "-sS", "--cacert", filepath.Join(w.dir, "ca.pem"), "-u", "me@roost.localhost:roost",
		"-T", file, fmt.Sprintf("imaps://localhost:%s/%s", port(w.addr["imaps"]), box)))
}

// writePrivate writes a file that only its owner may read, as fetchmail demands.
func writePrivate(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// neomutt opens INBOX without a screen to speak of, tags by a pattern, saves
// one message to Archive, flags another and leaves.
func TestNeomutt(t *testing.T) {
	neomutt := need(t, "neomutt")
	w := startWorld(t)
	for _, s := range []string{"keep", "file me", "flag me"} {
		put(t, w, "INBOX", "From: a@example.com\nSubject: "+s+"\nMessage-ID: <"+strings.ReplaceAll(s, " ", ".")+"@example.com>\n\ntext\n")
	}
	home := t.TempDir()
	writePrivate(t, filepath.Join(home, "rc"), fmt.Sprintf(`set imap_user="me@roost.localhost" imap_pass="roost"
set folder="imaps://localhost:%s/" spoolfile="+INBOX"
set ssl_ca_certificates_file="%s" certificate_file="%s" ssl_force_tls=yes
set delete=yes move=no confirmappend=no confirmcreate=no wait_key=no imap_condstore=yes imap_qresync=yes
set header_cache="" sidebar_visible=no
push "<limit>~s file<enter><first-entry><save-message>=Archive<enter><limit>~A<enter><limit>~s flag<enter><first-entry><flag-message><limit>~A<enter><sync-mailbox><quit>"
`, port(w.addr["imaps"]), filepath.Join(w.dir, "ca.pem"), filepath.Join(w.dir, "ca.pem")))
	// script(1) gives it a terminal.
	program(t, home, "", need(t, "script"), "-qec", neomutt+" -n -F "+filepath.Join(home, "rc"), "/dev/null")
	if got := curlIMAP(t, w, "Archive", `SEARCH SUBJECT "file me"`); !strings.Contains(got, "* SEARCH 1") {
		t.Errorf("in Archive: %q", got)
	}
	if got := curlIMAP(t, w, "INBOX", `SEARCH FLAGGED SUBJECT "flag me"`); !strings.Contains(got, "* SEARCH 2") {
		t.Errorf("in INBOX: %q", got)
	}
	if got := curlIMAP(t, w, "INBOX", `SEARCH ALL`); strings.TrimSpace(got) != "* SEARCH 1 2" {
		t.Errorf("INBOX has %q", got)
	}
}

// fetchmail takes all messages of INBOX, hands them to a program and leaves the
// mailbox empty.
func TestFetchmail(t *testing.T) {
	fetchmail := need(t, "fetchmail")
	w := startWorld(t)
	for i := range 20 {
		put(t, w, "INBOX", fmt.Sprintf("From: a@example.com\nTo: me@roost.localhost\nSubject: number %d\n\ntext %d\n", i, i))
	}
	home := t.TempDir()
	writePrivate(t, filepath.Join(home, "rc"), fmt.Sprintf(`poll localhost protocol IMAP service %s
  user "me@roost.localhost" password "roost" ssl sslcertfile "%s" sslcertck
  mda "cat >> %s" fetchall nokeep
`, port(w.addr["imaps"]), filepath.Join(w.dir, "ca.pem"), filepath.Join(home, "got")))
	program(t, home, "", fetchmail, "-f", filepath.Join(home, "rc"), "--nosyslog", "-N", "-d0", "--pidfile", filepath.Join(home, "pid"))
	got, err := os.ReadFile(filepath.Join(home, "got"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if n := strings.Count(string(got), fmt.Sprintf("Subject: number %d\n", i)); n != 1 {
			t.Errorf("message %d came %d times", i, n)
		}
	}
	if left := curlIMAP(t, w, "INBOX", "STATUS INBOX (MESSAGES)"); !strings.Contains(left, "MESSAGES 0") {
		t.Errorf("left behind: %q", left)
	}
}

// offlineimap makes a copy of all mailboxes, and brings back what was changed in
// the copy.
func TestOfflineimap(t *testing.T) {
	offlineimap := need(t, "offlineimap")
	w := startWorld(t)
	for i := range 10 {
		put(t, w, "INBOX", fmt.Sprintf("From: a@example.com\nSubject: number %d\nMessage-ID: <%d@example.com>\n\ntext %d\n", i, i, i))
	}
	home := t.TempDir()
	writePrivate(t, filepath.Join(home, "rc"), fmt.Sprintf(`[general]
accounts = roost
metadata = %[1]s/meta
ui = quiet
[Account roost]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = %[1]s/mail
[Repository far]
type = IMAP
remotehost = localhost
remoteport = %[2]s
remoteuser = me@roost.localhost
remotepass = roost
ssl = yes
sslcacertfile = %[3]s
folderfilter = lambda name: name in ("INBOX", "Archive")
`, home, port(w.addr["imaps"]), filepath.Join(w.dir, "ca.pem")))
	sync := func() { program(t, home, "", offlineimap, "-c", filepath.Join(home, "rc"), "-o") }
	sync()
	down, err := filepath.Glob(filepath.Join(home, "mail/INBOX/*/*"))
	if err != nil || len(down) != 10 {
		t.Fatalf("%d messages came down, %v", len(down), err)
	}
	writePrivate(t, filepath.Join(home, "mail/Archive/new/1.1.local"), "From: b@example.com\nSubject: from the copy\nMessage-ID: <c@example.com>\n\ntext\n")
	// One is flagged in the copy, another one deleted there.
	name, _, _ := strings.Cut(filepath.Base(down[0]), ":")
	if err := os.Rename(down[0], filepath.Join(home, "mail/INBOX/cur", name+":2,FS")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(down[1]); err != nil {
		t.Fatal(err)
	}
	sync()
	if got := curlIMAP(t, w, "Archive", `SEARCH SUBJECT "from the copy"`); !strings.Contains(got, "* SEARCH 1") {
		t.Errorf("in Archive: %q", got)
	}
	if got := curlIMAP(t, w, "INBOX", "STATUS INBOX (MESSAGES)"); !strings.Contains(got, "MESSAGES 9") {
		t.Errorf("INBOX: %q", got)
	}
	if got := strings.Fields(curlIMAP(t, w, "INBOX", "SEARCH FLAGGED")); len(got) != 3 {
		t.Errorf("flagged: %q", got)
	}
}
