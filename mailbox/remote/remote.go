// Package remote says what counts as one client: the address that limits are kept
// for, the network around it, and whether an address is one of the internet at all.
//
// It refuses to count, and to know what is limited.
package remote

import "net/netip"

// Host gives what counts as one client: an IPv4 address, also where it is written
// as one of IPv6, or a /64, as one host in IPv6 has a whole one. False: loopback
// and what has no address, which is this machine, are not to be limited.
func Host(a netip.Addr) (netip.Prefix, bool) { return around(a, 32, 64) }

// Network gives what one owner of many addresses is likely to have: a /24 in IPv4,
// a /48 in IPv6. False as for Host.
func Network(a netip.Addr) (netip.Prefix, bool) { return around(a, 24, 48) }

func around(a netip.Addr, four, six int) (netip.Prefix, bool) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || a.IsLoopback() {
		return netip.Prefix{}, false
	}
	bits := four
	if a.Is6() {
		bits = six
	}
	p, err := a.Prefix(bits)
	return p, err == nil
}

// Public says whether an address is one that a stranger can have: not loopback, not
// private (RFC 1918, RFC 4193), not of a carrier's NAT or many a VPN (RFC 6598), not of
// a link.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	shared := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10)
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}
