package inbound_test

import (
	"slices"
	"strings"
	"testing"

	"roost/mailbox"
	"roost/mta/dns/dnstest"
)

const zone = `
10.2.0.192.in-addr.arpa. PTR mail.example.net.
mail.example.net. A 192.0.2.10
example.net. TXT "v=spf1 a:mail.example.net -all"
_dmarc.example.net. TXT "v=DMARC1; p=reject"
_dmarc.mild.example. TXT "v=DMARC1; p=quarantine"
`

// deliver sends one message to ann and bob and wants a reply to its data.
func (p *post) deliver(from, message, reply string) {
	p.t.Helper()
	p.player().Play(p.t, "S: 220 ...\nC: HELO mail.example.net\nS: 250 ...\nC: MAIL FROM:<"+from+">\nS: 250 ...\n"+
		"C: RCPT TO:<ann@example.org>\nS: 250 ...\nC: RCPT TO:<bob@example.org>\nS: 250 ...\nC: DATA\nS: 354 ...\n"+
		"C: "+strings.ReplaceAll(message, "\n", "\nC: ")+"\nC: .\nS: "+reply+"\nC: QUIT\nS: 221 ...\nEOF")
}

// TestVerdictIsWritten holds where the verdict stands: above the message, below
// the fields of the delivery, in every copy and in the journal.
func TestVerdictIsWritten(t *testing.T) {
	p := newPostFrom(t, dnstest.NewMemory(t, zone).Resolver(), "192.0.2.10")
	p.deliver("joe@example.net", "Authentication-Results: mx.example.org; dkim=pass header.d=bank.example\nRoost-Verdict: accepted;\n\tDMARC: really from bank.example\n"+
		"Authentication-Results: other.example; none\nFrom: Joe <joe@example.net>\nSubject: Hi\n\nAuthentication-Results: mx.example.org; body", "250 2.0.0 ...")
	for _, who := range []mailbox.Address{"ann@example.org", "bob@example.org"} {
		all := p.inbox(who)
		if len(all) != 1 {
			t.Fatalf("%s has %d messages", who, len(all))
		}
		want := "Return-Path: <joe@example.net>\r\n" +
			"Delivered-To: " + string(who) + "\r\n" +
			"Authentication-Results: mx.example.org;\r\n" +
			"\tiprev=pass policy.iprev=192.0.2.10 (mail.example.net);\r\n" +
			"\tspf=pass smtp.mailfrom=example.net;\r\n" +
			"\tspf=none smtp.helo=mail.example.net;\r\n" +
			"\tdkim=none;\r\n" +
			"\tdmarc=pass header.from=example.net policy.dmarc=reject\r\n" +
			"\t (record of example.net)\r\n" +
			"Roost-Verdict: accepted;\r\n" +
			"\tDMARC: really from example.net, by SPF;\r\n" +
			"\tSender: the first mail from joe@example.net, as far as is known\r\n" +
			"Received: "
		if !strings.HasPrefix(all[0], want) {
			t.Errorf("%s has %q", who, all[0])
		}
		if !strings.HasSuffix(all[0], "\r\nAuthentication-Results: other.example; none\r\nFrom: Joe <joe@example.net>\r\nSubject: Hi\r\n\r\n"+
			"Authentication-Results: mx.example.org; body\r\n") || strings.Contains(all[0], "bank.example") {
			t.Errorf("%s has %q", who, all[0])
		}
	}
	l := p.journal()
	want := []string{
		"Client: 192.0.2.10 is mail.example.net",
		"SPF: 192.0.2.10 may send for example.net",
		"DKIM: not signed",
		"DMARC: really from example.net, by SPF",
		"accepted: Sender: the first mail from joe@example.net, as far as is known",
		"Taken out: 2 Authentication-Results or Roost-Verdict in our name, which we had not written",
	}
	if l.Event != mailbox.Received || !slices.Equal(l.Detail, want) {
		t.Errorf("%s: %q", l.Event, l.Detail)
	}
}

// TestDMARCRejectIsRefused: the reply names the domain, nothing is kept, and
// the journal says why.
func TestDMARCRejectIsRefused(t *testing.T) {
	p := newPostFrom(t, dnstest.NewMemory(t, zone).Resolver(), "192.0.2.99")
	p.deliver("joe@example.net", "From: Joe <joe@example.net>\nSubject: Hi\n\nbody",
		"550 5.7.1 The message says it is from example.net, which neither SPF nor DKIM confirms, and the owner of example.net wants such mail refused (DMARC)")
	if n := len(p.inbox("ann@example.org")) + len(p.inbox("bob@example.org")); n != 0 {
		t.Errorf("%d messages were kept", n)
	}
	l := p.journal()
	if l.Event != mailbox.Refused || !strings.HasPrefix(l.Reply, "550 5.7.1 ") || l.Subject != "Hi" ||
		l.Message == 0 || l.Author != "joe@example.net" || l.Judged != "refused" ||
		!slices.Contains(l.Detail, "SPF: 192.0.2.99 may not send for example.net") ||
		!slices.Contains(l.Detail, "DMARC: claims to be from example.net, which nothing confirms; example.net wants such mail refused") {
		t.Errorf("journal %+v", l)
	}
}

