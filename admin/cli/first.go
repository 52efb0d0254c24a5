package cli

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"roost/admin"
	"roost/admin/machine"
)

// First is the screen of a server that has not been set up: what was found out about the
// machine, and how to go on.
type First struct {
	Version string
	Facts   machine.Facts
	Open    []admin.Listener
	Taken   []machine.Taken

	// Link leads to the setup page until Until; empty when no https door is open.
	Link        string
	Until       time.Time
	Fingerprint [32]byte // SHA-256 of the certificate that the page is shown with

	Data  string // flag that names the data directory, with a space before it; may be empty
	Color bool
}

// mark says how bad a finding is.
type mark int

const (
	good mark = iota
	note      // mail works, with less
	bad       // and next says what to do
	dunno
)

// finding is one thing that was found out.
type finding struct {
	mark  mark
	about string
	says  string
	next  string // a command, or what to do in words; never empty when bad
}

// Introduce finds out about the machine, makes the link to the setup page and prints the
// screen, within about five seconds; colours are for terminals. Keys are those of the
// https door.
func Introduce(ctx context.Context, w io.Writer, o *admin.Office, q machine.Questions, keys *tls.Config) error {
	s := First{
		Version: admin.Version(), Facts: machine.Look(ctx, q), Open: o.Listeners, Taken: o.Taken,
		Data: DataFlag(o.Store.Dir()), Color: colorful(w),
	}
	for _, l := range o.Listeners {
		if l.Name != "https" || s.Link != "" {
			continue
		}
		// A browser that goes to an address sends no name (RFC 6066 section 3).
		cert, err := keys.GetCertificate(&tls.ClientHelloInfo{})
		if err != nil {
			return err
		}
		s.Fingerprint = sha256.Sum256(cert.Certificate[0])
		if s.Link, s.Until, err = o.SetupLink(ctx, ReachedAt(l, s.Facts.Addresses)); err != nil {
			return err
		}
	}
	return s.Write(w)
}

func colorful(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}

// Write writes the screen.
func (s First) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Roost %s is not set up yet. What it found on this machine:\n\n", s.Version)
	for _, f := range s.findings() {
		fmt.Fprintf(&b, "  %s  %-9s  %s\n", s.sign(f.mark), f.about, f.says)
		if f.next != "" {
			fmt.Fprintf(&b, "                 → %s\n", f.next)
		}
	}
	if s.Link != "" {
		f := fmt.Sprintf("% X", s.Fingerprint)
		f = strings.ReplaceAll(f, " ", ":")
		fmt.Fprintf(&b, "\nSet it up in a browser, until %s:\n  %s\n", s.Until.Format("15:04"), s.Link)
		fmt.Fprintf(&b, "The browser warns, for the certificate is self-signed. Its SHA-256 fingerprint is\n  %s\n  %s\n", f[:48], f[48:])
		fmt.Fprintf(&b, "Or in a terminal: roost%s setup\n", s.Data)
	} else {
		fmt.Fprintf(&b, "\nSet it up in another terminal: roost%s setup\n", s.Data)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s First) sign(m mark) string {
	sign, color := "ok", 32
	switch m {
	case note:
		sign, color = "--", 33
	case bad:
		sign, color = "!!", 31
	case dunno:
		sign, color = "??", 33
	}
	if !s.Color {
		return sign
	}
	return fmt.Sprintf("\x1b[1;%dm%s\x1b[0m", color, sign)
}

func (s First) findings() []finding {
	list := s.addresses()
	if len(s.Open) > 0 {
		var doors []string
		for _, l := range s.Open {
			doors = append(doors, machine.Door(l).Port())
		}
		list = append(list, finding{good, "listening", "on " + strings.Join(doors, ", "), ""})
	}
	for _, t := range s.Taken {
		next := evict(t.Holder) + ", then restart Roost"
		if t.Holder == (machine.Program{}) {
			next = "find it with: ss -ltnp 'sport = :" + t.Port() + "'; stop it, then restart Roost"
		}
		list = append(list, finding{bad, "port " + t.Port(), fmt.Sprintf("for %s is held by %s", t.Name, t.Holder), next})
	}
	if f, asked := s.outwards(); asked {
		list = append(list, f)
	}
	for _, n := range s.Facts.Names {
		list = append(list, nameFinding(n))
	}
	if f, asked := s.clock(); asked {
		list = append(list, f)
	}
	return list
}

