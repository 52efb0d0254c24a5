package panel

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// peer is the other end of the connection.
func peer(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

// believe takes away what the other end says of whom it passes on, unless it is a web
// server on this machine or one that the owner named.
func (p *panel) believe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := peer(r)
		if !a.IsLoopback() && !slices.ContainsFunc(p.office.Proxies, func(n netip.Prefix) bool { return n.Contains(a) }) {
			r.Header.Del("X-Forwarded-For")
			r.Header.Del("X-Forwarded-Proto")
		}
		next.ServeHTTP(w, r)
	})
}

// proxied tells that a web server that is believed passes the request on.
func proxied(r *http.Request) bool {
	return r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("X-Forwarded-Proto") != ""
}

// client is who asks: the other end, or whom a web server in front names last.
func client(r *http.Request) netip.Addr {
	if proxied(r) {
		list := r.Header.Values("X-Forwarded-For")
		if len(list) > 0 {
			names := strings.Split(list[len(list)-1], ",")
			if a, err := netip.ParseAddr(strings.TrimSpace(names[len(names)-1])); err == nil {
				return a.Unmap()
			}
		}
	}
	return peer(r)
}

// overTLS tells that the browser's connection is encrypted.
func overTLS(r *http.Request) bool {
	return r.TLS != nil || proxied(r) && r.Header.Get("X-Forwarded-Proto") == "https"
}

// encrypted lets requests in that came over TLS, or that never left this machine.
// Others are sent to https.
func (p *panel) encrypted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		switch {
		case overTLS(r):
		case peer(r).IsLoopback() && !proxied(r) && here(host):
		default:
			to, err := host, error(nil)
			if !proxied(r) {
				to, err = p.httpsHost(host)
			}
			if err != nil || r.Method != http.MethodGet {
				http.Error(w, "The panel is served over https only.", http.StatusForbidden)
				return
			}
			http.Redirect(w, r, "https://"+to+r.URL.RequestURI(), http.StatusTemporaryRedirect)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// here tells that a host name means this machine. A page of somebody else's whose name
// leads here is not among them.
func here(host string) bool {
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func (p *panel) httpsHost(host string) (string, error) {
	if host == "" {
		return "", errors.New("no host name")
	}
	for _, l := range p.office.Listeners {
		if l.Name != "https" {
			continue
		}
		_, port, err := net.SplitHostPort(l.Address)
		if err != nil || port == "443" {
			return host, err
		}
		return net.JoinHostPort(strings.Trim(host, "[]"), port), nil
	}
	return "", errors.New("https is off")
}
