package inbound

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"roost/mailbox"
	"roost/mailbox/message"
	"roost/mta/dsn"
	"roost/mta/msgauth"
	"roost/mta/smtp"
)

// reception is one message on its way in.
type reception struct {
	*session
	spool    *mailbox.Spool
	ours     int64 // octets at the begin of the spool that we put there
	forged   int   // fields of ours that we had not written, which were left out
	header   message.Header
	verdict  *msgauth.Verdict // nil: nobody was asked
	author   mailbox.Address  // of From, if SPF or DKIM confirms it; else empty
	judged   map[mailbox.AccountID]judgement
	turned   bool     // all of them refuse it
	reasons  []string // of all of them, beside the verdict
	accepted mailbox.Accepted
}

// run lists the steps.
func (m *reception) run(ctx context.Context, r io.Reader) error {
	if err := m.read(r); err != nil {
		return err
	}
	if err := m.parse(); err != nil {
		return err
	}
	m.authenticate(ctx)
	if err := m.decide(ctx); err != nil {
		return err
	}
	return m.accept(ctx)
}

// read puts the message in the spool, behind our Received field (RFC 5321 4.4),
// without what pretends to be a verdict of ours (RFC 8601 5).
func (m *reception) read(r io.Reader) error {
	t := m.conn.Trace()
	t.ID = m.spool.ID().String()
	if len(m.to) == 1 {
		t.For = m.to[0].path.String()
	}
	if _, err := m.spool.Write(t.AppendReceived(nil)); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	m.ours = m.spool.Size()
	scrubber := msgauth.NewScrubber(r, m.conn.Hostname())
	if _, err := io.Copy(m.spool, scrubber); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	m.forged = scrubber.Removed()
	return nil
}

func (m *reception) parse() (err error) {
	if m.header, err = message.ReadHeader(m.spool.Reader()); err != nil {
		return fmt.Errorf("read the header: %w", err)
	}
	return nil
}

// maxVerify bounds the time in which the sender of a message is found out. The
// peer waits for the answer to its data for ten minutes (RFC 5321 4.5.3.2.6).
const maxVerify = 10 * time.Second

// authenticate finds out who really sent the message. It does not fail: what
// can't be found out is in the verdict too.
func (m *reception) authenticate(ctx context.Context) {
	if m.Resolver == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, maxVerify)
	defer cancel()
	size := m.spool.Size() - m.ours
	m.verdict = msgauth.Verify(ctx, m.Resolver, msgauth.Mail{
		Client: m.conn.Peer(), Hello: m.conn.Hello(), From: m.from.String(),
		Message: io.NewSectionReader(m.spool, m.ours, size), Size: size,
	})
}

// maxReceived is where a message that still travels is taken for a loop (RFC
// 5321 6.3: at least 100).
const maxReceived = 100

// decide judges the message for every account that it goes to. An error is a
// refusal for all of them, or trouble.
func (m *reception) decide(ctx context.Context) error {
	// Ours is one of them.
	if len(m.header.All("Received")) > maxReceived+1 {
		return errLoop
	}
	if alias, ok := m.circle(); ok {
		return smtp.Reply{Code: 554, Enhanced: smtp.Enhanced{5, 4, 6}, Text: "The message runs in a circle: it was forwarded for " + string(alias) + " before"}
	}
	senders := m.senders()
	if m.verdict != nil && len(senders) > 0 {
		// Confirmed is only what has one address in From.
		if d := m.verdict.Confirmed(); d != "" && d == senders[0].Domain() {
			m.author = senders[0]
		}
	}
	type inputs struct {
		account mailbox.AccountID
		known   mailbox.Reputation
		rule    *mailbox.Rule
	}
	seen := map[mailbox.AccountID]bool{}
	var cases []inputs
	var all []judgement
	for _, r := range m.to {
		for _, id := range judges(r.Route) {
			if seen[id] {
				continue
			}
			seen[id] = true
			rule, err := m.Store.RuleAbout(id, senders...)
			if err != nil {
				return fmt.Errorf("rules: %w", err)
			}
			var known mailbox.Reputation
			if m.author != "" {
				if known, err = m.Store.Reputation(id, m.author); err != nil {
					return fmt.Errorf("reputation: %w", err)
				}
			}
			cases, all = append(cases, inputs{id, known, rule}), append(all, judge(m.verdict, known, 0, rule, nil))
		}
	}
	if slices.ContainsFunc(all, func(j judgement) bool { return j.open }) {
		lists, err := m.blockLists(ctx)
		if err != nil {
			return err
		}
		for i, in := range cases {
			all[i] = judge(m.verdict, in.known, 0, in.rule, lists)
		}
	}
	err := together(all)
	m.turned = err != nil
	m.judged = map[mailbox.AccountID]judgement{}
	for i, in := range cases {
		m.judged[in.account] = all[i]
		for _, reason := range all[i].reasons {
			// The DMARC line is in the verdict's already.
			if line := string(all[i].decision) + ": " + reason; !strings.HasPrefix(reason, "DMARC: ") && !slices.Contains(m.reasons, line) {
				m.reasons = append(m.reasons, line)
			}
		}
	}
	return err
}

// known says whether an account that gets the message knows its author.
func (m *reception) known() bool {
	for _, j := range m.judged {
		if j.known {
			return true
		}
	}
	return false
}

// judges are the accounts whose rules decide over a recipient's mail: 0, whose are
// those for all, for what goes elsewhere.
func judges(r mailbox.Route) []mailbox.AccountID {
	var ids []mailbox.AccountID
	for _, l := range r.Local {
		ids = append(ids, l.Account.ID)
	}
	if len(r.Outside) > 0 {
		ids = append(ids, 0)
	}
	return ids
}

