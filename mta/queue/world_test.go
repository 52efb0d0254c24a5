package queue_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"roost/mailbox"
	"roost/mta/dns/dnstest"
	"roost/mta/outbound"
	"roost/mta/queue"
	"roost/mta/smtp"
)

// box is a world in a bubble: a store with ann@example.org, a runner, and
// one remote server for every domain below example.net, in memory.
type box struct {
	t     *testing.T
	dir   string
	store *mailbox.Store
	ann   mailbox.Account
	sink  *sink
	zone  *dnstest.Server
	relay atomic.Pointer[outbound.Relay]
	per   int // attempts at one destination; 0: as it is

	stop func() // ends the runner
}

// inBox plays f in a bubble of its own.
func inBox(t *testing.T, f func(t *testing.T, b *box)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		defer b.close()
		f(t, b)
	})
}

func newBox(t *testing.T) *box {
	t.Helper()
	b := &box{t: t, dir: t.TempDir(), sink: newSink(t)}
	b.zone = dnstest.NewMemory(t, `
example.net. MX 10 mx.example.net.
*.example.net. MX 10 mx.example.net.
mx.example.net. A 192.0.2.1
relay.example.com. A 192.0.2.2
`)
	b.open(mailbox.Options{})
	ctx := t.Context()
	if _, err := b.store.AddDomain(ctx, "example.org"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.store.CreateAccount(ctx, mailbox.NewAccount{Address: "root@example.org", Password: "secret", Admin: true}); err != nil {
		t.Fatal(err)
	}
	var err error
	b.ann, err = b.store.CreateAccount(ctx, mailbox.NewAccount{Address: "ann@example.org", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *box) open(o mailbox.Options) {
	b.t.Helper()
	s, err := mailbox.Open(b.dir, o)
	if err != nil {
		b.t.Fatal(err)
	}
	b.store = s
}

// run starts a runner.
func (b *box) run() {
	r := queue.New(queue.Options{
		Store: b.store,
		Sender: outbound.New(outbound.Options{
			Hostname: func() string { return "mail.example.org" },
			Resolver: b.zone.Resolver(),
			Dialer:   b.sink,
		}),
		Relay:    b.relay.Load,
		Hostname: func() string { return "mail.example.org" },

		PerDestination: b.per,
	})
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			b.t.Error("Run:", err)
		}
	}()
	b.stop = func() {
		cancel()
		<-done
	}
}

// close ends everything, and checks the store.
func (b *box) close() {
	b.t.Helper()
	if b.stop != nil {
		b.stop()
	}
	report, err := b.store.Check(context.Background())
	if err := errors.Join(err, report.Err(), b.store.Close()); err != nil {
		b.t.Error(err)
	}
	b.sink.close()
}

const text = "From: Ann <ann@example.org>\r\nTo: <bob@example.net>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n" +
	"Message-ID: <1@example.org>\r\n\r\nHello.\r\n.\r\n"

// submit queues one message to recipients, one row for each domain.
func (b *box) submit(from string, to ...string) {
	b.t.Helper()
	spool := b.store.NewSpool(0)
	defer spool.Close()
	if _, err := io.WriteString(spool, text); err != nil {
		b.t.Fatal(err)
	}
	in := mailbox.Intake{Body: spool, From: from}
rcpt:
	for _, a := range to {
		domain := mailbox.Address(a).Domain()
		for i := range in.Queue {
			if in.Queue[i].Domain == domain {
				in.Queue[i].Recipients = append(in.Queue[i].Recipients, mailbox.Recipient{Address: a})
				continue rcpt
			}
		}
		in.Queue = append(in.Queue, mailbox.Outgoing{Account: b.ann.ID, From: from, Domain: domain, Recipients: []mailbox.Recipient{{Address: a}}})
	}
	if _, err := b.store.Accept(b.t.Context(), in); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) outbox() []mailbox.Outgoing {
	b.t.Helper()
	rows, err := b.store.Outbox()
	if err != nil {
		b.t.Fatal(err)
	}
	return rows
}

// inbox gives the messages of ann's INBOX.
func (b *box) inbox() []string {
	b.t.Helper()
	var uids []mailbox.UID
	s, err := b.store.Snapshot(b.ann.ID, mailbox.InboxID)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range s.Entries {
		uids = append(uids, e.UID)
	}
	var texts []string
	for _, uid := range uids {
		m, err := b.store.OpenMessage(b.ann.ID, mailbox.InboxID, uid)
		if err != nil {
			b.t.Fatal(err)
		}
		all, err := io.ReadAll(m.Reader())
		if err != nil {
			b.t.Fatal(err)
		}
		texts = append(texts, string(all))
	}
	return texts
}

// journal gives the events, oldest first, each as "event to: reply".
func (b *box) journal() []string {
	b.t.Helper()
	var lines []string
	err := b.store.Journal(func(l mailbox.Line) bool {
		lines = append([]string{string(l.Event) + " " + strings.Join(l.To, " ") + ": " + l.Reply}, lines...)
		return true
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return lines
}

// sink is the remote server, of our own making, and the way to it.
type sink struct {
	t        *testing.T
	listener *pipeListener
	stop     func()

	mu      sync.Mutex
	begin   func() error          // at MAIL; nil takes it
	answer  func(to string) error // at RCPT; nil takes it
	noDSN   bool                  // it does not offer DSN
	data    func() error          // before the answer to DATA
	dials   []dial
	conns   []net.Conn // the server's ends
	got     []delivery
	open    int
	maxOpen int
}

type dial struct {
	at      time.Time
	address string
}

type delivery struct {
	from   string
	to     []string
	text   string
	wishes string // DSN parameters
}

func newSink(t *testing.T) *sink {
	s := &sink{t: t, listener: &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	server := smtp.NewServer(smtp.Options{
		Hostname:   func() string { return "mx.example.net" },
		NewSession: func(context.Context, *smtp.Conn) (smtp.Session, error) { return &session{sink: s}, nil },
	})
	go func() {
		defer close(done)
		if err := server.Serve(ctx, s.listener); err != nil {
			t.Error("sink:", err)
		}
	}()
	s.stop = func() {
		cancel()
		<-done
	}
	return s
}

func (s *sink) close() { s.stop() }

func (s *sink) set(f func(*sink)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

var noSuchUser = smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Text: "no such user"}

// refuses answers RCPT so, for these recipients, or for all.
func (s *sink) refuses(r smtp.Reply, to ...string) {
	s.set(func(s *sink) {
		s.answer = func(who string) error {
			if len(to) == 0 || slices.Contains(to, who) {
				return r
			}
			return nil
		}
	})
}

// hangUp closes all connections, without a word.
func (s *sink) hangUp() {
	s.set(func(s *sink) {
		for _, c := range s.conns {
			c.Close()
		}
		s.conns = nil
	})
}

func (s *sink) attempts() []dial {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]dial(nil), s.dials...)
}

func (s *sink) deliveries() []delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]delivery(nil), s.got...)
}

