package dsn

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"roost/mailbox/message"
	"roost/mta/smtp"
)

const (
	// maxReturned bounds the header fields that a report gives back, and
	// maxFull a whole message.
	maxReturned = 64 << 10
	maxFull     = 10 << 20

	// maxReply bounds what a server said, where it is quoted.
	maxReply = 700

	// softLine is where a field is folded (RFC 5322 section 2.1.1).
	softLine = 76
)

// Action is what became of a recipient (RFC 3464 section 2.3.3), the gravest
// first.
type Action int

// The actions.
const (
	Failed    Action = iota
	Delayed          // and tried again
	Delivered        // to a mailbox here
	Relayed          // to a server that tells nothing more
)

// String gives the action as the report has it.
func (a Action) String() string { return [...]string{"failed", "delayed", "delivered", "relayed"}[a] }

// Recipient is one recipient's fate.
type Recipient struct {
	Address  smtp.Path
	Original string // ORCPT, decoded; "" when the sender gave none
	Action   Action
	Reply    smtp.Reply // the last answer, or what stands for it
	Host     string     // whose answer it was; "" when nobody's but ours
	Last     time.Time  // of the last attempt; zero for a mailbox here
	Days     int        // given up only because it was tried so long; 0 when not
	Until    time.Time  // how long a delayed one will be tried
}

// Report is one notification. It is written by Write, or by its parts.
type Report struct {
	To         smtp.Path // the reverse-path of the message; never the null one
	EnvelopeID string    // ENVID, decoded; "" when the sender gave none
	Stranger   bool      // To is not one of ours
	Host       string    // our name
	Arrival    time.Time // of the message
	Recipients []Recipient
	Header     message.Header // of the message, given back

	// Full is the whole message, for a sender who wants it back (RET=FULL):
	// with a failure only, and up to ten megabytes. Nil: the header.
	Full     io.Reader
	FullSize int64
	EightBit bool // Full has octets above 127

	now   time.Time
	token string
	b     bytes.Buffer
}

// New begins a report, whose time is now.
func New(to smtp.Path, host string) *Report {
	// The token is longer than anybody guesses who could get a line of theirs
	// into the report.
	return &Report{To: to, Host: host, now: time.Now().UTC(), token: strings.ToLower(rand.Text())}
}

