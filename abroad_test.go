package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/rogpeppe/go-internal/testscript"

	"roost/mta/dns/dnstest"
)

// internet is the world that a server on a VPS lives in, on loopback: a DNS that
// a story fills, and Pebble for certificates. Its commands are
//
//	internet               makes it; $RESOLVER, $ACME and $ACMEROOT lead there
//	zone FILE…             adds records
//	nobodys DIR            makes a data directory that belongs to nobody
//	serve IP FLAG…         runs `roost serve` on the real ports of an address, with
//	                       the data directory $WORK/IP
//	trusted IP:PORT NAME   waits until a certificate for the name is shown there
//	meet IP:PORT NAME FILE plays a dialog over TLS, see talk
//
// Only root may bind ports 25, 80 and 443.
type internet struct {
	zone  *dnstest.Server
	roots *x509.CertPool // of the certificates that Pebble signs
}

func openInternet(t *testing.T, ts *testscript.TestScript) {
	in := &internet{zone: dnstest.New(t, ""), roots: x509.NewCertPool()}
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	signer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: 90 * 24 * 3600}})
	root, _ := pem.Decode(signer.GetRootCert(0).PEM())
	cert, err := x509.ParseCertificate(root.Bytes)
	ts.Check(err)
	in.roots.AddCert(cert)
	front := wfe.New(quiet, store, va.New(quiet, 80, 443, false, in.zone.Addr(), store), signer, nil, false, false, 1, 1)
	authority := httptest.NewTLSServer(front.Handler())
	ts.Defer(authority.Close)
	file := ts.MkAbs("acme-root.pem")
	ts.Check(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate().Raw}), 0o644))
	ts.Setenv("RESOLVER", in.zone.Addr())
	ts.Setenv("ACME", authority.URL+wfe.DirectoryPath)
	ts.Setenv("ACMEROOT", file)
	ts.Value("story").(*story).internet = in
}

func serveAt(ts *testscript.TestScript, args []string) {
	ip := args[0]
	w := &world{dir: ts.MkAbs(ip), addr: map[string]string{
		"smtp": ip + ":25", "submission": ip + ":587", "submissions": ip + ":465",
		"imap": ip + ":143", "imaps": ip + ":993", "http": ip + ":80", "https": ip + ":443",
	}}
	ts.Check(w.startAs("serve", append([]string{
		"--resolver", ts.Getenv("RESOLVER"), "--acme-directory", ts.Getenv("ACME"), "--acme-root", ts.Getenv("ACMEROOT"),
		"--probe-mail", "off", "--probe-clock", "off",
	}, args[1:]...)...))
	ts.Defer(func() {
		if err := w.stop(); err != nil {
			ts.Logf("%v", err)
		}
		ts.Logf("the server at %s said:\n%s", ip, w.out.String())
	})
}

// nobodys makes a directory for what a server that is started by root goes on with.
func nobodys(ts *testscript.TestScript, dir string) {
	dir = ts.MkAbs(dir)
	ts.Check(errors.Join(os.MkdirAll(dir, 0o700), os.Chown(dir, 65534, 65534)))
	for up := filepath.Dir(dir); up != filepath.Dir(os.TempDir()) && len(up) > 1; up = filepath.Dir(up) {
		if st, err := os.Stat(up); err == nil && st.Mode().Perm()&0o001 == 0 {
			ts.Check(os.Chmod(up, st.Mode().Perm()|0o011))
		}
	}
}

func waitTrusted(ts *testscript.TestScript, addr, name string) {
	config := &tls.Config{RootCAs: ts.Value("story").(*story).internet.roots, ServerName: name}
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var conn *tls.Conn
		if conn, err = tls.Dial("tcp", addr, config); err == nil {
			conn.Close()
			return
		}
	}
	ts.Fatalf("%s shows no certificate for %s: %v", addr, name, err)
}
