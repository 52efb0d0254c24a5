package smtp

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/pires/go-proxyproto"
)

// waitForProxy is how long a proxy may take to tell whom it speaks for.
const waitForProxy = 10 * time.Second

// BehindProxy is a listener for Serve whose connections from the given
// addresses begin with a PROXY header, version 1 or 2, that tells the real
// client; one without is not served. Everybody else is taken at their own
// address, and what looks like a header from them is a bad command. TLS from
// the start comes around this listener, not inside it.
func BehindProxy(l net.Listener, proxies []netip.Prefix) net.Listener {
	if len(proxies) == 0 {
		return l
	}
	return &proxyproto.Listener{
		Listener:          l,
		ReadHeaderTimeout: waitForProxy,
		ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			a, err := netip.ParseAddrPort(o.Upstream.String())
			named := func(p netip.Prefix) bool { return p.Contains(a.Addr().Unmap().WithZone("")) }
			if err != nil || !slices.ContainsFunc(proxies, named) {
				return proxyproto.SKIP, nil
			}
			return proxyproto.REQUIRE, nil
		},
	}
}

// client finds out who is at the other end, for which a proxy may have to be
// heard first. It is false for a proxy that does not tell.
func client(conn net.Conn) (netip.Addr, bool) {
	for inner := conn; ; {
		if p, ok := inner.(*proxyproto.Conn); ok && p.ProxyHeader() == nil {
			return netip.Addr{}, false
		}
		around, ok := inner.(interface{ NetConn() net.Conn }) // as *tls.Conn
		if !ok {
			break
		}
		inner = around.NetConn()
	}
	// An address that is none stays the zero value.
	a, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	return a.Addr().Unmap(), true
}
