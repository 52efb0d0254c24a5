package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
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
//	renewal IP:PORT NAME   lets Pebble ask for a renewal, has the server look, and waits
//	                       until new connections see another certificate, while one that
//	                       was open before goes on
//
// Only root may bind ports 25, 80 and 443.
type internet struct {
	zone  *dnstest.Server
	db    *db.MemoryStore // Pebble's
	roots *x509.CertPool  // of the certificates that Pebble signs
}

func openInternet(t *testing.T, ts *testscript.TestScript) {
	store := db.NewMemoryStore()
	in := &internet{zone: dnstest.New(t, ""), db: store, roots: x509.NewCertPool()}
	quiet := log.New(io.Discard, "", 0)
	signer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: 90 * 24 * 3600}})
	root, _ := pem.Decode(signer.GetRootCert(0).PEM())
	cert, err := x509.ParseCertificate(root.Bytes)
	ts.Check(err)
	in.roots.AddCert(cert)
	front := wfe.New(quiet, store, va.New(quiet, 80, 443, false, in.zone.Addr(), store), signer, nil, false, false, 1, 1)
	authority := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		front.Handler().ServeHTTP(&impatient{w}, r)
	}))
	ts.Defer(authority.Close)
	file := ts.MkAbs("acme-root.pem")
	ts.Check(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate().Raw}), 0o644))
	ts.Setenv("RESOLVER", in.zone.Addr())
	ts.Setenv("ACME", authority.URL+wfe.DirectoryPath)
	ts.Setenv("ACMEROOT", file)
	ts.Value("story").(*story).internet = in
}

// impatient drops Retry-After: what has changed may be asked for again at once.
type impatient struct{ http.ResponseWriter }

func (i *impatient) WriteHeader(code int) {
	i.Header().Del("Retry-After")
	i.ResponseWriter.WriteHeader(code)
}

func (i *impatient) Write(b []byte) (int, error) {
	i.Header().Del("Retry-After")
	return i.ResponseWriter.Write(b)
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
	shown(ts, addr, name, nil).Close()
}

// shown connects until it sees a certificate for the name that is not the old one.
func shown(ts *testscript.TestScript, addr, name string, old *x509.Certificate) *tls.Conn {
	config := &tls.Config{RootCAs: ts.Value("story").(*story).internet.roots, ServerName: name}
	var err error
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var conn *tls.Conn
		if conn, err = tls.Dial("tcp", addr, config); err != nil {
			continue
		}
		if old == nil || !conn.ConnectionState().PeerCertificates[0].Equal(old) {
			return conn
		}
		conn.Close()
		err = errors.New("it is still the old one")
	}
	ts.Fatalf("%s shows no certificate for %s: %v", addr, name, err)
	return nil
}

func renewal(ts *testscript.TestScript, addr, name string) {
	conn := shown(ts, addr, name, nil)
	defer conn.Close()
	in := bufio.NewReader(conn)
	said := func(want string) {
		conn.SetDeadline(time.Now().Add(time.Minute))
		if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
			ts.Fatalf("the server said %q, %v; want %s", line, err, want)
		}
	}
	said("* OK ")
	old := conn.ConnectionState().PeerCertificates[0]
	window := fmt.Sprintf(`{"suggestedWindow":{"start":%q,"end":%q}}`,
		time.Now().Add(-2*time.Hour).UTC().Format(time.RFC3339), time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
	ts.Check(ts.Value("story").(*story).internet.db.SetARIResponse(old.SerialNumber, window))
	host, _, _ := net.SplitHostPort(addr)
	ts.Check(ts.Exec("roost", "certificate", "retry", "--data", ts.MkAbs(host)))
	shown(ts, addr, name, old).Close()
	fmt.Fprintf(conn, "a NOOP\r\n")
	said("a OK ")
}
