package submit_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"golang.org/x/tools/txtar"

	"roost/mailbox"
	"roost/mta/smtp/smtptest"
	"roost/mta/submit"
)

// office is a submission server, over a store with example.org: ann (whose
// alias is sales, together with bob) and bob, both with the password "secret".
type office struct {
	t      *testing.T
	store  *mailbox.Store
	server *submit.Server
}

func newOffice(t *testing.T, remote submit.Remote) *office {
	t.Helper()
	s, err := mailbox.Open(t.TempDir(), mailbox.Options{MaxMessage: 100000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r, err := s.Check(context.Background())
		if err := errors.Join(err, r.Err(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	ctx := t.Context()
	_, err = s.AddDomain(ctx, "example.org")
	for _, a := range []mailbox.NewAccount{
		{Address: "ann@example.org", Password: "secret", Admin: true},
		{Address: "bob@example.org", Password: "secret"},
		{Address: "full@example.org", Quota: 1000},
	} {
		if err == nil {
			_, err = s.CreateAccount(ctx, a)
		}
	}
	if err == nil {
		err = s.SetAlias(ctx, mailbox.Alias{Address: "sales@example.org", To: []mailbox.Address{"ann@example.org", "bob@example.org"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return &office{t, s, submit.New(submit.Options{
		Store:    s,
		Hostname: func() string { return "mx.example.org" },
		TLS:      &tls.Config{Certificates: []tls.Certificate{certificate(t)}},
		Remote:   remote,
	})}
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example.org"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// open serves on a socket until the test ends and connects to it.
func (o *office) open() *smtptest.Player {
	o.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		o.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- o.server.Serve(ctx, l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() {
		conn.Close()
		cancel()
		if err := <-done; err != nil {
			o.t.Error(err)
		}
	})
	p := &smtptest.Player{Conn: conn}
	p.Word = func(word, arg string) bool {
		addr, rest, _ := strings.Cut(arg, " ")
		switch word {
		case "HOLDS": // address mailbox number
			name, n, _ := strings.Cut(rest, " ")
			if got := o.messages(mailbox.Address(addr), name); fmt.Sprint(len(got)) != n {
				o.t.Errorf("%s of %s has %d messages, want %s", name, addr, len(got), n)
			}
		case "NEWEST": // address and a text in the newest message of its INBOX
			all := o.messages(mailbox.Address(addr), "INBOX")
			if want, err := strconv.Unquote(rest); err != nil || len(all) == 0 || !strings.Contains(all[len(all)-1], want) {
				o.t.Errorf("%s has %q, want %s (%v)", addr, all, rest, err)
			}
		case "ALIAS": // address targets
			a := mailbox.Alias{Address: mailbox.Address(addr)}
			for _, to := range strings.Fields(rest) {
				a.To = append(a.To, mailbox.Address(to))
			}
			if err := o.store.SetAlias(o.t.Context(), a); err != nil {
				o.t.Error(err)
			}
		case "LIMIT": // messages, and new recipients, in a day
			err := o.store.ChangeSettings(o.t.Context(), func(v *mailbox.Settings) error {
				_, err := fmt.Sscan(arg, &v.Sending.Messages, &v.Sending.Strangers)
				return err
			})
			if err != nil {
				o.t.Error(err)
			}
		case "OUTBOX":
			if got := o.outbox(); got != arg {
				o.t.Errorf("outbox has %s, want %s", got, arg)
			}
		case "JOURNAL":
			l := o.journal()
			got := fmt.Sprintf("%s from <%s> to %s: %s", l.Event, l.From, strings.Join(l.To, ","), l.Reply)
			if !regexp.MustCompile("^" + arg + "$").MatchString(got) {
				o.t.Errorf("journal has %q, want %q", got, arg)
			}
		default:
			return false
		}
		return true
	}
	return p
}

// login is how a dialog begins that is not about logging in.
const login = "S: 220 ...\nC: STARTTLS\nS: 220 ...\nTLS\nEHLO\nAUTH ann@example.org secret\n"

func (o *office) messages(addr mailbox.Address, name string) []string {
	o.t.Helper()
	a, err := o.store.Account(addr)
	if err != nil {
		o.t.Fatal(err)
	}
	f, err := o.store.FolderNamed(a.ID, name)
	if errors.Is(err, mailbox.ErrNotFound) {
		return nil
	}
	if err != nil {
		o.t.Fatal(err)
	}
	snap, err := o.store.Snapshot(a.ID, f.ID)
	if err != nil {
		o.t.Fatal(err)
	}
	var all []string
	for _, e := range snap.Entries {
		m, err := o.store.OpenMessage(a.ID, f.ID, e.UID)
		if err != nil {
			o.t.Fatal(err)
		}
		b, err := io.ReadAll(m.Reader())
		if err != nil {
			o.t.Fatal(err)
		}
		all = append(all, string(b))
	}
	return all
}

// outbox gives the outbox rows in a line.
func (o *office) outbox() string {
	o.t.Helper()
	rows, err := o.store.Outbox()
	if err != nil {
		o.t.Fatal(err)
	}
	var all []string
	for _, r := range rows {
		s := r.From + " to " + r.Domain + ":"
		for _, to := range r.Recipients {
			s += " " + to.Address
			if to.Notify != "" || to.Original != "" {
				s += "(" + strings.TrimSpace(to.Notify+" "+to.Original) + ")"
			}
		}
		if r.EightBit {
			s += " 8BITMIME"
		}
		if r.UTF8 {
			s += " SMTPUTF8"
		}
		if r.Return != "" {
			s += " RET=" + r.Return
		}
		if r.EnvelopeID != "" {
			s += " ENVID=" + r.EnvelopeID
		}
		if r.RequireTLS {
			s += " REQUIRETLS"
		}
		if r.TLSOptional {
			s += " TLS-Required: No"
		}
		all = append(all, s)
	}
	return strings.Join(all, "; ")
}

func (o *office) journal() (newest mailbox.Line) {
	o.t.Helper()
	if err := o.store.Journal(func(l mailbox.Line) bool { newest = l; return false }); err != nil {
		o.t.Fatal(err)
	}
	return newest
}

// TestDialogs plays testdata/*.txtar, each section over a store of its own. The
// name of a file says what becomes of mail to other domains.
func TestDialogs(t *testing.T) {
	for name, remote := range map[string]submit.Remote{"refuse": submit.Refuse, "queue": submit.Queue, "capture": submit.Capture} {
		a, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			t.Run(name+"/"+f.Name, func(t *testing.T) {
				begin := login
				if strings.HasPrefix(string(f.Data), "S: 220") {
					begin = ""
				}
				newOffice(t, remote).open().Play(t, begin+string(f.Data))
			})
		}
	}
}

// TestComplete holds what leaves: the header completed, Bcc and the client's
// address gone, the rest as it was, and two signatures that verify.
func TestComplete(t *testing.T) {
	o := newOffice(t, submit.Queue)
	o.open().Play(t, login+`
C: MAIL FROM:<ann+shop@example.org>
C: RCPT TO:<bob@example.org>
C: RCPT TO:<Carl@other.example>
C: RCPT TO:<secret@third.example>
C: DATA
S: 250 ...
S: 250 ...
S: 250 ...
S: 250 ...
S: 354 ...
C: From: Ann <ann@example.org>
C: To: bob@example.org,
C:  Carl@other.example
C: Bcc: secret@third.example
C: BCC : "Very
C:  secret" <secret@third.example>
C: Resent-Bcc: secret@third.example
C: Return-Path: <x@y.example>
C: Authentication-Results: mx.example.org; dkim=pass
C:  header.d=bank.example
C: Message-ID:
C: Subject: hi
C:
C: .. and
C: Bcc: in the body stays
C: .
S: 250 2.0.0 ...
OUTBOX ann+shop@example.org to other.example: Carl@other.example; ann+shop@example.org to third.example: secret@third.example
HOLDS bob@example.org INBOX 1
HOLDS ann@example.org INBOX 0
JOURNAL submitted from <ann\+shop@example.org> to bob@example.org,Carl@other.example,secret@third.example: `)

	local := o.messages("bob@example.org", "INBOX")[0]
	rows, err := o.store.Outbox()
	if err != nil {
		t.Fatal(err)
	}
	r, err := o.store.OutgoingBody(&rows[0])
	if err != nil {
		t.Fatal(err)
	}
	sent, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^Received: by mx.example.org with ESMTPSA\r\n` +
		`\tid ` + rows[0].Body.String() + `\r\n` +
		`\ttls TLS_[A-Z0-9_]+;\r\n` +
		`\t[^\r\n]+\r\n` +
		`(?:DKIM-Signature: [^\r\n]+\r\n(?:[ \t][^\r\n]+\r\n)*){2}` +
		`Date: [A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [-+]\d{4}\r\n` +
		`Message-ID: <[a-z0-9]{26}@example.org>\r\n` +
		`From: Ann <ann@example.org>\r\n` +
		`To: bob@example.org,\r\n Carl@other.example\r\n` +
		`Subject: hi\r\n\r\n. and\r\nBcc: in the body stays\r\n$`)
	if !want.Match(sent) {
		t.Errorf("sent\n%s", sent)
	}
	prefix := "Return-Path: <ann+shop@example.org>\r\nDelivered-To: bob@example.org\r\n"
	if local != prefix+string(sent) {
		t.Errorf("local copy\n%s", local)
	}
	for _, secret := range []string{"third.example", "127.0.0.1", "client.example"} {
		if strings.Contains(local, secret) {
			t.Errorf("the message tells %s", secret)
		}
	}
	o.verify(sent)
}

// verify checks the signatures against the records of the store's domain.
func (o *office) verify(message []byte) {
	o.t.Helper()
	d, err := o.store.Domain("example.org")
	if err != nil {
		o.t.Fatal(err)
	}
	lookup := func(name string) ([]string, error) {
		for _, k := range d.Keys {
			if name == k.Selector+"._domainkey.example.org" {
				text, err := k.Record()
				return []string{text}, err
			}
		}
		return nil, fmt.Errorf("no %s", name)
	}
	results, err := dkim.VerifyWithOptions(bytes.NewReader(message), &dkim.VerifyOptions{LookupTXT: lookup})
	if err != nil {
		o.t.Fatal(err)
	}
	if len(results) != 2 {
		o.t.Errorf("%d signatures", len(results))
	}
	for _, r := range results {
		if r.Err != nil {
			o.t.Error(r.Err)
		}
	}
}

// TestCaptured holds what the sender finds in the mailbox Captured.
func TestCaptured(t *testing.T) {
	o := newOffice(t, submit.Capture)
	o.open().Play(t, login+`
C: MAIL FROM:<ann@example.org>
C: RCPT TO:<x@other.example>
C: RCPT TO:<y@third.example>
C: RCPT TO:<bob@example.org>
C: DATA
S: 250 ...
S: 250 ...
S: 250 ...
S: 250 ...
S: 354 ...
C: From: ann@example.org
C:
C: hi
C: .
S: 250 2.0.0 ...
OUTBOX 
HOLDS bob@example.org INBOX 1
HOLDS bob@example.org Captured 0
HOLDS ann@example.org Captured 1`)
	got := o.messages("ann@example.org", submit.Captured)[0]
	if !strings.HasPrefix(got, "Return-Path: <ann@example.org>\r\nDelivered-To: x@other.example\r\nDelivered-To: y@third.example\r\nReceived: by ") {
		t.Error(got)
	}
	if strings.Contains(o.messages("bob@example.org", "INBOX")[0], "other.example") {
		t.Error("bob is told of the others")
	}
}

// TestNoEmptyLine holds that a body which follows its header at once gets its
// empty line, before it is signed.
func TestNoEmptyLine(t *testing.T) {
	o := newOffice(t, submit.Refuse)
	o.open().Play(t, login+`
C: MAIL FROM:<ann@example.org>
C: RCPT TO:<bob@example.org>
C: DATA
S: 250 ...
S: 250 ...
S: 354 ...
C: From: ann@example.org
C: hello there
C: .
S: 250 2.0.0 ...`)
	got := o.messages("bob@example.org", "INBOX")[0]
	if !strings.HasSuffix(got, "From: ann@example.org\r\n\r\nhello there\r\n") {
		t.Error(got)
	}
	o.verify([]byte(got))
}

// TestWrongPasswords holds the growing delay, the limit for an address and for
// all connections from it, and that ten minutes later it is over. Loopback has
// neither: the dialogs show it.
func TestWrongPasswords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t, submit.Refuse)
		conns := make(chan net.Conn)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- o.server.Serve(ctx, &listener{ctx, conns}) }()
		defer func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		dial := func(from string) *smtptest.Player {
			server, client := net.Pipe()
			t.Cleanup(func() { client.Close() })
			conns <- peer{server, &net.TCPAddr{IP: net.ParseIP(from), Port: 1}}
			p := &smtptest.Player{Conn: client}
			p.Play(t, "S: 220 ...\nC: STARTTLS\nS: 220 ...\nTLS\nEHLO")
			return p
		}
		guess := 0
		wrong := func() string {
			guess++
			plain := fmt.Sprintf("\x00ann@example.org\x00wrong %d", guess)
			return "C: AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte(plain)) + "\nS: 535 5.7.8 ...\n"
		}

		p := dial("192.0.2.1")
		for n := 1; n <= 5; n++ {
			start := time.Now()
			p.Play(t, wrong())
			if d := time.Since(start); d != time.Duration(n)*500*time.Millisecond {
				t.Errorf("answer %d took %v", n, d)
			}
		}
		p.Conn.Close()
		p = dial("192.0.2.1")
		p.Play(t, wrong()+wrong()+wrong()+wrong()+wrong())
		p.Play(t, "C: AUTH PLAIN AGFubkBleGFtcGxlLm9yZwBzZWNyZXQ=\nS: 421 4.7.0 ...\nEOF")
		dial("192.0.2.1").Play(t, "C: AUTH LOGIN\nS: 421 4.7.0 ...\nEOF")
		dial("192.0.2.2").Play(t, "AUTH ann@example.org secret\nC: QUIT\nS: 221 ...\nEOF")
		time.Sleep(10 * time.Minute)
		dial("192.0.2.1").Play(t, "AUTH ann@example.org secret\nC: QUIT\nS: 221 ...\nEOF")
	})
}

type listener struct {
	ctx   context.Context
	conns chan net.Conn
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error   { return nil }
func (l *listener) Addr() net.Addr { return &net.TCPAddr{} }

type peer struct {
	net.Conn
	addr net.Addr
}

func (p peer) RemoteAddr() net.Addr { return p.addr }

// TestImplicitTLS holds that 465 needs no STARTTLS and offers to log in.
func TestImplicitTLS(t *testing.T) {
	o := newOffice(t, submit.Refuse)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	conf := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	go func() { done <- o.server.Serve(ctx, tls.NewListener(l, conf)) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	(&smtptest.Player{Conn: conn}).Play(t, `
TLS
S: 220 mx.example.org ESMTP Roost
C: EHLO c
S: 250-mx.example.org
S: 250-PIPELINING
S: 250-8BITMIME
S: 250-SMTPUTF8
S: 250-ENHANCEDSTATUSCODES
S: 250-CHUNKING
S: 250-DSN
S: 250-LIMITS MAILMAX=10000 RCPTMAX=1000
S: 250-SIZE 100000
S: 250-REQUIRETLS
S: 250 AUTH PLAIN LOGIN
AUTH ann secret
C: MAIL FROM:<ann@example.org>
S: 250 ...
C: QUIT
S: 221 ...
EOF`)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
