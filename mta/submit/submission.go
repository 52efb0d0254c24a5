package submit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"roost/mailbox"
	"roost/mailbox/message"
	"roost/mta/dsn"
	"roost/mta/msgauth"
	"roost/mta/smtp"
)

// submission is one message on its way out.
type submission struct {
	*session
	raw      *mailbox.Spool // as it came
	header   message.Header
	author   string // the domain of From, in A-labels
	fields   []byte // the header as it goes on, with the empty line
	complete *mailbox.Spool
	eightBit bool
	accepted mailbox.Accepted
}

// run lists the steps.
func (m *submission) run(ctx context.Context, r io.Reader) error {
	if err := m.read(r); err != nil {
		return err
	}
	if err := m.checkFields(); err != nil {
		return err
	}
	if err := m.checkAuthor(); err != nil {
		return err
	}
	m.fields = completed(m.header, m.author)
	if err := m.sign(); err != nil {
		return err
	}
	return m.accept(ctx)
}

func (m *submission) close() {
	if m.raw != nil {
		m.raw.Close()
	}
	if m.complete != nil {
		m.complete.Close()
	}
}

// read spools the message and reads its header.
func (m *submission) read(r io.Reader) (err error) {
	m.raw = m.Store.NewSpool(0)
	seen := &eightBit{w: m.raw}
	// What claims to be our verdict is not: nobody checked it (RFC 8601 5).
	if _, err = io.Copy(seen, msgauth.NewScrubber(r, m.conn.Hostname())); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	m.eightBit = seen.found
	if m.header, err = message.ReadHeader(m.raw.Reader()); err != nil {
		return fmt.Errorf("read the header: %w", err)
	}
	return nil
}

// body is the message without its header.
func (m *submission) body() io.Reader {
	start := int64(len(m.header.Raw()))
	return io.NewSectionReader(m.raw, start, m.raw.Size()-start)
}

