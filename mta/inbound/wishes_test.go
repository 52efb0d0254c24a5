package inbound_test

import (
	"io"
	"strings"
	"testing"

	"roost/mta/dns/dnstest"
)

// wish sends a message whose sender wants to know of success.
func (p *post) wish(from, rcpt string) {
	p.t.Helper()
	p.player().Play(p.t, "S: 220 ...\nEHLO\nC: MAIL FROM:<"+from+"> ENVID=QQ1 RET=FULL\nS: 250 ...\n"+
		"C: RCPT TO:<ann@example.org> "+rcpt+"\nS: 250 ...\nC: DATA\nS: 354 ...\nC: Subject: hi\nC:\nC: .\nS: 250 ...\nINBOX ann@example.org 1")
}

// TestSuccessIsTold: by the same commit, through the outbox, from the null path.
func TestSuccessIsTold(t *testing.T) {
	p := newPostFrom(t, dnstest.NewMemory(t, zone).Resolver(), "192.0.2.10")
	p.wish("joe@example.net", "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;annie@example.com")
	rows, err := p.store.Outbox()
	if err != nil || len(rows) != 1 || rows[0].From != "" || rows[0].Domain != "example.net" || rows[0].Recipients[0].Address != "joe@example.net" {
		t.Fatalf("outbox %+v, %v", rows, err)
	}
	body, err := p.store.OutgoingBody(&rows[0])
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"From: Mail Delivery <postmaster@mx.example.org>\r\nTo: <joe@example.net>\r\nSubject: Delivered: hi\r\n",
		"Original-Envelope-Id: QQ1\r\n",
		"Original-Recipient: rfc822; annie@example.com\r\nFinal-Recipient: rfc822; ann@example.org\r\nAction: delivered\r\nStatus: 2.1.5\r\n",
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %q in\n%s", want, b)
		}
	}
}

// TestForgerHasNobodyTold: without SPF's word nothing leaves, nor without a wish.
func TestForgerHasNobodyTold(t *testing.T) {
	for _, tt := range []struct{ client, from, rcpt string }{
		{"192.0.2.99", "joe@mild.example", "NOTIFY=SUCCESS"}, // no SPF record
		{"192.0.2.10", "", "NOTIFY=SUCCESS"},                 // the null path
		{"192.0.2.10", "joe@example.net", "NOTIFY=FAILURE,DELAY"},
		{"192.0.2.10", "joe@example.net", ""},
	} {
		p := newPostFrom(t, dnstest.NewMemory(t, zone).Resolver(), tt.client)
		p.wish(tt.from, tt.rcpt)
		if rows, err := p.store.Outbox(); err != nil || len(rows) != 0 {
			t.Errorf("%v: outbox %+v, %v", tt, rows, err)
		}
	}
}

// TestNullMX: RFC 7505 4.2, and a domain that is ill is not one that takes none.
func TestNullMX(t *testing.T) {
	p := newPostFrom(t, dnstest.NewMemory(t, zone+"deaf.example. MX 0 .\nill.example. MX 10 mx.ill.example. ; servfail\n").Resolver(), "192.0.2.10")
	p.player().Play(t, "S: 220 ...\nEHLO\nC: MAIL FROM:<joe@deaf.example>\nS: 550 5.7.27 ...\nC: RCPT TO:<ann@example.org>\nS: 503 ...\n"+
		"C: MAIL FROM:<joe@ill.example>\nS: 250 ...\nC: RSET\nS: 250 ...\nC: MAIL FROM:<>\nS: 250 ...")
}
