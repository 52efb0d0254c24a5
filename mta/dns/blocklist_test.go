package dns_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"roost/mta/dns"
	"roost/mta/dns/dnstest"
)

const lists = `
2.0.0.127.bl.example. A 127.0.0.2
9.2.0.192.bl.example. A 127.0.0.3
9.2.0.192.bl.example. A 127.0.0.4
9.2.0.192.bl.example. TXT "sends junk; see https://bl.example/?192.0.2.9"
8.2.0.192.bl.example. A 127.0.0.3
7.2.0.192.bl.example. A 127.0.0.3
7.2.0.192.bl.example. TXT "a\010b\233 and more and more and more and more and more and more and more and more and more and more and more" " and more and more and more and more and more and more and more and more and more and more and more and more and more"
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example. A 127.0.0.3
6.2.0.192.bl.example. A 127.0.0.3 ; servfail
5.2.0.192.bl.example. A 127.0.0.3 ; bogus

; for IPv6 alone
2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.six.example. A 127.0.0.2

; that say more than they should
*.all.example. A 127.0.0.2
*.sold.example. A 203.0.113.80
*.open.example. A 127.255.255.254
*.many.example. A 127.255.255.255
*.typo.example. A 127.255.255.252
*.later.example. A 127.255.255.9
*.no.example. A 127.0.0.1
*.mixed.example. A 127.0.0.2
*.mixed.example. A 127.255.255.254

2.0.0.127.abcdefghijklmnopqrstuvwxyz.key.example. A 127.0.0.2
9.2.0.192.abcdefghijklmnopqrstuvwxyz.key.example. A 127.0.0.2
;! timeout slow.example
`

func TestListed(t *testing.T) {
	r := dnstest.NewMemory(t, lists).Resolver()
	for _, c := range []struct{ list, addr, codes, reason, fails string }{
		{"bl.example", "192.0.2.9", "127.0.0.3 127.0.0.4", "sends junk; see https://bl.example/?192.0.2.9", ""},
		{"bl.example", "::ffff:192.0.2.9", "127.0.0.3 127.0.0.4", "sends junk; see https://bl.example/?192.0.2.9", ""},
		{"bl.example", "192.0.2.8", "127.0.0.3", "", ""},
		{"bl.example", "192.0.2.10", "", "", ""},
		{"bl.example", "2001:db8::1", "127.0.0.3", "", ""},
		{"bl.example", "2001:db8::1%eth0", "127.0.0.3", "", ""},
		{"bl.example", "2001:db8::2", "", "", ""},
		{"nothing.example", "192.0.2.9", "", "", ""},
		{"bl.example", "192.0.2.6", "", "", "it does not answer"},
		{"bl.example", "192.0.2.5", "", "", "the DNSSEC signatures of its zone do not verify"},
		{"all.example", "192.0.2.9", "", "", "it lists everything, even 127.0.0.1, so it says nothing"},
		{"sold.example", "192.0.2.9", "", "", "it answers 203.0.113.80, which is not what a block list says"},
		{"open.example", "192.0.2.9", "", "", "it answers 127.255.255.254: the question came through a resolver that many share"},
		{"many.example", "192.0.2.9", "", "", "it answers 127.255.255.255: too many questions"},
		{"typo.example", "192.0.2.9", "", "", "it answers 127.255.255.252: the name of the list is not right"},
		{"later.example", "192.0.2.9", "", "", "it answers 127.255.255.9: it does not answer this server"},
		{"no.example", "192.0.2.9", "", "", "it answers 127.0.0.1, "},
		{"mixed.example", "192.0.2.9", "", "", "it answers 127.255.255.254"},
	} {
		l, err := r.Listed(t.Context(), c.list, netip.MustParseAddr(c.addr))
		var e *dns.Error
		switch {
		case c.fails != "":
			if !errors.As(err, &e) || e.Kind != dns.ErrTemporary || !strings.HasPrefix(e.Reason, c.fails) || l != nil {
				t.Errorf("%s on %s: %v, %v", c.addr, c.list, l, err)
			}
		case err != nil:
			t.Errorf("%s on %s: %v", c.addr, c.list, err)
		case c.codes == "":
			if l != nil {
				t.Errorf("%s on %s: %+v", c.addr, c.list, l)
			}
		default:
			codes := ""
			for i := 0; l != nil && i < len(l.Codes); i++ {
				codes = strings.TrimSpace(codes + " " + l.Codes[i].String())
			}
			if codes != c.codes || l.Reason != c.reason || l.List != c.list {
				t.Errorf("%s on %s: %+v", c.addr, c.list, l)
			}
		}
	}
}

// TestWhatAListSays is fit for one line, whoever wrote it.
func TestWhatAListSays(t *testing.T) {
	r := dnstest.NewMemory(t, lists).Resolver()
	l, err := r.Listed(t.Context(), "bl.example", netip.MustParseAddr("192.0.2.7"))
	if err != nil || l == nil || len(l.Reason) != 200 || !strings.HasPrefix(l.Reason, "a?b? and more") {
		t.Errorf("%+v, %v", l, err)
	}
	l, err = r.Listed(t.Context(), "abcdefghijklmnopqrstuvwxyz.key.example", netip.MustParseAddr("192.0.2.9"))
	if err != nil || l == nil || l.List != "key.example" {
		t.Errorf("a customer's key is shown: %+v, %v", l, err)
	}
}

// TestProveList holds the test entries of RFC 5782 section 5.
func TestProveList(t *testing.T) {
	synctest.Test(t, proveLists)
}

func proveLists(t *testing.T) {
	r := dnstest.NewMemory(t, lists).Resolver()
	for list, want := range map[string]string{
		"bl.example":                             "",
		"six.example":                            "",
		"nothing.example":                        "its test entry, 127.0.0.2, is not there",
		"all.example":                            "it lists everything",
		"sold.example":                           "it answers 203.0.113.80",
		"open.example":                           "it answers 127.255.255.254",
		"many.example":                           "it answers 127.255.255.255",
		"slow.example":                           "it does not answer",
		"abcdefghijklmnopqrstuvwxyz.key.example": "",
	} {
		err := r.ProveList(t.Context(), list)
		var e *dns.Error
		if want == "" && err != nil || want != "" && (!errors.As(err, &e) || !strings.HasPrefix(e.Reason, want)) {
			t.Errorf("%s: %v", list, err)
		}
	}
}
