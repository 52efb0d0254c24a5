package inbound

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roost/mailbox"
)

// TestRates: each step is a number of messages, and how many of them are taken
// where an address may send 10. A network may send 40 then.
func TestRates(t *testing.T) {
	type step struct {
		from    string
		n, want int
		after   time.Duration // before it
		text    string        // of the refusal
		known   bool          // who is known after it
	}
	for name, steps := range map[string][]step{
		"one address": {{from: "192.0.2.1", n: 12, want: 10, text: "More than 10 messages in an hour from 192.0.2.1; come back at 01:00 UTC"},
			{from: "192.0.2.1", n: 1, want: 0, after: rateWindow - 1}, {from: "192.0.2.1", n: 11, want: 10, after: 1}},
		"until when is rounded up": {{from: "192.0.2.1", n: 11, want: 10, after: time.Second, text: "come back at 01:01 UTC"}},
		"a network": {{from: "192.0.2.1", n: 10, want: 10}, {from: "192.0.2.2", n: 10, want: 10}, {from: "192.0.2.3", n: 10, want: 10},
			{from: "192.0.2.4", n: 9, want: 9}, {from: "192.0.2.5", n: 2, want: 1, text: "More than 40 messages in an hour from 192.0.2.0/24; come back at 01:00 UTC"},
			{from: "192.0.3.1", n: 10, want: 10}},
		"IPv6": {{from: "2001:db8:1:1::1", n: 6, want: 6}, {from: "2001:db8:1:1::2", n: 6, want: 4, text: "from 2001:db8:1:1::/64;"},
			{from: "2001:db8:1:2::1", n: 10, want: 10}, {from: "2001:db8:1:3::1", n: 10, want: 10}, {from: "2001:db8:1:4::1", n: 10, want: 10},
			{from: "2001:db8:1:5::1", n: 1, want: 0, text: "More than 40 messages in an hour from 2001:db8:1::/48;"}, {from: "2001:db8:2::1", n: 10, want: 10}},
		"IPv4 in IPv6": {{from: "::ffff:192.0.2.1", n: 11, want: 10}, {from: "192.0.2.1", n: 1, want: 0, text: "from 192.0.2.1;"}},
		"loopback":     {{from: "127.0.0.2", n: 100, want: 100}, {from: "::1", n: 100, want: 100}},
		"who is known": {{from: "192.0.2.1", n: 11, want: 10, known: true}, {from: "192.0.2.1", n: 31, want: 30, text: "More than 40 messages"},
			{from: "192.0.2.1", n: 41, want: 40, after: rateWindow}, {from: "192.0.2.1", n: 11, want: 10, after: knownFor}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := ratesOf(10, 15)
				for _, s := range steps {
					time.Sleep(s.after)
					peer := netip.MustParseAddr(s.from)
					got, text := 0, ""
					for range s.n {
						if e := r.mail(peer); e != nil {
							text = e.String()
							continue
						}
						r.data(peer)
						got++
					}
					if got != s.want || !strings.Contains(text, s.text) {
						t.Errorf("%d of %d from %s were taken, want %d; %q", got, s.n, s.from, s.want, text)
					}
					if s.known {
						r.know(peer)
					}
				}
			})
		})
	}
}

// TestRecipientRates: recipients count over messages, who is refused is not
// counted, and only the first refusal in a window is told.
func TestRecipientRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ratesOf(1, 3)
		rcpt := func(from string, n int) (taken, first int) {
			for range n {
				e := r.rcpt(netip.MustParseAddr(from))
				if e == nil {
					taken++
				} else if e.first {
					first++
				}
			}
			return taken, first
		}
		for _, from := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"} {
			if taken, first := rcpt(from, 10); taken != 3 || first != 1 {
				t.Errorf("%s: %d taken, %d told", from, taken, first)
			}
		}
		if taken, first := rcpt("192.0.2.5", 5); taken != 0 || first != 1 {
			t.Errorf("the network: %d taken, %d told", taken, first)
		}
		time.Sleep(rateWindow)
		if taken, first := rcpt("192.0.2.5", 5); taken != 3 || first != 1 {
			t.Errorf("an hour later: %d taken, %d told", taken, first)
		}
	})
}

// TestRatesOptions: 0 is the default, and below 0 nothing is refused.
func TestRatesOptions(t *testing.T) {
	peer := netip.MustParseAddr("192.0.2.1")
	for n, want := range map[int][2]int{0: {mailbox.HourlyMessages, mailbox.HourlyRecipients}, 7: {7, 7}, -1: {5000, 5000}} {
		r := ratesOf(n, n)
		var got [2]int
		for range 5000 {
			if r.mail(peer) == nil {
				r.data(peer)
				got[0]++
			}
			if r.rcpt(peer) == nil {
				got[1]++
			}
		}
		if got != want {
			t.Errorf("%d: %d messages and recipients, want %d", n, got, want)
		}
	}
}

// TestRatesAreBounded: more addresses than are held push out the oldest, and
// nobody else.
func TestRatesAreBounded(t *testing.T) {
	r := ratesOf(1, 1)
	addr := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 1}) }
	// Two windows for each.
	for n := range 3 * maxWindows / 2 {
		if e := r.mail(addr(n)); e != nil {
			t.Fatal(e)
		}
		r.data(addr(n))
		if len(r.by) > maxWindows || r.age.Len() != len(r.by) {
			t.Fatalf("%d addresses: %d windows, %d in order", n, len(r.by), r.age.Len())
		}
	}
	if len(r.by) != maxWindows {
		t.Errorf("%d windows", len(r.by))
	}
	last := 3*maxWindows/2 - 1
	for n := last; n > last-maxWindows/2; n-- {
		if r.mail(addr(n)) == nil {
			t.Fatalf("the address before the last by %d is forgotten", last-n)
		}
	}
	if e := r.mail(addr(0)); e != nil {
		t.Errorf("the oldest is held: %s", e)
	}
}

// TestOneClientHoweverWritten: an IPv4 address in IPv6 is no other client to those
// who count wrong recipients.
func TestOneClientHoweverWritten(t *testing.T) {
	var p probes
	blocked := false
	for n := range maxProbes {
		a := "192.0.2.1"
		if n%2 == 1 {
			a = "::ffff:192.0.2.1"
		}
		_, blocked = p.wrong(netip.MustParseAddr(a))
	}
	if !blocked || !p.blocked(netip.MustParseAddr("::ffff:192.0.2.1")) {
		t.Error("two ways to write an address are two clients")
	}
	for range 2 * maxProbes {
		if pause, blocked := p.wrong(netip.MustParseAddr("::ffff:127.0.0.1")); pause > 0 || blocked {
			t.Fatal("loopback is counted")
		}
	}
}

func ratesOf(messages, recipients int) *rates {
	v := mailbox.Settings{Reception: mailbox.ReceptionLimits{Messages: messages, Recipients: recipients}}
	return newRates(v.ReceptionLimits)
}
