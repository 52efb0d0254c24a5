package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// startDovecot runs a Dovecot of its own and returns the address of its IMAP
// over TLS, and the path of its LMTP socket if it has LMTP.
func startDovecot(t *testing.T) (imaps, lmtp string) {
	t.Helper()
	dovecot := need(t, "dovecot")
	needRoot(t)
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePrivate(t, filepath.Join(dir, "cert"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writePrivate(t, filepath.Join(dir, "key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	where, err := newWorld(dir) // for a free port
	if err != nil {
		t.Fatal(err)
	}
	mail := filepath.Join(dir, "mail")
	if err := os.Mkdir(mail, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(mail, 5000, 5000); err != nil {
		t.Fatal(err)
	}
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		os.Chmod(d, 0o755)
	}
	protocols := "imap"
	if _, err := os.Stat("/usr/lib/dovecot/lmtp"); err == nil {
		protocols, lmtp = "imap lmtp", filepath.Join(dir, "lmtp")
	}
	config := filepath.Join(dir, "dovecot.conf")
	writePrivate(t, config, fmt.Sprintf(`protocols = %[3]s
listen = 127.0.0.1
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
ssl = yes
ssl_cert = <%[1]s/cert
ssl_key = <%[1]s/key
mail_location = maildir:%[1]s/mail/%%u
mail_uid = 5000
mail_gid = 5000
passdb {
  driver = static
  args = password=roost
}
userdb {
  driver = static
  args = uid=5000 gid=5000 home=%[1]s/mail allow_all_users=yes
}
service imap-login {
  inet_listener imap {
    port = 0
  }
  inet_listener imaps {
    port = %[2]s
    ssl = yes
  }
}
service lmtp {
  unix_listener %[1]s/lmtp {
    mode = 0666
  }
}
`, dir, port(where.addr["imaps"]), protocols))
	cmd := exec.Command(dovecot, "-F", "-c", config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("Dovecot said:\n%s", log)
		}
	})
	for range 1200 {
		if c, err := tls.Dial("tcp", where.addr["imaps"], &tls.Config{InsecureSkipVerify: true}); err == nil {
			c.Close()
			return where.addr["imaps"], lmtp
		}
		time.Sleep(50 * time.Millisecond) // another program has no bell
	}
	t.Fatal("Dovecot does not answer")
	return "", ""
}