// TestEverythingElseIsAccepted: other failures, and trouble with the DNS, are
// in the verdict only.
func TestEverythingElseIsAccepted(t *testing.T) {
	server := dnstest.NewMemory(t, zone)
	p := newPostFrom(t, server.Resolver(), "192.0.2.99")
	server.Add(";! servfail _dmarc.example.net\n")
	p.deliver("joe@example.net", "From: Joe <joe@example.net>\n\nbody", "250 2.0.0 ...")
	p.deliver("joe@example.net", "no header", "250 2.0.0 ...")
	all := p.inbox("ann@example.org")
	if len(all) != 2 {
		t.Fatalf("%d messages", len(all))
	}
	for i, want := range []string{"dmarc=temperror ", "dmarc=permerror "} {
		if !strings.Contains(all[i], want) {
			t.Errorf("%q in %q", want, all[i])
		}
	}
}

// TestOwnMachineIsNotRefused: of a client on loopback SPF knows nothing.
func TestOwnMachineIsNotRefused(t *testing.T) {
	p := newPostFrom(t, dnstest.NewMemory(t, zone).Resolver(), "")
	p.deliver("joe@example.net", "From: Joe <joe@example.net>\n\nbody", "250 2.0.0 ...")
	all := p.inbox("ann@example.org")
	if len(all) != 1 || !strings.Contains(all[0], "\tspf=none smtp.mailfrom=example.net;\r\n") || strings.Contains(all[0], "iprev=") {
		t.Errorf("%q", all)
	}
}

// TestForgedIsTakenOutWithoutResolver: our name is ours though nobody is asked.
func TestForgedIsTakenOutWithoutResolver(t *testing.T) {
	p := newPost(t)
	p.deliver("joe@example.net", "Authentication-Results: mx.example.org; dkim=pass\n\nbody", "250 2.0.0 ...")
	if all := p.inbox("ann@example.org"); len(all) != 1 || strings.Contains(all[0], "Authentication-Results") {
		t.Errorf("%q", all)
	}
}

// TestQuarantineGoesToJunk: what the owner of the domain wants treated as junk is
// in Junk, for everybody.
func TestQuarantineGoesToJunk(t *testing.T) {
	p := newPostFrom(t, dnstest.NewMemory(t, zone).Resolver(), "192.0.2.99")
	p.deliver("joe@example.net", "From: Joe <joe@mild.example>\n\nbody", "250 2.0.0 ...")
	for _, who := range []mailbox.Address{"ann@example.org", "bob@example.org"} {
		if n := len(p.inbox(who)); n != 0 {
			t.Errorf("%s has %d messages in INBOX", who, n)
		}
		all := p.holds(who, "Junk")
		if len(all) != 1 || !strings.Contains(all[0], "\r\nRoost-Verdict: junk;\r\n\tDMARC: claims to be from mild.example, which nothing confirms; mild.example wants such mail treated as junk\r\n") {
			t.Errorf("%s has %q", who, all)
		}
	}
	if l := p.journal(); l.Event != mailbox.Received || !slices.Contains(l.Detail, "Put into Junk") {
		t.Errorf("%+v", l)
	}
}

// TestLetSuchMailIn: after a refusal the owner lets such mail in, for one account
// or for all; and the other way round.
func TestLetSuchMailIn(t *testing.T) {
	p := newPostFrom(t, dnstest.NewMemory(t, zone).Resolver(), "192.0.2.99")
	mail := "From: Joe <joe@example.net>\nSubject: Hi\n\nbody"
	p.deliver("joe@example.net", mail, "550 5.7.1 ...")
	ann, err := p.store.Account("ann@example.org")
	if err != nil {
		t.Fatal(err)
	}
	rule := func(r mailbox.Rule) {
		t.Helper()
		if err := p.store.SetRule(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	want := func(ann, bob, junk int) {
		t.Helper()
		if a, b, j := len(p.inbox("ann@example.org")), len(p.inbox("bob@example.org")), len(p.holds("bob@example.org", "Junk")); a != ann || b != bob || j != junk {
			t.Errorf("ann has %d, bob %d and %d junk, want %d, %d and %d", a, b, j, ann, bob, junk)
		}
	}
	rule(mailbox.Rule{Account: ann.ID, Sender: "joe@example.net"})
	p.deliver("bounces@lists.example", mail, "250 2.0.0 ...")
	want(1, 0, 1)
	rule(mailbox.Rule{Sender: "example.net"})
	p.deliver("joe@example.net", mail, "250 2.0.0 ...")
	want(2, 1, 1)
	rule(mailbox.Rule{Account: ann.ID, Sender: "joe@example.net", Block: true})
	rule(mailbox.Rule{Sender: "example.net", Block: true})
	p.deliver("joe@example.net", mail, "550 5.7.1 Mail from joe@example.net is not wanted here")
	want(2, 1, 1)
	if l := p.journal(); l.Event != mailbox.Refused || l.Subject != "Hi" || !slices.Contains(l.Detail, "refused: Rule: mail from joe@example.net is not wanted by this account") {
		t.Errorf("%+v", l)
	}
}
