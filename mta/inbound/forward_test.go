package inbound_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"roost/mailbox"
	"roost/mta/dns/dnstest"
)

// tell sends lines, one after the answer to the other, and gives the last answer.
func (p *post) tell(lines ...string) (reply string) {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, line := range append([]string{"", "HELO c"}, lines...) {
		if line != "" {
			if _, err := io.WriteString(conn, line+"\r\n"); err != nil {
				p.t.Fatal(err)
			}
		}
		if reply, err = r.ReadString('\n'); err != nil {
			p.t.Fatalf("%s: %v", line, err)
		}
	}
	return reply
}

func (p *post) send(from, to, message string) string {
	p.t.Helper()
	return p.tell("MAIL FROM:<"+from+">", "RCPT TO:<"+to+">", "DATA", message+"\r\n.")
}

func (p *post) alias(addr mailbox.Address, to ...mailbox.Address) {
	p.t.Helper()
	if err := p.store.SetAlias(p.t.Context(), mailbox.Alias{Address: addr, To: to}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *post) outbox() []mailbox.Outgoing {
	p.t.Helper()
	rows, err := p.store.Outbox()
	if err != nil {
		p.t.Fatal(err)
	}
	return rows
}

func TestForwarding(t *testing.T) {
	zone := dnstest.New(t, `
sender.example. MX 10 mx.sender.example.
sender.example. TXT "v=spf1 ip4:192.0.2.9 -all"
third.example. MX 10 mx.third.example.
`)
	p := newPostFrom(t, zone.Resolver(), "192.0.2.9")
	p.alias("team@example.org", "ann@example.org", "Carl@elsewhere.example", "dora@elsewhere.example", "x@other.example")
	if reply := p.send("Joe@sender.example", "team@example.org", "From: joe@sender.example\r\nSubject: hi\r\n\r\nhello"); !strings.HasPrefix(reply, "250 ") {
		t.Fatal(reply)
	}
	if got := p.inbox("ann@example.org"); len(got) != 1 {
		t.Errorf("ann has %d", len(got))
	}
	rows := p.outbox()
	if len(rows) != 2 || rows[0].Domain != "elsewhere.example" || len(rows[0].Recipients) != 2 || rows[0].Recipients[0].Address != "Carl@elsewhere.example" {
		t.Fatalf("%+v", rows)
	}
	from := rows[0].From
	if !strings.HasPrefix(from, "SRS0=") || !strings.HasSuffix(from, "=sender.example=Joe@example.org") || rows[0].Sender != "Joe@sender.example" || rows[0].Account != 0 {
		t.Errorf("%+v", rows[0])
	}
	body, err := p.store.OutgoingBody(&rows[0])
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(body)
	if text := string(b); err != nil || !strings.HasPrefix(text, "Delivered-To: team@example.org\r\nReceived: ") || int64(len(text)) != rows[0].Size || !strings.HasSuffix(text, "From: joe@sender.example\r\nSubject: hi\r\n\r\nhello\r\n") || strings.Contains(text, "Return-Path") {
		t.Errorf("%v: %s", err, b)
	}
	// A notification goes back, and nothing else does.
	if reply := p.tell("MAIL FROM:<joe@third.example>", "RCPT TO:<"+from+">"); !strings.HasPrefix(reply, "550 5.7.1 ") {
		t.Error(reply)
	}
	forged := strings.Replace(from, "=Joe@", "=Jim@", 1)
	if reply := p.tell("MAIL FROM:<>", "RCPT TO:<"+forged+">"); !strings.HasPrefix(reply, "550 5.1.1 ") {
		t.Error(reply)
	}
	if reply := p.send("", from, "Subject: failed\r\n\r\nno"); !strings.HasPrefix(reply, "250 ") {
		t.Fatal(reply)
	}
	if rows = p.outbox(); len(rows) != 3 || rows[2].From != "" || rows[2].Domain != "sender.example" || rows[2].Recipients[0].Address != "Joe@sender.example" || rows[2].Sender != "" {
		t.Errorf("%+v", rows)
	}
	// Who is not confirmed is not told either.
	if reply := p.send("joe@third.example", "team@example.org", "Subject: hi\r\n\r\nhello"); !strings.HasPrefix(reply, "250 ") {
		t.Fatal(reply)
	}
	if rows = p.outbox(); len(rows) != 5 || rows[4].Sender != "" || !strings.HasPrefix(rows[4].From, "SRS0=") {
		t.Errorf("%+v", rows)
	}
}

// TestForwardedBefore: the notification goes to whom was the first to rewrite, in the
// form that he wrote, however long.
func TestForwardedBefore(t *testing.T) {
	p := newPost(t)
	p.alias("out@example.org", "carl@elsewhere.example")
	first := "SRS0=Abcd=XY=a-sender-with-a-long-name.example=somebody.with.a.long.name@first.example"
	for n, from := range []string{first, "SRS1=his=first.example=" + strings.TrimSuffix(strings.TrimPrefix(first, "SRS0"), "@first.example") + "@second.example"} {
		if reply := p.send(from, "out@example.org", "Subject: hi\r\n\r\nhello"); !strings.HasPrefix(reply, "250 ") {
			t.Fatal(reply)
		}
		rows := p.outbox()
		ours := rows[len(rows)-1].From
		if len(rows) != 2*n+1 || !strings.HasPrefix(ours, "SRS1=") || !strings.HasSuffix(ours, "=first.example==Abcd=XY=a-sender-with-a-long-name.example=somebody.with.a.long.name@example.org") {
			t.Fatalf("%+v", rows)
		}
		if reply := p.tell("MAIL FROM:<joe@third.example>", "RCPT TO:<"+ours+">"); !strings.HasPrefix(reply, "550 5.7.1 ") {
			t.Error(reply)
		}
		forged := strings.Replace(ours, "=first.", "=victim.", 1)
		if reply := p.tell("MAIL FROM:<>", "RCPT TO:<"+forged+">"); !strings.HasPrefix(reply, "550 5.1.1 ") {
			t.Error(reply)
		}
		if reply := p.send("", ours, "Subject: failed\r\n\r\nno"); !strings.HasPrefix(reply, "250 ") {
			t.Fatal(reply)
		}
		if rows = p.outbox(); len(rows) != 2*n+2 || rows[2*n+1].From != "" || rows[2*n+1].Domain != "first.example" || rows[2*n+1].Recipients[0].Address != first {
			t.Errorf("%+v", rows)
		}
	}
}

// TestForwardingInACircle: what was forwarded for an alias and comes back for it is
// refused, whatever the hosts in between did to the reverse-path and the case.
func TestForwardingInACircle(t *testing.T) {
	p := newPost(t)
	p.alias("out@example.org", "dora@other.example")
	p.alias("team@example.org", "ann@example.org", "out@example.org", "carl@elsewhere.example")
	if reply := p.send("joe@sender.example", "Team@example.org", "Subject: hi\r\n\r\nhello"); !strings.HasPrefix(reply, "250 ") {
		t.Fatal(reply)
	}
	rows := p.outbox()
	if len(rows) != 2 {
		t.Fatalf("%+v", rows)
	}
	for i, alias := range []string{"out@example.org", "team@example.org"} {
		if rows[0].Domain == "elsewhere.example" {
			i = 1 - i
		}
		body, err := p.store.OutgoingBody(&rows[i])
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(body)
		if err != nil || !strings.HasPrefix(string(b), "Delivered-To: "+alias+"\r\nReceived: ") {
			t.Fatalf("%v: %s", err, b)
		}
		back := "Received: from us by them; Sun, 1 Mar 2026 12:00:00 +0000\r\n" + strings.Replace(string(b), "@example.org", "@EXAMPLE.org", 1)
		want := "554 5.4.6 The message runs in a circle: it was forwarded for " + alias + " before"
		if reply := p.send("list@third.example", alias, back); strings.TrimSpace(reply) != want {
			t.Error(reply)
		}
		l := p.journal()
		if l.Event != mailbox.Refused || l.Reply != want || strings.Join(l.To, " ") != alias || len(l.Detail) > 0 || l.Subject != "hi" {
			t.Errorf("%+v", l)
		}
		// Who is here gets it: nothing circles.
		if reply := p.send("list@third.example", "bob@example.org", back); !strings.HasPrefix(reply, "250 ") {
			t.Error(reply)
		}
	}
	if again := p.outbox(); len(again) != 2 || len(p.inbox("ann@example.org")) != 1 || len(p.inbox("bob@example.org")) != 2 {
		t.Errorf("%+v", again)
	}
	// A field of somebody else's is no circle, nor is one that is none.
	other := "Delivered-To: carl@elsewhere.example\r\nDelivered-To: team\r\nDelivered-To:\r\nSubject: hi\r\n\r\nhello"
	if reply := p.send("joe@sender.example", "team@example.org", other); !strings.HasPrefix(reply, "250 ") {
		t.Error(reply)
	}
}

// TestForwardedForAnAliasBeyondASCII: what named it would need SMTPUTF8, which the
// message does not, unless its sender knew of that name.
func TestForwardedForAnAliasBeyondASCII(t *testing.T) {
	p := newPost(t)
	p.alias("jürgen@example.org", "carl@elsewhere.example")
	p.alias("george@example.org", "jürgen@example.org")
	for to, utf8 := range map[string]bool{"george": false, "jürgen": true} {
		p.player().Play(t, "S: 220 ...\nEHLO\nC: MAIL FROM:<joe@sender.example> SMTPUTF8\nS: 250 ...\nC: RCPT TO:<"+to+"@example.org>\nS: 250 ...\n"+
			"C: DATA\nS: 354 ...\nC: Subject: hi\nC:\nC: hello\nC: .\nS: 250 ...")
		rows := p.outbox()
		if row := rows[len(rows)-1]; row.UTF8 != utf8 || row.EightBit != utf8 || (row.Prefix == "Delivered-To: jürgen@example.org\r\n") != utf8 {
			t.Errorf("%+v", row)
		}
	}
}

// TestForwardedWithoutNeedOfTLS: RFC 8689 3.
func TestForwardedWithoutNeedOfTLS(t *testing.T) {
	p := newPost(t)
	p.alias("out@example.org", "carl@elsewhere.example")
	for n, optional := range []bool{true, false, false} {
		fields := []string{"TLS-Required:  no\r\n", "TLS-Required: maybe\r\n", ""}
		if reply := p.send("joe@sender.example", "out@example.org", fields[n]+"Subject: hi\r\n\r\nhello"); !strings.HasPrefix(reply, "250 ") {
			t.Fatal(reply)
		}
		if rows := p.outbox(); len(rows) != n+1 || rows[n].TLSOptional != optional {
			t.Errorf("%q: %+v", fields[n], rows)
		}
	}
	p.player().Play(t, "S: 220 ...\nC: STARTTLS\nS: 220 ...\nTLS\nEHLO\nC: MAIL FROM:<joe@sender.example> REQUIRETLS\nS: 250 ...\n"+
		"C: RCPT TO:<out@example.org>\nS: 250 ...\nC: DATA\nS: 354 ...\nC: TLS-Required: No\nC:\nC: hello\nC: .\nS: 250 ...")
	if rows := p.outbox(); len(rows) != 4 || rows[3].TLSOptional || !rows[3].RequireTLS {
		t.Errorf("%+v", rows)
	}
}

func TestForwardingIsJudged(t *testing.T) {
	zone := dnstest.New(t, `
bank.example. MX 10 mx.bank.example.
bank.example. TXT "v=spf1 -all"
_dmarc.bank.example. TXT "v=DMARC1; p=reject"
`)
	p := newPostFrom(t, zone.Resolver(), "192.0.2.9")
	p.alias("out@example.org", "carl@elsewhere.example")
	if reply := p.send("a@bank.example", "out@example.org", "From: a@bank.example\r\n\r\nhello"); !strings.HasPrefix(reply, "550 5.7.1 ") {
		t.Error(reply)
	}
	if rows := p.outbox(); len(rows) != 0 {
		t.Errorf("%+v", rows)
	}
}

func TestWhoGetsNoMail(t *testing.T) {
	p := newPost(t)
	ctx := context.Background()
	if _, err := p.store.ChangeAccount(ctx, "bob@example.org", func(a *mailbox.Account) error { a.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	p.alias("full-desk@example.org", "full@example.org")
	if reply := p.send("joe@sender.example", "full@example.org", "Subject: hi\r\n\r\nhello"); !strings.HasPrefix(reply, "250 ") {
		t.Fatal(reply)
	}
	if _, err := p.store.ChangeAccount(ctx, "full@example.org", func(a *mailbox.Account) error { a.Admin, a.Quota = true, 1; return nil }); err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]string{
		"bob@example.org":        "450 4.2.1 ",
		"both@example.org":       "250 ",
		"nobody@example.org":     "550 5.1.1 ",
		"full@example.org":       "452 4.2.2 ",
		"full-desk@example.org":  "452 4.2.2 ",
		"postmaster@example.org": "250 ",
		"SRS0=x@example.org":     "550 5.1.1 ",
		"srs0=AAAAAA=AA=a.b=c@d": "550 5.1.1 ",
		"SRS1=AAAAAA=a.b==c@d":   "550 5.1.1 ",
	} {
		if reply := p.tell("MAIL FROM:<joe@sender.example>", "RCPT TO:<"+to+">"); !strings.HasPrefix(reply, want) {
			t.Errorf("%s: %s", to, reply)
		}
	}
	if reply := p.send("joe@sender.example", "postmaster@example.org", "Subject: help\r\n\r\nhelp"); !strings.HasPrefix(reply, "250 ") {
		t.Error(reply)
	}
	if got := p.inbox("full@example.org"); len(got) != 2 {
		t.Errorf("a postmaster whose mailbox is full has %d", len(got))
	}
}
