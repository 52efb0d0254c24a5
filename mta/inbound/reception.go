package inbound

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"roost/mailbox"
	"roost/mailbox/message"
	"roost/mta/smtp"
)

// reception is one message on its way in.
type reception struct {
	*session
	spool    *mailbox.Spool
	header   message.Header
	accepted mailbox.Accepted
}

// run lists the steps. Who the message is really from will be established
// between parse and judge, and be what judge goes by.
func (m *reception) run(ctx context.Context, r io.Reader) error {
	if err := m.read(r); err != nil {
		return err
	}
	if err := m.parse(); err != nil {
		return err
	}
	if err := judge(m.header); err != nil {
		return err
	}
	return m.accept(ctx)
}

// read puts the message in the spool, behind our Received field (RFC 5321 4.4).
func (m *reception) read(r io.Reader) error {
	t := m.conn.Trace()
	t.ID = m.spool.ID().String()
	if len(m.to) == 1 {
		t.For = m.to[0].path.String()
	}
	if _, err := m.spool.Write(t.AppendReceived(nil)); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if _, err := io.Copy(m.spool, r); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

func (m *reception) parse() (err error) {
	if m.header, err = message.ReadHeader(m.spool.Reader()); err != nil {
		return fmt.Errorf("read the header: %w", err)
	}
	return nil
}

// maxReceived is where a message that still travels is taken for a loop (RFC
// 5321 6.3: at least 100).
const maxReceived = 100

// judge decides what becomes of a message; nil is that it is accepted.
func judge(h message.Header) error {
	// Ours is one of them.
	if len(h.All("Received")) > maxReceived+1 {
		return errLoop
	}
	return nil
}

// accept stores the message for every account that it goes to, once each.
func (m *reception) accept(ctx context.Context) (err error) {
	in := mailbox.Intake{Body: m.spool, From: m.from.String(), Journal: []mailbox.Line{m.line(mailbox.Received)}}
	place := map[mailbox.AccountID]int{}
	for _, r := range m.to {
		for _, id := range r.accounts {
			n, ok := place[id]
			if !ok {
				n = len(in.Place)
				place[id] = n
				in.Place = append(in.Place, mailbox.Placement{Account: id, Prefix: []byte("Return-Path: <" + m.from.String() + ">\r\n")})
			}
			field := []byte("Delivered-To: " + deliveredTo(r.path, m.conn.Hostname()) + "\r\n")
			if !bytes.Contains(in.Place[n].Prefix, field) {
				in.Place[n].Prefix = append(in.Place[n].Prefix, field...)
			}
		}
	}
	if m.accepted, err = m.Store.Accept(ctx, in); err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	return nil
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
	l.Subject = cut(m.header.Text("Subject"))
	l.MessageID = cut(m.header.Get("Message-ID"))
	return l
}

// maxJournalText bounds a header field's text in the journal, in octets.
const maxJournalText = 300

func cut(s string) string {
	if len(s) <= maxJournalText {
		return s
	}
	n := maxJournalText
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}
