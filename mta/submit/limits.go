package submit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"roost/mailbox"
	"roost/mta/smtp"
)

// submitter is who sends, as the store counts.
func (s *session) submitter() mailbox.Submitter {
	return mailbox.Submitter{Account: s.account, Device: s.device, Only: s.only}
}

// counted says whether mail is held against the limits of sending. What never leaves
// the machine harms nobody.
func (s *session) counted() bool { return s.Remote != Capture }

// mayMail tells before a message comes whether one more may be sent. Its reply is
// 451, as RFC 5321 4.3.2 has no 450 for MAIL.
func (s *session) mayMail() error {
	if !s.counted() {
		return nil
	}
	_, err := s.Store.MaySend(s.submitter(), "", 0)
	err = limited(err)
	if r, ok := err.(smtp.Reply); ok && r.Code == 450 {
		r.Code = 451
		return r
	}
	return err
}

// outside adds the recipients in other domains that a forward-path leads to, all
// or none, as far as the account may send.
func (s *session) outside(to []recipient) error {
	strangers := s.strangers
	for i, r := range to {
		if !s.counted() {
			break
		}
		addr, err := mailbox.ParseAddress(r.path.String())
		if err != nil {
			return errBadDomain
		}
		same := func(have recipient) bool { return have.path == r.path }
		again := slices.ContainsFunc(s.to, same) || slices.ContainsFunc(to[:i], same)
		stranger, err := s.Store.MaySend(s.submitter(), addr, strangers)
		if err != nil && !again {
			return limited(err)
		}
		if stranger && !again {
			strangers++
		}
	}
	s.to, s.strangers = append(s.to, to...), strangers
	return nil
}

// limited gives the reply to who would send too much. RFC 5321 4.2.3 has 450 for
// what is blocked for now for reasons of policy, and RFC 3463 X.7.1 for what one may
// not send.
func limited(err error) error {
	switch {
	case errors.Is(err, mailbox.ErrSendLimit):
		return smtp.Reply{Code: 450, Enhanced: smtp.Enhanced{4, 7, 1}, Text: err.Error()}
	case errors.Is(err, mailbox.ErrFrozen):
		return smtp.Reply{Code: 450, Enhanced: smtp.Enhanced{4, 7, 1}, Text: sentence(err)}
	case errors.Is(err, mailbox.ErrLogin):
		return smtp.Reply{Code: 421, Enhanced: smtp.Enhanced{4, 7, 0}, Text: sentence(err)}
	}
	return err
}

func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

// freeze keeps the device from sending, and tells its owner. It gives the reply to
// the message that was one too many.
func (m *submission) freeze(ctx context.Context, b *mailbox.Burst) error {
	name, err := m.deviceName(m.caller)
	if err != nil {
		return err
	}
	n := notice{to: m.account.Address, host: m.conn.Hostname(), device: name, id: m.device, why: b.Error(), peer: m.remote(), token: strings.ToLower(rand.Text()), now: time.Now()}
	spool := m.Store.NewSpool(0)
	defer spool.Close()
	if _, err := spool.Write(n.message()); err != nil {
		return fmt.Errorf("write the notice: %w", err)
	}
	did, err := m.Store.Freeze(ctx, m.submitter(), b, &mailbox.Intake{
		Body:  spool,
		Place: []mailbox.Placement{{Account: m.account.ID, Prefix: []byte("Return-Path: <>\r\n"), Uncounted: true}},
		Journal: []mailbox.Line{{
			Event: mailbox.Received, Account: m.account.ID, To: []string{string(m.account.Address)}, Size: spool.Size(),
			Subject: n.subject(), MessageID: n.messageID(), Detail: []string{"a notice of our own: sending is frozen for " + name + ", " + b.Error()},
		}},
	})
	if err != nil {
		return fmt.Errorf("freeze a device: %w", err)
	}
	if did {
		m.Log.Warn("sending is frozen for a device", "account", m.account.Address, "device", name, "why", b.Error())
	}
	return smtp.Reply{Code: 450, Enhanced: smtp.Enhanced{4, 7, 1}, Text: "Sending is frozen for this device now: " + b.Error() + ". Its owner has a message in INBOX that tells how to go on"}
}

// deviceName is how the owner calls the password that was used.
func (s *session) deviceName(who caller) (string, error) {
	if who.device == "" {
		return "the account's own password", nil
	}
	all, err := s.Store.Devices(who.account.Address)
	for _, d := range all {
		if d.ID == who.device {
			return d.Name, err
		}
	}
	return who.device, err
}

// notice tells the owner of a device that it may not send any more.
type notice struct {
	to                    mailbox.Address
	host                  string
	device, id, why, peer string
	token                 string
	now                   time.Time
}

func (n *notice) subject() string   { return "Sending is frozen for one of your devices" }
func (n *notice) messageID() string { return "<" + n.token + "@" + n.host + ">" }

// message is the whole notice. Auto-Submitted (RFC 3834 section 5) keeps machines
// from answering.
func (n *notice) message() []byte {
	fields := []string{
		"From: Roost <postmaster@" + n.to.Domain() + ">",
		"To: <" + string(n.to) + ">",
		"Subject: " + n.subject(),
		"Date: " + n.now.Format(smtp.DateFormat),
		"Message-ID: " + n.messageID(),
		"Auto-Submitted: auto-generated",
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=utf-8",
		"Content-Transfer-Encoding: 8bit",
		"",
	}
	take, unfreeze := "Take its password away in the panel, on your own page, or with\n\n    roost device remove "+string(n.to)+" "+n.id, "roost device unfreeze "+string(n.to)+" "+n.id
	if n.id == "" {
		take, unfreeze = "Give the account another password: that also ends this. In the panel, on\nyour own page, or with\n\n    roost account password "+string(n.to), "roost device unfreeze "+string(n.to)
	}
	text := `A program that sends as ` + string(n.to) + ` suddenly wanted to send
much more than it ever did: ` + n.why + `.

    Password:  ` + n.device + `
    From:      ` + n.peer + `
    Time:      ` + n.now.UTC().Format("2 January 2006, 15:04 UTC") + `

Somebody may have got hold of the password. What this program sends is not
taken any more until you say so. Reading goes on, and your other devices send
as before.

Was it not you? ` + take + `

Was it you? Press "Let it send again" beside the device in the panel, or

    ` + unfreeze + `

What it wanted to send counts as usual then. Nothing is lost: a mail program
keeps what was not taken, and tries again or tells you.
`
	return []byte(strings.Join(fields, "\r\n") + "\r\n" + strings.ReplaceAll(text, "\n", "\r\n"))
}
