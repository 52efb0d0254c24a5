package acme_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"roost/acme"
)

const validity = 90 * 24 * time.Hour

func TestHTTP01(t *testing.T) {
	d, logs, store := newDoors(t), newJournal(t), newStore(t)
	pebble := newAuthority(t, d, validity)
	self := selfSigned(t)
	options := acme.Options{
		Store: store, Names: names("mail.example.org", "mta-sts.example.org"), Log: logs.logger(),
		Directory: pebble.directory(), Roots: pebble.trust(), Email: "me@example.org",
		NoTLSALPN: true, Fallback: self.GetCertificate,
	}
	before, err := acme.New(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	own, _ := self.GetCertificate(nil)
	conn, err := shake(t, before.TLSConfig(), &tls.Config{InsecureSkipVerify: true})
	if err != nil || !conn.ConnectionState().PeerCertificates[0].Equal(own.Leaf) {
		t.Errorf("before there is a certificate, the fallback is not shown: %v", err)
	}

	l, stop := start(t, options)
	d.open(t, l)
	logs.wait("INFO certificate obtained")
	logs.wait("INFO certificate obtained")
	if n := logs.count("account made"); n != 1 {
		t.Errorf("%d accounts for two names", n)
	}
	for _, name := range []string{"mail.example.org", "mta-sts.example.org"} {
		if leaf := shown(t, l, pebble.roots, name); !slices.Equal(leaf.DNSNames, []string{name}) {
			t.Errorf("%s: certificate for %q", name, leaf.DNSNames)
		}
	}
	for _, name := range []string{"", "autoconfig.example.org"} {
		conn, err := shake(t, l.TLSConfig(), &tls.Config{InsecureSkipVerify: true, ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		if leaf := conn.ConnectionState().PeerCertificates[0]; !slices.Equal(leaf.DNSNames, []string{"mail.example.org"}) {
			t.Errorf("a client that asks for %q sees %q, not the host's certificate", name, leaf.DNSNames)
		}
	}
	status := l.Status()
	if len(status) != 2 || status[0].Names[0] != "mail.example.org" || !strings.Contains(status[0].Issuer, "Pebble") ||
		status[0].NotAfter.Sub(status[0].NotBefore) < validity-time.Minute || status[0].Problem != "" || !status[0].NextTry.IsZero() {
		t.Errorf("status %+v", status)
	}
	rest, err := http.Get("http://" + d.http.Addr().String() + "/.well-known/acme-challenge/other")
	if err != nil {
		t.Fatal(err)
	}
	defer rest.Body.Close()
	if body, _ := io.ReadAll(rest.Body); string(body) != "public /.well-known/acme-challenge/other" {
		t.Errorf("a token that nobody asked for: %q", body)
	}

	// The authority is gone, and the next start does without it.
	stop()
	pebble.Close()
	again, err := acme.New(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	shown(t, again, pebble.roots, "mail.example.org")
}

func TestTLSALPN01(t *testing.T) {
	d, logs := newDoors(t), newJournal(t)
	pebble := newAuthority(t, d, validity)
	l, _ := start(t, acme.Options{
		Store: newStore(t), Names: names("Alpn.Example.org."), Log: logs.logger(),
		Directory: pebble.directory(), Roots: pebble.trust(), NoHTTP: true,
	})
	d.open(t, l)
	logs.wait("INFO certificate obtained")
	shown(t, l, pebble.roots, "alpn.example.org")

	// The same port serves its pages, and asks nobody else's challenge.
	client := &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: pebble.roots, ServerName: "alpn.example.org"},
	}}
	defer client.CloseIdleConnections()
	page, err := client.Get("https://" + d.https.Addr().String() + "/page")
	if err != nil {
		t.Fatal(err)
	}
	defer page.Body.Close()
	if body, _ := io.ReadAll(page.Body); page.ProtoMajor != 2 || string(body) != "public /page" {
		t.Errorf("%s: %q", page.Proto, body)
	}
	challenge := &tls.Config{InsecureSkipVerify: true, ServerName: "alpn.example.org", NextProtos: []string{"acme-tls/1"}}
	if _, err := shake(t, l.HTTPSConfig(), challenge); err == nil {
		t.Error("a challenge that is not under way was answered")
	}
	conn, err := shake(t, l.TLSConfig(), challenge)
	if err != nil || conn.ConnectionState().NegotiatedProtocol != "" {
		t.Errorf("a mail port speaks acme-tls/1: %v", err)
	}
}

// The authority asks for a renewal, as Let's Encrypt does before it revokes.
func TestRenewalIsUsedWithoutRestart(t *testing.T) {
	d, logs := newDoors(t), newJournal(t)
	pebble := newAuthority(t, d, validity)
	l, _ := start(t, acme.Options{
		Store: newStore(t), Names: names("renew.example.org"), Log: logs.logger(),
		Directory: pebble.directory(), Roots: pebble.trust(),
	})
	d.open(t, l)
	logs.wait("INFO certificate obtained")
	logs.wait("added certificate to cache") // certmagic has it
	config := l.TLSConfig()
	client := &tls.Config{RootCAs: pebble.roots, ServerName: "renew.example.org"}
	old, err := shake(t, config, client)
	if err != nil {
		t.Fatal(err)
	}
	first := old.ConnectionState().PeerCertificates[0]

	l.Retry()
	logs.wait("got renewal info") // and it is not time yet
	now := time.Now().UTC()
	window, err := json.Marshal(map[string]any{"suggestedWindow": map[string]time.Time{"start": now.Add(-2 * time.Hour), "end": now.Add(-time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := pebble.db.SetARIResponse(first.SerialNumber, string(window)); err != nil {
		t.Fatal(err)
	}
	l.Retry()
	logs.wait("INFO certificate obtained")
	next, err := shake(t, config, client)
	if err != nil {
		t.Fatal(err)
	}
	if second := next.ConnectionState().PeerCertificates[0]; second.Equal(first) {
		t.Error("a new handshake shows the old certificate")
	}
	for _, conn := range []*tls.Conn{old, next} {
		if _, err := conn.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 4)
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "ping" {
			t.Errorf("%q, %v", answer, err)
		}
	}
	if n := pebble.orders.Load(); n != 2 {
		t.Errorf("%d orders for a certificate and its renewal", n)
	}
}

func TestFailure(t *testing.T) {
	d, logs, self := newDoors(t), newJournal(t), selfSigned(t)
	pebble, rehearsal := newAuthority(t, d, validity), newAuthority(t, d, validity)
	trust := pebble.trust()
	trust.AddCert(rehearsal.Certificate())
	d.http.Close()
	l, _ := start(t, acme.Options{
		Store: newStore(t), Names: names("fail.example.org"), Log: logs.logger(),
		Directory: pebble.directory(), Rehearsal: rehearsal.directory(), Roots: trust,
		NoTLSALPN: true, Fallback: self.GetCertificate,
	})
	logs.wait("WARN no certificate")
	status := l.Status()[0]
	for _, part := range []string{"could not connect to fail.example.org", "connection refused", strings.TrimPrefix(pebble.URL, "https://")} {
		if !strings.Contains(status.Problem, part) {
			t.Errorf("problem %q lacks %q", status.Problem, part)
		}
	}
	if status.Failed.IsZero() || !status.NotAfter.IsZero() || !slices.Equal(status.Names, []string{"fail.example.org"}) {
		t.Errorf("status %+v", status)
	}
	// Certmagic says when it tries again; Status says the same.
	if line := logs.wait("will retry"); !strings.Contains(line, "retrying_in="+status.NextTry.Sub(status.Failed).String()) {
		t.Errorf("next try after %v, but %s", status.NextTry.Sub(status.Failed), line)
	}
	if _, err := shake(t, l.TLSConfig(), &tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Error("the fallback is gone:", err)
	}

	// The second failure is the rehearsal's, and does not count where it matters.
	l.Retry()
	logs.wait("WARN no certificate")
	if a, b := pebble.orders.Load(), rehearsal.orders.Load(); a != 1 || b != 1 {
		t.Errorf("%d orders, %d rehearsals", a, b)
	}
	// The owner mends the firewall.
	var err error
	if d.http, err = net.Listen("tcp", d.http.Addr().String()); err != nil {
		t.Skip("another process took the port:", err)
	}
	d.open(t, l)
	l.Retry()
	logs.wait("INFO certificate obtained")
	shown(t, l, pebble.roots, "fail.example.org")
	if a, b := pebble.orders.Load(), rehearsal.orders.Load(); a != 2 || b != 2 {
		t.Errorf("%d orders, %d rehearsals", a, b)
	}
	if status := l.Status()[0]; status.Problem != "" || !status.NextTry.IsZero() || status.NotAfter.IsZero() {
		t.Errorf("status after success %+v", status)
	}
}

// A renewal that fails leaves the certificate in use.
func TestFailedRenewal(t *testing.T) {
	for range 5 {
		if failedRenewal(t) {
			return
		}
	}
	t.Error("no renewal failed twice")
}

// failedRenewal is the test. Pebble uses an authorization from before for one order in
// a hundred, even when it is told not to (PEBBLE_AUTHZREUSE): then a renewal succeeds,
// and it is false.
func failedRenewal(t *testing.T) bool {
	t.Helper()
	d, logs := newDoors(t), newJournal(t)
	pebble := newAuthority(t, d, 30*time.Minute) // due from the first look
	// Certmagic remembers for the whole process which renewals failed.
	name := fmt.Sprintf("late%d.example.org", time.Now().UnixNano())
	l, _ := start(t, acme.Options{
		Store: newStore(t), Names: names(name), Log: logs.logger(),
		Directory: pebble.directory(), Roots: pebble.trust(), NoTLSALPN: true,
	})
	d.open(t, l)
	logs.wait("INFO certificate obtained")
	logs.wait("added certificate to cache") // certmagic has it
	first := shown(t, l, pebble.roots, name)
	d.http.Close()
	fails := func() bool {
		l.Retry()
		for {
			line := logs.wait()
			if strings.Contains(line, "INFO certificate obtained") || strings.Contains(line, "WARN no certificate") {
				return strings.Contains(line, "WARN")
			}
		}
	}
	if !fails() {
		return false
	}
	if status := l.Status()[0]; !strings.Contains(status.Problem, "could not connect to "+name) ||
		status.NotAfter.IsZero() || status.NextTry.Sub(status.Failed) != time.Minute {
		t.Errorf("status %+v", status)
	}
	if !shown(t, l, pebble.roots, name).Equal(first) {
		t.Error("another certificate")
	}
	return fails() // asked to, it does not wait for the minute
}

func TestAuthorityCannotBeReached(t *testing.T) {
	d, logs := newDoors(t), newJournal(t)
	pebble := newAuthority(t, d, validity)
	trust, directory := pebble.trust(), pebble.directory()
	pebble.Close()
	l, _ := start(t, acme.Options{
		Store: newStore(t), Names: names("dark.example.org"), Log: logs.logger(), Directory: directory, Roots: trust,
	})
	logs.wait("WARN no certificate")
	status := l.Status()[0]
	want := "cannot talk to the certificate authority " + strings.TrimPrefix(pebble.URL, "https://") + ": "
	if !strings.HasPrefix(status.Problem, want) {
		t.Errorf("problem %q", status.Problem)
	}
	if _, err := shake(t, l.TLSConfig(), &tls.Config{InsecureSkipVerify: true}); err == nil {
		t.Error("a handshake without any certificate")
	}
}

// Certmagic does not say when it tries again; Status does, for the 30 days in which
// certmagic tries, and after them.
func TestNextTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs := newJournal(t)
		l, stop := start(t, acme.Options{
			Store: newStore(t), Names: names("shut.example.org"), Log: logs.logger(),
			Directory: "https://ca.example.org/", NoHTTP: true, NoTLSALPN: true,
		})
		defer stop()
		if protos := l.HTTPSConfig().NextProtos; slices.Contains(protos, "acme-tls/1") {
			t.Error("acme-tls/1 offered in", protos)
		}
		synctest.Wait()
		begun, tries, last := time.Now(), 0, false
		for time.Since(begun) < 32*24*time.Hour {
			tries++
			status := l.Status()[0]
			if !status.Failed.Equal(time.Now()) || !strings.Contains(status.Problem, "neither port 80 nor port 443") {
				t.Fatalf("after %v and %d tries: %+v", time.Since(begun), tries, status)
			}
			wait := time.Until(status.NextTry)
			if !last && time.Since(begun) >= 30*24*time.Hour {
				// Certmagic's last try. We begin anew an hour after the next would have been.
				last = true
				wait += time.Hour + 10*time.Second
			}
			time.Sleep(wait)
			synctest.Wait()
		}
		if tries < 100 {
			t.Errorf("%d tries", tries)
		}
	})
}

// No public authority is bothered with what it cannot sign for.
func TestNamesOfNoPublicDNS(t *testing.T) {
	l, stop := start(t, acme.Options{Store: newStore(t), Names: names("roost.localhost", "vps", "192.168.1.2"), NoHTTP: true, NoTLSALPN: true})
	stop() // after the first look
	for _, c := range l.Status() {
		if !strings.Contains(c.Problem, "not a name of the public DNS") || !c.NextTry.IsZero() {
			t.Errorf("%+v", c)
		}
	}
}

func TestNamesChange(t *testing.T) {
	d, logs := newDoors(t), newJournal(t)
	pebble := newAuthority(t, d, validity)
	var want atomic.Pointer[[]string]
	want.Store(&[]string{"one.example.net"})
	l, _ := start(t, acme.Options{
		Store: newStore(t), Log: logs.logger(), Directory: pebble.directory(), Roots: pebble.trust(),
		Names: func(context.Context) ([]string, error) {
			if all := *want.Load(); len(all) > 0 {
				return all, nil
			}
			return nil, errors.New("a moment of trouble")
		},
	})
	d.open(t, l)
	logs.wait("INFO certificate obtained")
	want.Store(&[]string{"one.example.net", "two.example.net"})
	l.Retry()
	logs.wait("INFO certificate obtained", "two.example.net")
	shown(t, l, pebble.roots, "two.example.net")

	want.Store(&[]string{}) // trouble changes nothing
	l.Retry()
	logs.wait("ERROR", "a moment of trouble")
	shown(t, l, pebble.roots, "one.example.net")

	want.Store(&[]string{"two.example.net"})
	l.Retry()
	logs.wait("removed certificate from cache")
	if status := l.Status(); len(status) != 1 || status[0].Names[0] != "two.example.net" {
		t.Errorf("%+v", status)
	}
	// What was stored is used when a name comes back.
	orders := pebble.orders.Load()
	want.Store(&[]string{"two.example.net", "one.example.net"})
	l.Retry()
	logs.wait("added certificate to cache", "one.example.net")
	shown(t, l, pebble.roots, "one.example.net")
	if n := pebble.orders.Load(); n != orders {
		t.Errorf("%d orders for a name that came back", n-orders)
	}
}

// A private authority that was set up anew does not know our account.
func TestForgottenAccount(t *testing.T) {
	d, logs := newDoors(t), newJournal(t)
	pebble := newAuthority(t, d, validity)
	var want atomic.Pointer[[]string]
	want.Store(&[]string{"known.example.org"})
	l, _ := start(t, acme.Options{
		Store: newStore(t), Log: logs.logger(), Directory: pebble.directory(), Roots: pebble.trust(),
		Names: func(context.Context) ([]string, error) { return *want.Load(), nil },
	})
	d.open(t, l)
	logs.wait("INFO certificate obtained")
	pebble.found(t)
	want.Store(&[]string{"unknown.example.org"})
	l.Retry()
	logs.wait("INFO account made")
	logs.wait("INFO certificate obtained")
	shown(t, l, pebble.roots, "unknown.example.org")
}

// A key is stored before its certificate; a power cut may fall between.
func TestTornPairIsObtainedAnew(t *testing.T) {
	d, logs, store := newDoors(t), newJournal(t), newStore(t)
	pebble := newAuthority(t, d, validity)
	options := acme.Options{
		Store: store, Names: names("torn.example.org"), Log: logs.logger(),
		Directory: pebble.directory(), Roots: pebble.trust(),
	}
	l, stop := start(t, options)
	d.open(t, l)
	logs.wait("INFO certificate obtained")
	stop()
	keys, err := store.List(t.Context(), "certificates/")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if strings.HasSuffix(key, ".key") {
			if err := store.Put(t.Context(), key, privatePEM(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	l, _ = start(t, options)
	d.open(t, l)
	logs.wait("WARN stored certificate", "torn.example.org")
	logs.wait("INFO certificate obtained")
	shown(t, l, pebble.roots, "torn.example.org")
}

// Nothing that the Locksmith began may outlive it, whatever the authority does.
func TestRunEndsWhileTheAuthorityHangs(t *testing.T) {
	d, logs := newDoors(t), newJournal(t)
	pebble := newAuthority(t, d, validity)
	l, stop := start(t, acme.Options{
		Store: newStore(t), Names: names("hang.example.org"), Log: logs.logger(),
		Directory: pebble.directory(), Roots: pebble.trust(),
	})
	hold := make(chan struct{})
	defer close(hold)
	pebble.hold.Store(&hold)
	logs.wait("obtaining certificate")
	begun := time.Now()
	stop()
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("Run ended after %v", took)
	}
	if status := l.Status()[0]; status.Problem != "" {
		t.Errorf("the end counts as a failure: %+v", status)
	}
}

func TestOptionsThatCannotBeUsed(t *testing.T) {
	for want, o := range map[string]acme.Options{
		"is not the https URL of an ACME directory": {Directory: "http://ca.example.org/dir"},
		"one of the certificate and its key":        {CertFile: "cert.pem"},
		"no such file":                              {CertFile: "cert.pem", KeyFile: "key.pem"},
	} {
		o.Store, o.Names = newStore(t), names("mail.example.org")
		if _, err := acme.New(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
