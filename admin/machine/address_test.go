package machine

import (
	"net/netip"
	"slices"
	"testing"
	"testing/fstest"
)

func TestPassingAddresses(t *testing.T) {
	got := passingAddresses(fstest.MapFS{"self/net/if_inet6": {Data: []byte(
		"20010db8000000000000000000000007 02 40 00 80     eth0\n" +
			"20010db800000000abcdef0123456789 02 40 00 01     eth0\n" + // temporary
			"20010db8000000000000000000000009 02 40 00 a0     eth0\n" + // deprecated
			"00000000000000000000000000000001 01 80 10 80       lo\n" +
			"short 02 40 00 01 eth0\n\n")}})
	want := []netip.Addr{netip.MustParseAddr("2001:db8::abcd:ef01:2345:6789"), netip.MustParseAddr("2001:db8::9")}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if got := passingAddresses(fstest.MapFS{}); got != nil {
		t.Errorf("without /proc: %v", got)
	}
}
