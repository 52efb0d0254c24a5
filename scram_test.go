package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// appPassword makes one for a device of me@roost.localhost.
func appPassword(t *testing.T, w *world, device string) string {
	t.Helper()
	var added struct{ Password string }
	out := run(t, roost(w, "device", "add", "me@roost.localhost", device, "--json"))
	if err := json.Unmarshal([]byte(out), &added); err != nil || added.Password == "" {
		t.Fatalf("%s: %v", out, err)
	}
	return added.Password
}

// Other people's SCRAM logs in, bound to the connection where it can be, and is not
// let in with a wrong password. It is offered once everybody uses app passwords.
func TestClientsOfSCRAM(t *testing.T) {
	gsasl, msmtp, mbsync := need(t, "gsasl"), need(t, "msmtp"), need(t, "mbsync")
	w := startWorld(t)
	ca := filepath.Join(w.dir, "ca.pem")
	secret := appPassword(t, w, "phone")

	type speaker struct{ door, protocol string }
	speakers := []speaker{{"submission", "--smtp"}, {"imap", "--imap"}}
	// say logs in with GNU SASL, which says STARTTLS by itself, and gives all that was said.
	say := func(s speaker, mechanism, password string) (string, error) {
		cmd := exec.Command(gsasl, s.protocol, "--verbose", "--no-cb", "--starttls", "--connect=localhost:"+port(w.addr[s.door]), "--x509-ca-file="+ca,
			"--mechanism="+mechanism, "--authentication-id=me@roost.localhost", "--authorization-id=me@roost.localhost", "--password="+password, "--application-data")
		if strings.HasSuffix(mechanism, "-PLUS") {
			cmd.Args = slices.DeleteFunc(cmd.Args, func(a string) bool { return a == "--no-cb" })
		}
		cmd.Stdin = strings.NewReader("")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, s := range speakers {
		if out, err := say(s, "SCRAM-SHA-256", secret); err == nil {
			t.Errorf("%s takes SCRAM while a password opens mail:\n%s", s.protocol, out)
		}
	}
	for _, who := range []string{"me", "you"} {
		run(t, roost(w, "account", "restrict", who+"@roost.localhost"))
	}
	for _, s := range speakers {
		for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"} {
			out, err := say(s, mechanism, secret)
			if err != nil || !strings.Contains(out, "Client authentication finished (server trusted)") {
				t.Errorf("%s %s: %v\n%s", s.protocol, mechanism, err, out)
			}
			if out, err := say(s, mechanism, secret+"x"); err == nil {
				t.Errorf("%s %s with a wrong password:\n%s", s.protocol, mechanism, out)
			}
		}
	}

	home := t.TempDir()
	writePrivate(t, filepath.Join(home, "msmtprc"), fmt.Sprintf("account default\nhost localhost\nport %s\nauth scram-sha-256\nuser me@roost.localhost\npassword %s\nfrom me@roost.localhost\ntls on\ntls_starttls on\ntls_trust_file %s\n",
		port(w.addr["submission"]), secret, ca))
	program(t, home, "From: me@roost.localhost\nSubject: by scram\n\nhi\n", msmtp, "-C", filepath.Join(home, "msmtprc"), "me@roost.localhost")

	for _, d := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(home, "INBOX", d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	writePrivate(t, filepath.Join(home, "mbsyncrc"), fmt.Sprintf("IMAPAccount roost\nHost localhost\nPort %s\nUser me@roost.localhost\nPass %s\nSSLType IMAPS\nCertificateFile %s\nAuthMechs SCRAM-SHA-256\n\n"+
		"IMAPStore far\nAccount roost\n\nMaildirStore near\nPath %s/\nInbox %s/INBOX\n\nChannel mail\nFar :far:\nNear :near:\nPatterns INBOX\nSyncState %s/state-\n",
		port(w.addr["imaps"]), secret, ca, home, home, home))
	program(t, home, "", mbsync, "-c", filepath.Join(home, "mbsyncrc"), "-a")
	got, err := filepath.Glob(filepath.Join(home, "INBOX/new/*"))
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	if b, err := os.ReadFile(got[0]); err != nil || !strings.Contains(string(b), "\nSubject: by scram\n") {
		t.Errorf("%s, %v", b, err)
	}
}