// addresses is a line for each family.
func (s First) addresses() []finding {
	if err := s.Facts.AddressesOf; err != nil {
		return []finding{{dunno, "addresses", err.Error(), ""}}
	}
	have := s.Facts.Addresses
	v4, v6 := machine.Of(have.Public, true), machine.Of(have.Public, false)
	var list []finding
	private := machine.Of(have.Private, true)
	switch {
	case len(v4) > 0:
		list = append(list, finding{good, "IPv4", join(v4) + ", public", ""})
	case len(private) > 0 && len(v6) > 0:
		list = append(list, finding{note, "IPv4", private[0].String() + ", behind NAT", "forward the ports to it, and give its public address to: roost" + s.Data + " setup --ipv4 IP"})
	case len(private) > 0:
		list = append(list, finding{bad, "IPv4", private[0].String() + ", behind NAT", "forward the ports to it, and give its public address to: roost" + s.Data + " setup --ipv4 IP"})
	case len(v6) > 0:
		list = append(list, finding{note, "IPv4", "none: servers without IPv6, of which there are many, cannot send mail here", ""})
	}
	switch {
	case len(v6) > 0:
		list = append(list, finding{good, "IPv6", join(v6) + ", public", ""})
	case len(v4)+len(private) > 0:
		list = append(list, finding{note, "IPv6", "none, which mail does without", ""})
	}
	if len(list) == 0 {
		list = append(list, finding{bad, "addresses", "none but this machine's own", "connect it to a network, then look: ip address"})
	}
	return list
}

func join(all []netip.Addr) string {
	var texts []string
	for _, a := range all {
		texts = append(texts, a.String())
	}
	if len(texts) > 2 {
		texts = append(texts[:2], fmt.Sprintf("%d more", len(texts)-2))
	}
	return strings.Join(texts, ", ")
}

func (s First) outwards() (f finding, asked bool) {
	a := s.Facts.Mail
	if a.Asked == "" {
		return f, false
	}
	host, port, err := net.SplitHostPort(a.Asked)
	if err != nil {
		host, port = a.Asked, "25"
	}
	f = finding{good, "out to " + port, host + " answers", ""}
	var unknown *net.DNSError
	switch {
	case errors.As(a.Err, &unknown):
		f.mark, f.says, f.next = bad, "unknown, for the DNS did not say where "+host+" is", "look at the resolver: cat /etc/resolv.conf"
	case a.Err != nil:
		f.mark, f.says = bad, "blocked: "+host+" is out of reach"
		f.next = "ask your provider to open it; a smart host does without: roost" + s.Data + " relay set --help"
	}
	return f, true
}

func nameFinding(n machine.Name) finding {
	f := finding{good, "PTR", n.Address.String() + " is " + strings.Join(n.Names, ", "), ""}
	switch {
	case n.Err != nil:
		f.mark, f.says = dunno, n.Address.String()+": the DNS did not answer"
	case len(n.Names) == 0:
		f.mark, f.says = bad, n.Address.String()+" has no name, which many servers ask for"
		f.next = "set it at your provider; look with: getent hosts " + n.Address.String()
	}
	return f
}

// wrongClock is what a clock that somebody sets never shows.
const wrongClock = 10 * time.Second

func (s First) clock() (f finding, asked bool) {
	c := s.Facts.Clock
	ahead := s.Facts.Ahead
	switch {
	case c.Asked == "":
		return f, false
	case c.Err != nil:
		return finding{dunno, "clock", "not compared, for " + c.Asked + " did not answer", ""}, true
	case ahead.Abs() < wrongClock:
		return finding{good, "clock", "right to the second", ""}, true
	}
	says := "ahead by " + ahead.Round(time.Second).String()
	if ahead < 0 {
		says = "behind by " + (-ahead).Round(time.Second).String()
	}
	return finding{bad, "clock", says, "timedatectl set-ntp true"}, true
}

// ReachedAt is the address at which a browser elsewhere finds the https door: a public
// one of the machine, else a private one, else the door's own.
func ReachedAt(door admin.Listener, have machine.Addresses) string {
	host, port, err := net.SplitHostPort(door.Address)
	if err != nil {
		return door.Address
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		all := append(machine.Of(have.Public, true), machine.Of(have.Public, false)...)
		all = append(append(all, have.Private...), netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		host = all[0].String()
	}
	if port == "443" {
		if strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return host
	}
	return net.JoinHostPort(host, port)
}