func (s *sink) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	s.set(func(s *sink) { s.dials = append(s.dials, dial{time.Now(), address}) })
	client, server := net.Pipe()
	select {
	case s.listener.conns <- server:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.conns = append(s.conns, server)
		if s.noDSN {
			return mute{client}, nil
		}
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// mute is a connection to a server that announces something else than DSN.
type mute struct{ net.Conn }

func (m mute) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	copy(p, bytes.ReplaceAll(p[:n], []byte("250-DSN\r\n"), []byte("250-XYZ\r\n")))
	return n, err
}

type pipeListener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "sink", Net: "unix"} }

type session struct {
	sink *sink
	d    delivery
}

func (s *session) Mail(_ context.Context, from smtp.Path, p smtp.MailParams) error {
	s.sink.mu.Lock()
	begin := s.sink.begin
	s.sink.mu.Unlock()
	if begin != nil {
		if err := begin(); err != nil {
			return err
		}
	}
	s.d = delivery{from: from.String(), wishes: strings.TrimSpace(p.EnvelopeID + " " + string(p.Return))}
	return nil
}

func (s *session) Rcpt(_ context.Context, to smtp.Path, p smtp.RcptParams) error {
	s.d.wishes = strings.TrimSpace(s.d.wishes + " " + p.Notify.String() + " " + p.Original)
	s.sink.mu.Lock()
	answer := s.sink.answer
	s.sink.mu.Unlock()
	if answer != nil {
		if err := answer(to.String()); err != nil {
			return err
		}
	}
	s.d.to = append(s.d.to, to.String())
	return nil
}

func (s *session) Data(_ context.Context, message io.Reader) (string, error) {
	s.sink.set(func(s *sink) { s.open++; s.maxOpen = max(s.maxOpen, s.open) })
	defer s.sink.set(func(s *sink) { s.open-- })
	b, err := io.ReadAll(message)
	if err != nil {
		return "", err
	}
	s.d.text = string(b)
	s.sink.mu.Lock()
	data := s.sink.data
	s.sink.mu.Unlock()
	if data != nil {
		if err := data(); err != nil {
			return "", err
		}
	}
	s.sink.set(func(sink *sink) { sink.got = append(sink.got, s.d) })
	return "sunk", nil
}

func (s *session) Reset(context.Context) {}