// sign puts the message together: trace, signatures, header, body. The trace
// field is left out of what is signed, as every host adds one.
func (m *submission) sign() error {
	var keys []msgauth.Key
	d, err := m.Store.Domain(m.author)
	if err != nil {
		return fmt.Errorf("keys of %s: %w", m.author, err)
	}
	for _, k := range d.Keys {
		keys = append(keys, msgauth.Key{Selector: k.Selector, PKCS8: k.Private})
	}
	signatures, err := m.keyring.Sign(io.MultiReader(strings.NewReader(string(m.fields)), m.body()), m.author, keys)
	if errors.Is(err, msgauth.ErrHeader) {
		return badHeader("it cannot be signed")
	}
	if err != nil {
		return err
	}
	m.complete = m.Store.NewSpool(0)
	for _, part := range [][]byte{m.received(), signatures, m.fields} {
		if _, err := m.complete.Write(part); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
	}
	if _, err := io.Copy(m.complete, m.body()); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// received hides where the sender sits (RFC 6409 does not ask for it, and
// strangers have no use for it), and the recipients if there are several.
func (m *submission) received() []byte {
	t := m.conn.Trace()
	t.ID = m.complete.ID().String()
	t.Peer = netip.Addr{}
	if len(m.to) == 1 && m.to[0].path.Domain != "" {
		t.For = m.to[0].path.String()
	}
	return t.AppendReceived(nil)
}

// accept stores the message for everybody, in one commit.
func (m *submission) accept(ctx context.Context) (err error) {
	l := m.line(mailbox.Submitted)
	in := mailbox.Intake{Body: m.complete, From: m.from.String(), Place: m.places()}
	remote := slices.DeleteFunc(slices.Clone(m.to), func(r recipient) bool { return r.domain == "" })
	switch {
	case len(remote) == 0:
	case m.Remote == Capture:
		p := mailbox.Placement{Account: m.account.ID, Name: Captured, Prefix: m.returnPath()}
		for _, r := range remote {
			p.Prefix = append(p.Prefix, "Delivered-To: "+r.path.String()+"\r\n"...)
			l.Detail = append(l.Detail, "captured: "+r.path.String())
		}
		in.Place = append(in.Place, p)
	default:
		in.Queue = m.rows(remote)
	}
	in.Journal = []mailbox.Line{l}
	if m.counted() {
		in.Sending = &mailbox.Sending{Account: m.account.ID, Device: m.device}
		for _, r := range remote {
			addr, err := mailbox.ParseAddress(r.path.String())
			if err != nil {
				return fmt.Errorf("recipient %s: %w", r.path, err)
			}
			in.Sending.To = append(in.Sending.To, addr)
		}
	}
	all := []mailbox.Intake{in}
	if notice, err := m.success(); err != nil {
		return err
	} else if notice != nil {
		defer notice.Body.Close()
		all = append(all, *notice)
	}
	accepted, err := m.Store.AcceptAll(ctx, all)
	if burst := (*mailbox.Burst)(nil); errors.As(err, &burst) {
		return m.freeze(ctx, burst)
	}
	if r := limited(err); r != err {
		return r
	}
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	m.accepted = accepted[0]
	return nil
}

// success writes what the sender wanted to be told of mailboxes here (RFC 3461
// 6.2): that the message is in them, which the same commit makes true. Nil:
// nothing.
func (m *submission) success() (*mailbox.Intake, error) {
	if m.from.IsNull() {
		return nil, nil
	}
	n := dsn.New(m.from, m.conn.Hostname())
	n.EnvelopeID, n.Arrival, n.Header = m.params.EnvelopeID, time.Now(), m.header
	for _, r := range m.to {
		if r.domain == "" && r.wish.Notify.Wants(smtp.NotifySuccess) {
			n.Recipients = append(n.Recipients, dsn.Recipient{Address: r.path, Original: r.wish.Original, Action: dsn.Delivered})
		}
	}
	if len(n.Recipients) == 0 {
		return nil, nil
	}
	spool := m.Store.NewSpool(0)
	if err := n.Write(spool); err != nil {
		spool.Close()
		return nil, fmt.Errorf("write the notification: %w", err)
	}
	return &mailbox.Intake{
		Body:  spool,
		Place: []mailbox.Placement{{Account: m.account.ID, Prefix: []byte("Return-Path: <>\r\n"), Uncounted: true}},
		Journal: []mailbox.Line{{
			Event: mailbox.Received, Account: m.account.ID, To: []string{m.from.String()}, Size: spool.Size(),
			Subject: n.Subject(), MessageID: n.MessageID(), Detail: []string{"a notification of our own, about " + m.complete.ID().String()},
		}},
	}, nil
}

// places are the copies for local accounts, one for each, whatever the number
// of its addresses.
func (m *submission) places() []mailbox.Placement {
	var places []mailbox.Placement
	for _, r := range m.to {
		to := r.path
		if to.Domain == "" {
			to.Domain = m.conn.Hostname()
		}
		for _, id := range r.local {
			if slices.ContainsFunc(places, func(p mailbox.Placement) bool { return p.Account == id }) {
				continue
			}
			places = append(places, mailbox.Placement{
				Account: id, Uncounted: r.role,
				Prefix: append(m.returnPath(), "Delivered-To: "+to.String()+"\r\n"...),
			})
		}
	}
	return places
}

func (m *submission) returnPath() []byte {
	return []byte("Return-Path: <" + m.from.String() + ">\r\n")
}

// rows are what the queue sends, one for each domain.
func (m *submission) rows(remote []recipient) []mailbox.Outgoing {
	var rows []mailbox.Outgoing
	at := map[string]int{}
	for _, r := range remote {
		n, ok := at[r.domain]
		if !ok {
			n = len(rows)
			at[r.domain] = n
			rows = append(rows, mailbox.Outgoing{
				Account: m.account.ID, From: m.from.String(), Domain: r.domain, EightBit: m.eightBit,
				// RFC 6531 3.1: an address or a header field beyond ASCII needs
				// it, and the client must have said so.
				UTF8:       m.params.UTF8 && (!m.from.ASCII() || !ascii(m.fields)),
				EnvelopeID: m.params.EnvelopeID, Return: string(m.params.Return),
				RequireTLS: m.params.RequireTLS, TLSOptional: !m.params.RequireTLS && m.header.TLSOptional(), // REQUIRETLS is the stronger word
			})
		}
		row := &rows[n]
		row.UTF8 = row.UTF8 || !r.path.ASCII()
		again := func(o mailbox.Recipient) bool { return o.Address == r.path.String() }
		if !slices.ContainsFunc(row.Recipients, again) {
			row.Recipients = append(row.Recipients, mailbox.Recipient{
				Address: r.path.String(), Notify: r.wish.Notify.String(), Original: r.wish.Original,
			})
		}
	}
	return rows
}

// line tells the journal of the message.
func (m *submission) line(e mailbox.Event) mailbox.Line {
	l := mailbox.Line{
		Event: e, Account: m.account.ID, From: m.from.String(), Remote: m.remote(),
		Subject: m.header.Text("Subject"), MessageID: m.header.Get("Message-ID"),
	}
	if m.raw != nil {
		l.Size = m.raw.Size()
	}
	if m.complete != nil {
		l.Size = m.complete.Size()
	}
	for _, r := range m.to {
		l.To = append(l.To, r.path.String())
	}
	return l
}

func ascii(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c >= 0x80 })
}

// eightBit notes whether what is written needs 8BITMIME (RFC 6152).
type eightBit struct {
	w     io.Writer
	found bool
}

func (e *eightBit) Write(p []byte) (int, error) {
	e.found = e.found || !ascii(p)
	return e.w.Write(p)
}
