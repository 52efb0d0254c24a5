package submit

import (
	"crypto/rand"
	"strings"
	"time"

	"roost/mailbox/message"
	"roost/mta/smtp"
)

func badHeader(why string) error {
	return smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 6, 0}, Text: "The message has a bad header: " + why}
}

// checkFields holds the header to being one: fields, nothing between them, and
// none twice that tells who wrote it (RFC 5322 3.6).
func (m *submission) checkFields() error {
	if m.header.Truncated() {
		return badHeader("it is too long")
	}
	size := 0
	for f := range m.header.Fields() {
		size += len(f.Raw)
	}
	// The empty line is the header's too, where there is one.
	if rest := string(m.header.Raw()[min(size, len(m.header.Raw())):]); rest != "" && rest != "\r\n" {
		return badHeader("it has a line that is no field")
	}
	for _, name := range []string{"From", "Sender", "Date", "Message-ID", "Subject"} {
		if len(m.header.All(name)) > 1 {
			return badHeader("it has two fields " + name)
		}
	}
	if m.header.Get("From") == "" {
		return badHeader("it has no From")
	}
	return nil
}

// checkAuthor holds every mailbox in From and Sender to being the account's
// own, and takes the author's domain from the first in From.
func (m *submission) checkAuthor() error {
	for _, name := range []string{"From", "Sender"} {
		value := m.header.Get(name)
		if value == "" {
			continue
		}
		list, err := message.ParseAddressList(value)
		if err != nil {
			return badHeader(name + " cannot be understood")
		}
		list = message.Mailboxes(list)
		if len(list) == 0 {
			return badHeader(name + " has no address")
		}
		for _, a := range list {
			p, _, err := m.own(name, smtp.Path{Local: a.Local, Domain: a.Domain})
			if err != nil {
				return err
			}
			if m.author == "" {
				m.author = p.Domain
			}
		}
	}
	return nil
}

// completed gives the header as it goes on: without the fields that are for
// nobody's eyes, with those that every message has (RFC 6409 8.1, 8.2), and the
// empty line at its end.
func completed(h message.Header, domain string) []byte {
	var b []byte
	if h.Get("Date") == "" {
		b = append(b, "Date: "+time.Now().Format(smtp.DateFormat)+"\r\n"...)
	}
	if h.Get("Message-ID") == "" {
		b = append(b, "Message-ID: <"+strings.ToLower(rand.Text())+"@"+domain+">\r\n"...)
	}
	for f := range h.Fields() {
		switch strings.ToLower(f.Name()) {
		case "bcc", "resent-bcc", "return-path":
			continue
		case "date", "message-id":
			if f.Value() == "" {
				continue
			}
		}
		b = append(b, f.Raw...)
	}
	return append(b, "\r\n"...)
}
