package inbound_test

import (
	"slices"
	"strings"
	"testing"

	"roost/mailbox"
	"roost/mta/dns/dnstest"
	"roost/mta/inbound"
)

// move has a reader move all messages of a mailbox.
func (p *post) move(addr mailbox.Address, from, to string) {
	p.t.Helper()
	a, err := p.store.Account(addr)
	if err != nil {
		p.t.Fatal(err)
	}
	f, err := p.store.FolderNamed(a.ID, from)
	if err != nil {
		p.t.Fatal(err)
	}
	snap, err := p.store.Snapshot(a.ID, f.ID)
	if err != nil {
		p.t.Fatal(err)
	}
	var uids []mailbox.UID
	for _, e := range snap.Entries {
		uids = append(uids, e.UID)
	}
	if _, err := p.store.Move(p.t.Context(), a.ID, f.ID, uids, to); err != nil {
		p.t.Fatal(err)
	}
}

// TestReadersAreHeeded: what a reader does with mail of a sender who is confirmed
// decides where the next goes, for this reader. A forger has no part in it.
func TestReadersAreHeeded(t *testing.T) {
	zone := dnstest.NewMemory(t, zone)
	p := newPostFrom(t, zone.Resolver(), "192.0.2.10")
	mail := "From: Joe <joe@example.net>\nSubject: Hi\n\nbody"
	wants := func(what string, ann, bob int, reasons ...string) {
		t.Helper()
		if a, b := len(p.holds("ann@example.org", "Junk")), len(p.holds("bob@example.org", "Junk")); a != ann || b != bob {
			t.Errorf("%s: ann has %d in Junk, bob %d", what, a, b)
		}
		l := p.journal()
		for _, r := range reasons {
			if !slices.Contains(l.Detail, r) {
				t.Errorf("%s: the journal has %q", what, l.Detail)
			}
		}
	}
	for range 3 {
		p.deliver("joe@example.net", mail, "250 2.0.0 ...")
	}
	p.move("ann@example.org", "INBOX", "Junk")
	wants("moved", 3, 0)
	p.deliver("joe@example.net", mail, "250 2.0.0 ...")
	wants("the next", 4, 0, "junk: Sender: this account put 3 messages from joe@example.net into Junk", "Put into Junk")
	if l := p.journal(); l.Judged != "junk" || l.Author != "joe@example.net" {
		t.Errorf("%+v", l)
	}
	if all := p.holds("ann@example.org", "Junk"); !strings.Contains(all[3], "Roost-Verdict: junk;\r\n\tDMARC: really from example.net, by SPF;\r\n\tSender: this account put 3 messages from joe@example.net into Junk\r\n") {
		t.Errorf("%q", all[3])
	}
	p.move("ann@example.org", "Junk", "INBOX")
	p.deliver("joe@example.net", mail, "250 2.0.0 ...")
	wants("after all came back", 0, 0, "accepted: Sender: this account took mail from joe@example.net out of Junk")

	// Neither SPF nor DKIM confirms this one, whose domain has no policy.
	for range 3 {
		p.deliver("eve@plain.example", "From: eve@plain.example\n\nbody", "250 2.0.0 ...")
	}
	p.move("bob@example.org", "INBOX", "Junk")
	p.deliver("eve@plain.example", "From: eve@plain.example\n\nbody", "250 2.0.0 ...")
	if n := len(p.inbox("bob@example.org")); n != 1 {
		t.Errorf("what anybody could have sent counts for eve: bob has %d", n)
	}
	for _, addr := range []mailbox.Address{"eve@plain.example", "joe@example.net"} {
		a, err := p.store.Account("bob@example.org")
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.store.Reputation(a.ID, addr)
		if err != nil || (r.Address.Received > 0) != (addr == "joe@example.net") {
			t.Errorf("%s: %+v, %v", addr, r, err)
		}
	}
}

// TestKnownSendersMaySendMore: who brings mail of an author known to a recipient
// has four times the limit of a stranger. Who exceeds it is told each time, and
// the journal once.
func TestKnownSendersMaySendMore(t *testing.T) {
	zone := dnstest.NewMemory(t, zone)
	for client, known := range map[string]bool{"192.0.2.10": true, "198.51.100.1": false} {
		p := newPostWith(t, t.TempDir(), mailbox.Options{}, inbound.Options{Resolver: zone.Resolver()}, client)
		p.limit(5, 0)
		from, limit := "joe@example.net", 20
		if !known {
			from, limit = "eve@plain.example", 5
		}
		for n := range limit {
			p.deliver(from, "From: "+from+"\n\nbody", "250 2.0.0 ...")
			switch {
			case known && n == 2:
				p.move("ann@example.org", "INBOX", "Junk")
			case known && n == 3:
				p.move("ann@example.org", "Junk", "INBOX")
			}
		}
		for range 3 {
			p.player().Play(t, "S: 220 ...\nEHLO\nC: MAIL FROM:<"+from+">\nS: 451 4.7.1 More than ...\nC: QUIT\nS: 221 ...\nEOF")
		}
		told := 0
		if err := p.store.Journal(func(l mailbox.Line) bool {
			if strings.HasPrefix(l.Reply, "451 4.7.1") {
				told++
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if told != 1 {
			t.Errorf("%s: the journal tells it %d times", from, told)
		}
	}
}
