package remote_test

import (
	"net/netip"
	"testing"

	"roost/mailbox/remote"
)

func TestWhoIsOne(t *testing.T) {
	for a, want := range map[string]struct {
		host, network string // empty: not counted
		public        bool
	}{
		"192.0.2.77":           {"192.0.2.77/32", "192.0.2.0/24", true},
		"::ffff:192.0.2.77":    {"192.0.2.77/32", "192.0.2.0/24", true},
		"2001:db8:1:2:3:4:5:6": {"2001:db8:1:2::/64", "2001:db8:1::/48", true},
		"2001:db8:1:2::7%eth0": {"2001:db8:1:2::/64", "2001:db8:1::/48", true},
		"10.1.2.3":             {"10.1.2.3/32", "10.1.2.0/24", false},
		"::ffff:10.1.2.3":      {"10.1.2.3/32", "10.1.2.0/24", false},
		"172.31.0.1":           {"172.31.0.1/32", "172.31.0.0/24", false},
		"192.168.0.1":          {"192.168.0.1/32", "192.168.0.0/24", false},
		"100.64.0.1":           {"100.64.0.1/32", "100.64.0.0/24", false},
		"100.128.0.1":          {"100.128.0.1/32", "100.128.0.0/24", true},
		"169.254.1.1":          {"169.254.1.1/32", "169.254.1.0/24", false},
		"fe80::1%eth0":         {"fe80::/64", "fe80::/48", false},
		"fd00:1:2:3::1":        {"fd00:1:2:3::/64", "fd00:1:2::/48", false},
		"127.0.0.1":            {},
		"127.8.8.8":            {},
		"::1":                  {},
		"::ffff:127.0.0.1":     {},
		"":                     {},
		"0.0.0.0":              {"0.0.0.0/32", "0.0.0.0/24", false},
		"224.0.0.1":            {"224.0.0.1/32", "224.0.0.0/24", false},
		"64:ff9b::192.0.2.1":   {"64:ff9b::/64", "64:ff9b::/48", true},
		"2002:c000:0201::1":    {"2002:c000:201::/64", "2002:c000:201::/48", true},
	} {
		addr, _ := netip.ParseAddr(a)
		check := func(what string, p netip.Prefix, counted bool, want string) {
			if counted != (want != "") || counted && p.String() != want {
				t.Errorf("%s of %q: %s, %v, want %q", what, a, p, counted, want)
			}
		}
		p, ok := remote.Host(addr)
		check("host", p, ok, want.host)
		p, ok = remote.Network(addr)
		check("network", p, ok, want.network)
		if got := remote.Public(addr); got != want.public {
			t.Errorf("%q is public: %v", a, got)
		}
	}
}
