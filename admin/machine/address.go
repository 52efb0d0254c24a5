package machine

import (
	"bufio"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Addresses are those of this machine, in the order of its interfaces.
type Addresses struct {
	Public  []netip.Addr // the Internet can reach them, if no firewall is in the way
	Private []netip.Addr // behind NAT, or of this network only
}

// LocalAddresses reads the addresses of the interfaces that are up. Left out are
// loopback and link-local ones, and those of IPv6 that go away by themselves (RFC 8981).
func LocalAddresses() (Addresses, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return Addresses{}, fmt.Errorf("list interfaces: %w", err)
	}
	passing := passingAddresses(os.DirFS("/proc"))
	var all []netip.Addr
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		has, err := i.Addrs()
		if err != nil {
			continue // it went away just now
		}
		for _, a := range has {
			if p, err := netip.ParsePrefix(a.String()); err == nil && !slices.Contains(passing, p.Addr()) {
				all = append(all, p.Addr())
			}
		}
	}
	return Sort(all), nil
}

// Sort tells public addresses from private ones, and leaves out those that reach no
// further than this machine or this cable.
func Sort(all []netip.Addr) Addresses {
	var sorted Addresses
	for _, a := range all {
		a = a.Unmap().WithZone("")
		switch {
		case !a.IsGlobalUnicast():
		case private(a):
			sorted.Private = append(sorted.Private, a)
		default:
			sorted.Public = append(sorted.Public, a)
		}
	}
	return sorted
}

// private tells whether a router between here and the Internet has to translate a.
func private(a netip.Addr) bool {
	if a.Is4() {
		// RFC 6598: between a provider and its customers.
		return a.IsPrivate() || netip.MustParsePrefix("100.64.0.0/10").Contains(a)
	}
	// RFC 4291 section 2.4, and the registry since: only this block is handed out.
	return !netip.MustParsePrefix("2000::/3").Contains(a)
}

// Of returns the addresses of one family.
func Of(all []netip.Addr, v4 bool) []netip.Addr {
	var some []netip.Addr
	for _, a := range all {
		if a.Is4() == v4 {
			some = append(some, a)
		}
	}
	return some
}

// passingAddresses are those of IPv6 that the kernel calls temporary, deprecated,
// tentative or found to be somebody else's. None when it does not tell.
func passingAddresses(proc fs.FS) []netip.Addr {
	const temporary, duplicate, deprecated, tentative = 0x01, 0x08, 0x20, 0x40
	f, err := proc.Open("self/net/if_inet6")
	if err != nil {
		return nil
	}
	defer f.Close()
	var passing []netip.Addr
	// One a line: address, index, prefix length, scope, flags, interface.
	for scan := bufio.NewScanner(f); scan.Scan(); {
		fields := strings.Fields(scan.Text())
		if len(fields) < 6 || len(fields[0]) != 32 {
			continue
		}
		flags, err := strconv.ParseUint(fields[4], 16, 32)
		if err != nil || flags&(temporary|duplicate|deprecated|tentative) == 0 {
			continue
		}
		var groups []string
		for i := 0; i < 32; i += 4 {
			groups = append(groups, fields[0][i:i+4])
		}
		if a, err := netip.ParseAddr(strings.Join(groups, ":")); err == nil {
			passing = append(passing, a)
		}
	}
	return passing
}
