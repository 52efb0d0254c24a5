package outbound

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// TLSMode says how a smart host is spoken to.
type TLSMode int

// The modes. In all of them a password is sent only inside verified TLS, or
// to a loopback address.
const (
	StartTLS         TLSMode = iota // STARTTLS if it is offered, unverified unless there is a password
	StartTLSRequired                // STARTTLS, verified
	ImplicitTLS                     // TLS from the first octet, verified (RFC 8314)
)

// Relay is a smart host.
type Relay struct {
	Host     string // a name, or an IP address without brackets
	Port     uint16
	Mode     TLSMode
	User     string // "" for no AUTH
	Password string
}

// ErrRelay: not a smart host that mail can be sent to.
var ErrRelay = errors.New("not a smart host")

// ParseRelay reads a smart host as people write it:
//
//	smtps://user:password@host         TLS from the start, port 465
//	smtp+starttls://user:password@host STARTTLS or nothing, port 587
//	smtp://user:password@host          the same, as there is a password to protect
//	smtp://host                        STARTTLS if offered, port 25
//	host, host:port                    smtp://, and smtps:// for port 465
//
// each with an own :port where wanted. A user name may hold an @; what else
// is not allowed in a URL is written as %XX. To a loopback host a password
// may go in the clear.
func ParseRelay(s string) (*Relay, error) {
	fail := func(why string) (*Relay, error) {
		return nil, fmt.Errorf("%w: %s: want smtp://[user:password@]host[:port] or smtps://…", ErrRelay, why)
	}
	s = strings.TrimSpace(s)
	bare := !strings.Contains(s, "://")
	if bare {
		if a, err := netip.ParseAddr(s); err == nil && a.Is6() {
			s = "[" + s + "]"
		}
		s = "smtp://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		// The error of url.Parse quotes what may hold a password.
		return fail("not a URL")
	}
	r := &Relay{Host: strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))}
	if u.User != nil {
		r.User = u.User.Username()
		r.Password, _ = u.User.Password()
		if r.User == "" || r.Password == "" {
			return fail("a user and a password go together")
		}
		if strings.ContainsRune(r.User+r.Password, 0) {
			return fail("a NUL in user or password")
		}
	}
	switch u.Scheme {
	case "smtp":
		r.Port = 25
		if r.User != "" {
			r.Port = 587
		}
	case "smtp+starttls":
		r.Mode, r.Port = StartTLSRequired, 587
	case "smtps":
		r.Mode, r.Port = ImplicitTLS, 465
	default:
		return fail("unknown scheme " + strconv.Quote(u.Scheme))
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return fail("port " + strconv.Quote(p))
		}
		if r.Port = uint16(n); bare && n == 465 {
			r.Mode = ImplicitTLS
		}
	}
	if r.Mode == StartTLS && r.User != "" && !r.loopback() {
		r.Mode = StartTLSRequired
	}
	if _, err := netip.ParseAddr(r.Host); err != nil && !hostLike(r.Host) {
		return fail("host " + strconv.Quote(r.Host))
	}
	if (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return fail("something behind the host")
	}
	return r, nil
}

func hostLike(s string) bool {
	if s == "" || len(s) > 253 || strings.Contains("."+s+".", "..") {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// loopback reports whether what is said to the relay stays on this machine.
func (r *Relay) loopback() bool {
	a, err := netip.ParseAddr(r.Host)
	return r.Host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// String gives the relay as a URL without its password.
func (r *Relay) String() string {
	scheme := map[TLSMode]string{StartTLS: "smtp", StartTLSRequired: "smtp+starttls", ImplicitTLS: "smtps"}[r.Mode]
	u := url.URL{Scheme: scheme, Host: net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port)))}
	if r.User != "" {
		u.User = url.User(r.User)
	}
	return u.String()
}