// Write writes the message, its lines ended by CRLF.
func (n *Report) Write(w io.Writer) error {
	n.b.Reset()
	n.header()
	n.part("text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit")
	n.explain()
	global := n.International()
	if global {
		n.part("message/global-delivery-status", "Content-Transfer-Encoding: 8bit")
	} else {
		n.part("message/delivery-status")
	}
	n.status()
	if n.full() {
		kind := "message/rfc822"
		if global {
			kind = "message/global"
		}
		if n.EightBit || global {
			n.part(kind, "Content-Transfer-Encoding: 8bit")
		} else {
			n.part(kind)
		}
		if err := n.flush(w); err != nil {
			return err
		}
		if _, err := io.Copy(w, n.Full); err != nil {
			return fmt.Errorf("give back the message: %w", err)
		}
	} else if raw := n.returned(); len(raw) > 0 {
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
	return n.flush(w)
}

func (n *Report) flush(w io.Writer) error {
	_, err := n.b.WriteTo(w)
	return err
}

// worst is the gravest fate in the report, which its subject names.
func (n *Report) worst() Action {
	a := Relayed
	for _, r := range n.Recipients {
		a = min(a, r.Action)
	}
	return a
}

// full tells whether the whole message is given back.
func (n *Report) full() bool {
	return n.Full != nil && n.FullSize <= maxFull && n.worst() == Failed
}

func (n *Report) header() {
	n.field("From", "Mail Delivery <"+smtp.Path{Local: "postmaster", Domain: n.domain()}.String()+">")
	n.field("To", "<"+n.To.String()+">")
	n.field("Subject", n.Subject())
	n.field("Date", n.now.Format(time.RFC1123Z))
	n.field("Message-ID", n.MessageID())
	if id := n.Header.Get("Message-ID"); id != "" && len(id) < maxReply {
		n.field("In-Reply-To", id)
		n.field("References", id)
	}
	// RFC 3834 section 5: nobody is to answer this by machine.
	n.field("Auto-Submitted", "auto-replied")
	n.field("MIME-Version", "1.0")
	n.line("Content-Type: multipart/report; report-type=delivery-status;")
	n.line(" boundary=\"%s\"", n.token)
}

// domain is the one that the report comes from: the sender's own, if it is
// told of mail that it sent through us.
func (n *Report) domain() string {
	if n.Stranger {
		return n.Host
	}
	return n.To.Domain
}

// MessageID is the report's own.
func (n *Report) MessageID() string { return "<" + n.token + "@" + n.Host + ">" }

// Subject is the report's own.
func (n *Report) Subject() string {
	s := [...]string{"Not delivered", "Not delivered yet", "Delivered", "Handed on"}[n.worst()]
	// As it was written, encoded words and all.
	if original := n.Header.Get("Subject"); original != "" && len(original) < maxReply && utf8.ValidString(original) {
		s += ": " + original
	}
	return s
}

// explain is the part for people.
func (n *Report) explain() {
	follows := "What follows is the same for programs, and the header of your message, so\r\nthat you know which one it was."
	if n.full() {
		follows = "What follows is the same for programs, and your message as it was."
	}
	for a, words := range [...]struct{ before, after string }{
		Failed:    {"Your message could not be delivered to:", "It will not be tried again."},
		Delayed:   {"Your message could not be delivered yet to:", "It will be tried again, and you need not do anything."},
		Delivered: {"Your message was delivered to:", ""},
		Relayed:   {"Your message was handed on to a server that tells nothing more, for:", ""},
	} {
		found := false
		for _, r := range n.Recipients {
			if r.Action != Action(a) {
				continue
			}
			if !found {
				n.line("%s", words.before)
				found = true
			}
			n.person(r)
		}
		if found {
			n.line("")
			if words.after != "" {
				n.line("%s", words.after)
				n.line("")
			}
		}
	}
	n.line("%s", follows)
}

func (n *Report) person(r Recipient) {
	n.line("")
	n.line("  %s", printable(r.Address.String()))
	switch said := Plain(r.Reply.Error()); {
	case r.Action == Delivered:
	case r.Host != "":
		n.line("    %s answered: %s", r.Host, said)
	default:
		n.line("    %s", said)
	}
	if r.Days > 0 {
		n.line("    It was tried for %d days.", r.Days)
	}
	if !r.Until.IsZero() {
		n.line("    It will be tried until %s.", r.Until.UTC().Format(time.RFC1123Z))
	}
}

// status is the part for programs (RFC 3464 section 2).
func (n *Report) status() {
	kind := "rfc822"
	if n.International() {
		kind = "utf-8" // RFC 6533 section 3
	}
	if n.EnvelopeID != "" {
		n.field("Original-Envelope-Id", Plain(n.EnvelopeID))
	}
	n.field("Reporting-MTA", "dns; "+n.Host)
	n.field("Arrival-Date", n.Arrival.UTC().Format(time.RFC1123Z))
	for _, r := range n.Recipients {
		n.line("")
		if t, address, ok := strings.Cut(r.Original, ";"); ok {
			if !n.International() {
				address = Plain(address)
			}
			n.field("Original-Recipient", Plain(t)+"; "+printable(address))
		}
		n.field("Final-Recipient", kind+"; "+r.Address.String())
		n.field("Action", r.Action.String())
		n.field("Status", r.status())
		if r.Host != "" {
			n.field("Remote-MTA", "dns; "+r.Host)
			n.field("Diagnostic-Code", "smtp; "+Plain(r.Reply.Error()))
		}
		if !r.Last.IsZero() {
			n.field("Last-Attempt-Date", r.Last.UTC().Format(time.RFC1123Z))
		}
		if !r.Until.IsZero() {
			n.field("Will-Retry-Until", r.Until.UTC().Format(time.RFC1123Z))
		}
	}
}

// status is the enhanced code of a fate (RFC 3463 section 2), of its class,
// whatever class the last answer had.
func (r *Recipient) status() string {
	class := [...]int{5, 4, 2, 2}[r.Action]
	switch e := r.Reply.Enhanced; {
	case r.Days > 0:
		return smtp.Enhanced{5, 4, 7}.String()
	case e[0] == class:
		return e.String()
	case r.Action == Delivered:
		return smtp.Enhanced{2, 1, 5}.String()
	default:
		return smtp.Enhanced{class, 0, 0}.String()
	}
}

// returned is the header of the message, cut at a field where it is too long.
func (n *Report) returned() []byte {
	var b []byte
	for f := range n.Header.Fields() {
		if len(b)+len(f.Raw) > maxReturned {
			break
		}
		b = append(b, f.Raw...)
	}
	return b
}

// International tells a report that is not a message without SMTPUTF8 (RFC
// 6533 section 3).
func (n *Report) International() bool {
	for _, r := range n.Recipients {
		if !r.Address.ASCII() {
			return true
		}
	}
	return false
}

// part begins a body part; its empty line ends what stands before.
func (n *Report) part(kind string, fields ...string) {
	n.line("")
	n.line("--%s", n.token)
	n.line("Content-Type: %s", kind)
	for _, f := range fields {
		n.line("%s", f)
	}
	n.line("")
}

func (n *Report) line(format string, args ...any) {
	fmt.Fprintf(&n.b, format+"\r\n", args...)
}

// field writes a field, folded between words.
func (n *Report) field(name, value string) {
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

// Plain makes what a stranger said fit to be quoted on one line, of 700 octets at
// the most.
func Plain(s string) string {
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

// printable is Plain that lets UTF-8 be.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c >= 0x80 })
}