// maxSenders bounds the addresses in From that rules are looked up for.
const maxSenders = 8

// senders are the addresses that a rule may be about: those in From, which a
// reader sees, then the reverse-path.
func (m *reception) senders() []mailbox.Address {
	var all []mailbox.Address
	for _, value := range m.header.All("From") {
		list, err := message.ParseAddressList(value)
		if err != nil {
			continue
		}
		for _, a := range message.Mailboxes(list) {
			if addr, err := mailbox.ParseAddress(a.Local + "@" + a.Domain); err == nil && len(all) < maxSenders {
				all = append(all, addr)
			}
		}
	}
	if addr, err := mailbox.ParseAddress(m.from.String()); err == nil {
		all = append(all, addr)
	}
	return all
}

// accept stores the message for every account that it goes to, once each.
func (m *reception) accept(ctx context.Context) (err error) {
	in := mailbox.Intake{Body: m.spool, From: m.from.String(), Author: m.author, Journal: []mailbox.Line{m.line(mailbox.Received)}}
	place := map[mailbox.AccountID]int{}
	for _, r := range m.to {
		for _, l := range r.Local {
			id := l.Account.ID
			n, ok := place[id]
			if !ok {
				n = len(in.Place)
				place[id] = n
				in.Place = append(in.Place, mailbox.Placement{Account: id, Prefix: []byte("Return-Path: <" + m.from.String() + ">\r\n")})
			}
			in.Place[n].Uncounted = in.Place[n].Uncounted || r.Role
			field := []byte("Delivered-To: " + deliveredTo(r.path, m.conn.Hostname()) + "\r\n")
			if !bytes.Contains(in.Place[n].Prefix, field) {
				in.Place[n].Prefix = append(in.Place[n].Prefix, field...)
			}
		}
	}
	var results []byte
	if m.verdict != nil {
		results = []byte(m.verdict.Header(m.conn.Hostname()))
	}
	for i := range in.Place {
		p := &in.Place[i]
		j := m.judged[p.Account]
		p.Prefix = append(append(p.Prefix, results...), j.header()...)
		if j.decision == junk {
			p.Use = mailbox.UseJunk
		}
	}
	if in.Queue, err = m.forward(); err != nil {
		return err
	}
	all := []mailbox.Intake{in}
	notice, err := m.success()
	if err != nil {
		return err
	}
	if notice != nil {
		defer notice.Body.Close()
		all = append(all, *notice)
	}
	accepted, err := m.Store.AcceptAll(ctx, all)
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	m.accepted = accepted[0]
	return nil
}

// success writes what the sender wanted to be told: that the message is in the
// mailboxes here (RFC 3461 6.2), which the same commit makes true. It goes into
// the outbox. Nil: nothing. A sender that SPF does not confirm is told nothing,
// as a forger would have others told.
func (m *reception) success() (*mailbox.Intake, error) {
	if m.from.IsNull() || m.verdict == nil || m.verdict.MailFrom.Result != msgauth.Pass {
		return nil, nil
	}
	n := dsn.New(m.from, m.conn.Hostname())
	n.Stranger, n.EnvelopeID, n.Arrival, n.Header = true, m.params.EnvelopeID, time.Now(), m.header
	for _, r := range m.to {
		if len(r.Local) > 0 && r.wish.Notify.Wants(smtp.NotifySuccess) {
			n.Recipients = append(n.Recipients, dsn.Recipient{Address: r.path, Original: r.wish.Original, Action: dsn.Delivered})
		}
	}
	to, err := mailbox.ParseAddress(m.from.String())
	if len(n.Recipients) == 0 || err != nil {
		return nil, nil
	}
	spool := m.Store.NewSpool(0)
	if err := n.Write(spool); err != nil {
		spool.Close()
		return nil, fmt.Errorf("write the notification: %w", err)
	}
	return &mailbox.Intake{Body: spool, Queue: []mailbox.Outgoing{{
		Domain: to.Domain(), Recipients: []mailbox.Recipient{{Address: m.from.String()}},
		EightBit: true, UTF8: !m.from.ASCII() || n.International(),
		// RFC 8689 5: what is told of such a message is as secret as it.
		RequireTLS: m.params.RequireTLS,
	}}}, nil
}

// deliveredTo gives a recipient as an addr-spec, also that which has no domain.
func deliveredTo(p smtp.Path, hostname string) string {
	if p.Domain == "" {
		p.Domain = hostname
	}
	return p.String()
}

// line tells of the message, once its header was read.
func (m *reception) line(e mailbox.Event) mailbox.Line {
	l := m.session.line(e)
	l.Size = m.spool.Size()
	l.Subject = m.header.Text("Subject")
	l.MessageID = m.header.Get("Message-ID")
	if from := m.senders(); len(from) > 0 {
		l.Author = string(from[0])
	}
	if m.verdict != nil {
		l.Detail = append(l.Detail, m.verdict.Lines()...)
	}
	l.Detail = append(l.Detail, m.reasons...)
	for id, j := range m.judged {
		if id != 0 && j.decision == junk && l.Judged == "" {
			l.Detail = append(l.Detail, "Put into Junk")
			l.Judged = string(junk)
		}
	}
	if e == mailbox.Refused && m.turned {
		l.Judged = string(refused)
	}
	for _, r := range m.to {
		for _, o := range r.Outside {
			if e == mailbox.Received {
				l.Detail = append(l.Detail, "Forwarded to "+string(o.To))
			}
		}
	}
	if m.forged > 0 {
		l.Detail = append(l.Detail, fmt.Sprintf("Taken out: %d Authentication-Results or Roost-Verdict in our name, which we had not written", m.forged))
	}
	return l
}
