package inbound_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"roost/mailbox"
	"roost/mta/dns"
	"roost/mta/inbound"
)

// post is port 25 over a store with example.org: ann (administrator), bob, the
// alias both, full with a quota of 1000 octets.
type post struct {
	t     *testing.T
	store *mailbox.Store
	addr  string
}

func newPost(t *testing.T) *post {
	t.Helper()
	return newPostFrom(t, nil, "")
}

// newPostFrom is a post that asks a resolver, and whose clients seem to come
// from an address.
func newPostFrom(t *testing.T, r *dns.Resolver, client string) *post {
	t.Helper()
	return newPostOn(t, t.TempDir(), mailbox.Options{MaxMessage: 200000}, r, client)
}

// newPostOn is a post over a store in dir, which is checked at the end.
func newPostOn(t *testing.T, dir string, o mailbox.Options, r *dns.Resolver, client string) *post {
	t.Helper()
	return newPostWith(t, dir, o, inbound.Options{Resolver: r}, client)
}

// newPostWith is a post that serves with some options of its own.
func newPostWith(t *testing.T, dir string, o mailbox.Options, opt inbound.Options, client string) *post {
	t.Helper()
	s, err := mailbox.Open(filepath.Join(dir, "data"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r, err := s.Check(context.Background())
		if errors.Is(err, mailbox.ErrClosed) {
			return // by the test
		}
		if err := errors.Join(err, r.Err(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	ctx := t.Context()
	_, err = s.AddDomain(ctx, "example.org")
	if err == nil {
		_, err = s.CreateAccount(ctx, mailbox.NewAccount{Address: "ann@example.org", Admin: true})
	}
	if err == nil {
		_, err = s.CreateAccount(ctx, mailbox.NewAccount{Address: "bob@example.org"})
	}
	if err == nil {
		_, err = s.CreateAccount(ctx, mailbox.NewAccount{Address: "full@example.org", Quota: 1000})
	}
	if err == nil {
		err = s.SetAlias(ctx, mailbox.Alias{Address: "both@example.org", To: []mailbox.Address{"ann@example.org", "bob@example.org"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opt.Store, opt.RefuseNullMX, opt.Forward = s, true, true
	opt.Hostname = func() string { return "mx.example.org" }
	opt.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	server := inbound.New(opt)
	addr := l.Addr().String()
	if client != "" {
		l = faraway{l, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(client), 25000))}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &post{t, s, addr}
}

// faraway is a listener whose connections seem to come from elsewhere.
type faraway struct {
	net.Listener
	client net.Addr
}

func (f faraway) Accept() (net.Conn, error) {
	c, err := f.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return farConn{c, f.client}, nil
}

type farConn struct {
	net.Conn
	client net.Addr
}

func (f farConn) RemoteAddr() net.Addr { return f.client }

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

// inbox gives the messages in an account's INBOX.
func (p *post) inbox(addr mailbox.Address) []string {
	p.t.Helper()
	return p.holds(addr, "INBOX")
}

// holds gives the messages in a mailbox of an account.
func (p *post) holds(addr mailbox.Address, name string) []string {
	p.t.Helper()
	a, err := p.store.Account(addr)
	if err != nil {
		p.t.Fatal(err)
	}
	f, err := p.store.FolderNamed(a.ID, name)
	if err != nil {
		p.t.Fatal(err)
	}
	snap, err := p.store.Snapshot(a.ID, f.ID)
	if err != nil {
		p.t.Fatal(err)
	}
	var all []string
	for _, e := range snap.Entries {
		m, err := p.store.OpenMessage(a.ID, f.ID, e.UID)
		if err != nil {
			p.t.Fatal(err)
		}
		b, err := io.ReadAll(m.Reader())
		if err != nil {
			p.t.Fatal(err)
		}
		all = append(all, string(b))
	}
	return all
}

// wrote has an account send a message to somebody elsewhere.
func (p *post) wrote(a mailbox.Account, to string) {
	p.t.Helper()
	spool := p.store.NewSpool(0)
	defer spool.Close()
	if _, err := io.WriteString(spool, "From: "+string(a.Address)+"\r\n\r\nhi\r\n"); err != nil {
		p.t.Fatal(err)
	}
	_, err := p.store.Accept(p.t.Context(), mailbox.Intake{
		Body: spool, From: string(a.Address), Sending: &mailbox.Sending{Account: a.ID, To: []mailbox.Address{mailbox.Address(to)}},
		Queue: []mailbox.Outgoing{{From: string(a.Address), Domain: mailbox.Address(to).Domain(), Recipients: []mailbox.Recipient{{Address: to}}}},
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// newest gives the message of an account that came last.
func (p *post) newest(addr mailbox.Address) (text string) {
	p.t.Helper()
	a, err := p.store.Account(addr)
	if err != nil {
		p.t.Fatal(err)
	}
	folders, err := p.store.Folders(a.ID)
	if err != nil {
		p.t.Fatal(err)
	}
	last := mailbox.ModSeq(0)
	for _, f := range folders {
		snap, err := p.store.Snapshot(a.ID, f.ID)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, e := range snap.Entries {
			if e.ModSeq <= last {
				continue
			}
			m, err := p.store.OpenMessage(a.ID, f.ID, e.UID)
			if err != nil {
				p.t.Fatal(err)
			}
			b, err := io.ReadAll(m.Reader())
			if err != nil {
				p.t.Fatal(err)
			}
			last, text = e.ModSeq, string(b)
		}
	}
	return text
}

// journal gives the newest line of the journal.
func (p *post) journal() mailbox.Line {
	p.t.Helper()
	var newest mailbox.Line
	if err := p.store.Journal(func(l mailbox.Line) bool { newest = l; return false }); err != nil {
		p.t.Fatal(err)
	}
	return newest
}

// say sends one message to ann and bob and gives the first answer that is no.
func (p *post) say(message string) (reply string) {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, step := range []string{"", "HELO c", "MAIL FROM:<joe@example.net>", "RCPT TO:<ann@example.org>", "RCPT TO:<bob@example.org>", "DATA", message + "."} {
		if step != "" {
			if _, err := io.WriteString(conn, step+"\r\n"); err != nil {
				p.t.Fatal(err)
			}
		}
		if reply, err = r.ReadString('\n'); err != nil {
			p.t.Fatalf("%.40s: %q, %v", step, reply, err)
		}
		if reply[0] != '2' && reply[0] != '3' {
			break
		}
	}
	return reply
}

// limit sets how much one client may bring.
func (p *post) limit(messages, recipients int) {
	p.t.Helper()
	err := p.store.ChangeSettings(p.t.Context(), func(v *mailbox.Settings) error {
		v.Reception = mailbox.ReceptionLimits{Messages: messages, Recipients: recipients}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// TestBytes holds what a message looks like in the mailbox: trace fields in
// front, then what was sent, as it was sent.
func TestBytes(t *testing.T) {
	p := newPost(t)
	p.player().Play(t, `
S: 220 ...
C: EHLO client.example
S: 250-mx.example.org
S: 250-PIPELINING
S: 250-8BITMIME
S: 250-SMTPUTF8
S: 250-ENHANCEDSTATUSCODES
S: 250-CHUNKING
S: 250-DSN
S: 250-LIMITS MAILMAX=10000 RCPTMAX=1000
S: 250-SIZE 200000
S: 250 STARTTLS
C: STARTTLS
S: 220 ...
TLS
C: EHLO client.example
S: 250-mx.example.org
S: 250-PIPELINING
S: 250-8BITMIME
S: 250-SMTPUTF8
S: 250-ENHANCEDSTATUSCODES
S: 250-CHUNKING
S: 250-DSN
S: 250-LIMITS MAILMAX=10000 RCPTMAX=1000
S: 250-SIZE 200000
S: 250 REQUIRETLS
C: MAIL FROM:<Some.One@sender.example> SMTPUTF8
C: RCPT TO:<Ann+lists@Example.ORG>
C: DATA
S: 250 2.1.0 ...
S: 250 2.1.5 ...
S: 354 ...
C: Subject: hällo
C:
C: ..dot
C: .
S: 250 2.0.0 ...
C: QUIT
S: 221 ...
EOF`)
	got := p.inbox("ann@example.org")
	want := regexp.MustCompile(`^Return-Path: <Some.One@sender.example>\r\n` +
		`Delivered-To: Ann\+lists@Example.ORG\r\n` +
		`Received: from client.example \(\[127.0.0.1\]\)\r\n` +
		`\tby mx.example.org with UTF8SMTPS\r\n` +
		`\tid 00000001\r\n` +
		`\tfor <Ann\+lists@Example.ORG>\r\n` +
		`\ttls TLS_[A-Z0-9_]+;\r\n` +
		`\t[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [-+]\d{4}\r\n` +
		`Subject: hällo\r\n\r\n.dot\r\n$`)
	if len(got) != 1 || !want.MatchString(got[0]) {
		t.Errorf("got %q", got)
	}
	l := p.journal()
	if l.Event != mailbox.Received || l.Subject != "hällo" || l.Size == 0 || l.Message == 0 || !strings.Contains(l.Remote, "127.0.0.1 client.example TLS 1.3") {
		t.Errorf("journal %+v", l)
	}
}

// TestTickets holds that no session tickets are given out on port 25, whatever
// the tls.Config says.
func TestTickets(t *testing.T) {
	p := newPost(t)
	cache := &tickets{}
	player := p.player()
	player.TLS = &tls.Config{InsecureSkipVerify: true, ClientSessionCache: cache}
	player.Play(t, "S: 220 ...\nC: STARTTLS\nS: 220 ...\nTLS\nC: NOOP\nS: 250 ...\nC: QUIT\nS: 221 ...\nEOF")
	if cache.n > 0 {
		t.Error("a session ticket came")
	}
}

type tickets struct{ n int }

func (c *tickets) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (c *tickets) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		c.n++
	}
}

// TestChangedMeanwhile holds that recipients are resolved at RCPT, by what the
// store says then.
func TestChangedMeanwhile(t *testing.T) {
	p := newPost(t)
	player := p.player()
	player.Play(t, "S: 220 ...\nEHLO\nC: MAIL FROM:<>\nC: RCPT TO:<ann@example.org>\nS: 250 ...\nS: 250 ...")
	if err := p.store.RemoveAccount(t.Context(), "bob@example.org"); err != nil {
		t.Fatal(err)
	}
	player.Play(t, "C: RCPT TO:<bob@example.org>\nS: 550 5.1.1 ...\nC: RCPT TO:<both@example.org>\nS: 250 ...\nC: DATA\nS: 354 ...\nC: .\nS: 250 ...\nINBOX ann@example.org 1")
}

// TestSizeFollowsTheSetting: SIZE is what IMAP's APPENDLIMIT is, also without a
// restart.
func TestSizeFollowsTheSetting(t *testing.T) {
	p := newPostOn(t, t.TempDir(), mailbox.Options{}, nil, "")
	player := p.player()
	player.Play(t, "S: 220 ...\nEHLO\nC: MAIL FROM:<> SIZE=200000\nS: 250 ...\nC: RSET\nS: 250 ...")
	err := p.store.ChangeSettings(t.Context(), func(v *mailbox.Settings) error {
		v.MaxMessage = 100 << 10
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	player.Play(t, "C: MAIL FROM:<> SIZE=102401\nS: 552 5.3.4 ...\nC: MAIL FROM:<> SIZE=102400\nS: 250 ...")
}
