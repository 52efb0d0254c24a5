package queue

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"roost/mailbox"
	"roost/mailbox/message"
	"roost/mta/smtp"
)

const (
	// maxReturned bounds the header fields that a notification gives back.
	maxReturned = 64 << 10

	// maxReply bounds what a server said, where it is quoted.
	maxReply = 700

	// softLine is where a field is folded (RFC 5322 section 2.1.1).
	softLine = 76
)

// notice writes the notification that tells the sender of a row of failures,
// ready to go into the account's INBOX. The caller closes its Body.
func (r *Runner) notice(o *mailbox.Outgoing, failed []fate) (*mailbox.Intake, error) {
	n := &notification{
		row: o, failed: failed, now: time.Now().UTC(), host: r.Hostname(),
		// Longer than anybody guesses who could get a line of theirs into it.
		token: strings.ToLower(rand.Text()),
	}
	// A body that cannot be read must not keep the sender from being told.
	if body, err := r.Store.OutgoingBody(o); err == nil {
		if h, err := message.ReadHeader(body); err == nil {
			n.original = h
		}
	}
	spool := r.Store.NewSpool(0)
	if _, err := spool.Write(n.render()); err != nil {
		spool.Close()
		return nil, fmt.Errorf("write the notification: %w", err)
	}
	return &mailbox.Intake{
		Body: spool,
		Place: []mailbox.Placement{{
			Account: o.Account,
			// RFC 5321 section 4.4: final delivery puts the reverse-path in front.
			Prefix:    []byte("Return-Path: <>\r\n"),
			Uncounted: true,
		}},
		Journal: []mailbox.Line{{
			Event: mailbox.Received, Account: o.Account, To: []string{o.From}, Size: spool.Size(),
			Subject: n.subject(), MessageID: n.messageID(), Detail: []string{"a notification of our own, about " + o.Body.String()},
		}},
	}, nil
}

// notification is one message about failures (RFC 3464, RFC 6533 where an
// address is beyond ASCII).
type notification struct {
	row      *mailbox.Outgoing
	failed   []fate
	original message.Header
	now      time.Time
	host     string
	token    string
	b        bytes.Buffer
}

func (n *notification) render() []byte {
	n.header()
	n.part("text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit")
	n.explain()
	global := n.international()
	if global {
		n.part("message/global-delivery-status", "Content-Transfer-Encoding: 8bit")
	} else {
		n.part("message/delivery-status")
	}
	n.status()
	if raw := n.returned(); len(raw) > 0 {
		kind := "text/rfc822-headers"
		if global {
			kind = "message/global-headers"
		}
		if ascii(string(raw)) {
			n.part(kind)
		} else {
			n.part(kind, "Content-Transfer-Encoding: 8bit")
		}
		n.b.Write(raw)
	}
	n.line("")
	n.line("--%s--", n.token)
	return n.b.Bytes()
}

func (n *notification) header() {
	from := path(n.row.From)
	n.field("From", "Mail Delivery <"+smtp.Path{Local: "postmaster", Domain: from.Domain}.String()+">")
	n.field("To", "<"+from.String()+">")
	n.field("Subject", n.subject())
	n.field("Date", n.now.Format(time.RFC1123Z))
	n.field("Message-ID", n.messageID())
	if id := n.original.Get("Message-ID"); id != "" && len(id) < maxReply {
		n.field("In-Reply-To", id)
		n.field("References", id)
	}
	// RFC 3834 section 5: nobody is to answer this by machine.
	n.field("Auto-Submitted", "auto-replied")
	n.field("MIME-Version", "1.0")
	n.line("Content-Type: multipart/report; report-type=delivery-status;")
	n.line(" boundary=\"%s\"", n.token)
}

func (n *notification) messageID() string { return "<" + n.token + "@" + n.host + ">" }

func (n *notification) subject() string {
	s := "Not delivered"
	// As it was written, encoded words and all.
	if original := n.original.Get("Subject"); original != "" && len(original) < maxReply && utf8.ValidString(original) {
		s += ": " + original
	}
	return s
}

// explain is the part for people.
func (n *notification) explain() {
	n.line("Your message could not be delivered to:")
	for _, f := range n.failed {
		n.line("")
		n.line("  %s", f.address)
		switch {
		case f.Host != "":
			n.line("    %s answered: %s", f.Host, plain(f.Reply.Error()))
		default:
			n.line("    %s", plain(f.Reply.Error()))
		}
		if f.expired {
			n.line("    It was tried for %d days.", int(maxAge.Hours())/24)
		}
	}
	n.line("")
	n.line("It will not be tried again. What follows is the same for programs, and the")
	n.line("header of your message, so that you know which one it was.")
}

// status is the part for programs (RFC 3464 section 2).
func (n *notification) status() {
	kind := "rfc822"
	if n.international() {
		kind = "utf-8" // RFC 6533 section 3
	}
	n.field("Reporting-MTA", "dns; "+n.host)
	n.field("Arrival-Date", n.row.Created.UTC().Format(time.RFC1123Z))
	for _, f := range n.failed {
		n.line("")
		n.field("Final-Recipient", kind+"; "+f.To.String())
		n.field("Action", "failed")
		n.field("Status", status(f))
		if f.Host != "" {
			n.field("Remote-MTA", "dns; "+f.Host)
			n.field("Diagnostic-Code", "smtp; "+plain(f.Reply.Error()))
		}
		n.field("Last-Attempt-Date", n.row.Attempted.UTC().Format(time.RFC1123Z))
	}
}

// status is the enhanced code of a failure for good (RFC 3463 section 2): of
// the class 5, whatever class the last answer had.
func status(f fate) string {
	switch e := f.Reply.Enhanced; {
	case f.expired:
		return smtp.Enhanced{5, 4, 7}.String()
	case e[0] == 5:
		return e.String()
	}
	return smtp.Enhanced{5, 0, 0}.String()
}

// returned is the header of the message, cut at a field where it is too long.
func (n *notification) returned() []byte {
	var b []byte
	for f := range n.original.Fields() {
		if len(b)+len(f.Raw) > maxReturned {
			break
		}
		b = append(b, f.Raw...)
	}
	return b
}

func (n *notification) international() bool {
	for _, f := range n.failed {
		if !f.To.ASCII() {
			return true
		}
	}
	return false
}

// part begins a body part; its empty line ends what stands before.
func (n *notification) part(kind string, fields ...string) {
	n.line("")
	n.line("--%s", n.token)
	n.line("Content-Type: %s", kind)
	for _, f := range fields {
		n.line("%s", f)
	}
	n.line("")
}

func (n *notification) line(format string, args ...any) {
	fmt.Fprintf(&n.b, format+"\r\n", args...)
}

// field writes a field, folded between words.
func (n *notification) field(name, value string) {
	line := name + ":"
	for word := range strings.FieldsSeq(value) {
		if len(line)+len(" ")+len(word) > softLine && line != name+":" {
			n.line("%s", line)
			line = ""
		}
		line += " " + word
	}
	n.line("%s", line)
}

// plain makes what a stranger said fit to be quoted on one line.
func plain(s string) string {
	if len(s) > maxReply {
		s = s[:maxReply] + "..."
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c >= 0x80 })
}
