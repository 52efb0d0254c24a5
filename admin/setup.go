package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"roost/admin/machine"
	"roost/mailbox"
)

type setupArgs struct {
	Domain   string   `json:"domain" placeholder:"NAME" help:"The domain to receive mail for: the part of an address after the @."`
	Host     string   `json:"host" placeholder:"NAME" help:"The full name of this server; without it mail.DOMAIN."`
	Admin    string   `json:"admin" placeholder:"ADDRESS" help:"The address of the first administrator."`
	Password Secret   `json:"password" name:"password-stdin" help:"Read the administrator's password from the first line of standard input."`
	IPv4     []string `json:"ipv4" name:"ipv4" placeholder:"IP" help:"A public address of this server. Without this and --ipv6, those of its interfaces that are public."`
	IPv6     []string `json:"ipv6" name:"ipv6" placeholder:"IP" help:"The same for IPv6."`
}

// Help is shown below the one line of the list.
func (setupArgs) Help() string {
	return "At a terminal it asks for what is not given. It asks nothing of the DNS, and may be given again: " +
		"what is there already stays, an administrator's password too.\n\n" + passwordHelp
}

// Asker puts a question to a person and returns the answer, or what was suggested when
// the answer is empty. An answer that check refuses is asked for again.
type Asker func(question, suggestion string, check func(string) error) (string, error)

// Ask asks a person for what is missing.
func (a *setupArgs) Ask(ask Asker) error {
	machineName, _ := os.Hostname()
	for _, q := range []struct {
		answer   *string
		question string
		suggest  func() string
		check    func(string) error
	}{
		{&a.Domain, "Domain, the part of your addresses after the @", func() string { return domainOf(a.Host, machineName) }, checkName},
		{&a.Host, "Name of this server", func() string { return hostFor(a.Domain, machineName) }, checkName},
		{&a.Admin, "Address of the administrator", func() string { return "" }, a.checkAdmin},
	} {
		if *q.answer != "" {
			continue
		}
		answer, err := ask(q.question, q.suggest(), q.check)
		if err != nil {
			return err
		}
		*q.answer = answer
	}
	return nil
}

// domainOf suggests the domain of a server from names that it may have, the first that
// is a full one: without the label that names the machine, unless that leaves too little.
func domainOf(names ...string) string {
	for _, name := range names {
		if checkName(name) != nil || strings.HasSuffix(name, ".localdomain") {
			continue
		}
		if _, rest, _ := strings.Cut(name, "."); strings.Contains(rest, ".") {
			return rest
		}
		return name
	}
	return ""
}

// hostFor suggests the name of a server for a domain: that of the machine where it lies
// in the domain.
func hostFor(domain, machineName string) string {
	if strings.HasSuffix(machineName, "."+domain) {
		return machineName
	}
	return "mail." + domain
}

func checkName(name string) error {
	name, err := mailbox.ParseDomain(name)
	if err == nil && !strings.Contains(name, ".") {
		err = errorf(Invalid, "%q is not a full name such as mail.example.org", name)
	}
	return err
}

func (a *setupArgs) checkAdmin(address string) error {
	addr, err := mailbox.ParseAddress(address)
	if err == nil && a.Domain != "" {
		if domain, err := mailbox.ParseDomain(a.Domain); err == nil && domain != addr.Domain() {
			return errorf(Invalid, "%s is not an address of %s", addr, domain)
		}
	}
	return err
}

// SetUp is the result of "setup".
type SetUp struct {
	Host      string   `json:"host"`
	Addresses []string `json:"addresses"` // empty: not known
	Domain    string   `json:"domain"`
	Admin     string   `json:"admin"`
	New       bool     `json:"new"`                // the administrator was made now
	Password  string   `json:"password,omitempty"` // only one that was made up
	Running   bool     `json:"running"`            // a server answered
	Ports     []string `json:"ports"`              // that strangers and mail programs come to
	Taken     []string `json:"taken,omitempty"`    // ports that other programs hold, and which
}

// Text says in 24 lines at most what there is now and what to do next.
func (s SetUp) Text(w io.Writer, _ any) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s receives mail for %s.", s.Host, s.Domain)
	switch {
	case !s.New:
		line("%s is an administrator already; the password stays as it was.", s.Admin)
	case s.Password != "":
		line("%s is its administrator. Password, shown only now: %s", s.Admin, s.Password)
	default:
		line("%s is its administrator, with the password that you chose.", s.Admin)
	}
	line("\nNext, in any order:")
	if !s.Running {
		line("  start      systemctl start roost, or: roost serve")
	}
	for i, t := range s.Taken {
		if i == 3 {
			line("             and %d more", len(s.Taken)-i)
			break
		}
		line("  port       %s: stop that one, then restart Roost", t)
	}
	line("  DNS        publish what this shows: roost dns %s", s.Domain)
	if len(s.Addresses) == 0 {
		line("  address    this machine has no public one: forward the ports below to it, then")
		line("             roost host set %s --address YOUR.PUBLIC.IP", s.Host)
	}
	for i, a := range s.Addresses {
		if i == 4 {
			line("             and %d more", len(s.Addresses)-i)
			break
		}
		label := "PTR"
		if i > 0 {
			label = ""
		}
		line("  %-9s  at your provider, give %s the name %s", label, a, s.Host)
	}
	line("  firewall   let in TCP %s", strings.Join(s.Ports, ", "))
	line("  port 25    must be open outwards, too: ask your provider, or use a smart host with")
	line("             roost relay set smtps://USER@HOST --password-stdin")
	line("  check      what of this is done: roost dns %s --check; roost host check", s.Domain)
	line("  devices    an app password for each: roost device add %s \"my phone\"", s.Admin)
	_, err := io.WriteString(w, b.String())
	return err
}

// plan is what setup is to make, read and found good.
type plan struct {
	domain, host string
	admin        mailbox.Address
	v4, v6       []string
}

func (a *setupArgs) plan() (p plan, err error) {
	if a.Domain == "" {
		a.Domain = domainOf(a.Host)
	}
	if a.Domain == "" {
		return p, errorf(Invalid, "the domain is missing: give it with --domain example.org")
	}
	if a.Admin == "" {
		return p, errorf(Invalid, "the administrator is missing: give an address with --admin you@%s", a.Domain)
	}
	if err := checkName(a.Domain); err != nil {
		return p, err
	}
	if p.domain, err = mailbox.ParseDomain(a.Domain); err != nil {
		return p, err
	}
	if a.Host != "" {
		if err := checkName(a.Host); err != nil {
			return p, err
		}
		if p.host, err = mailbox.ParseDomain(a.Host); err != nil {
			return p, err
		}
	}
	if err := a.checkAdmin(a.Admin); err != nil {
		return p, err
	}
	if p.admin, err = mailbox.ParseAddress(a.Admin); err != nil {
		return p, err
	}
	for _, text := range append(append([]string{}, a.IPv4...), a.IPv6...) {
		ip, err := netip.ParseAddr(text)
		if err != nil || ip.Zone() != "" {
			return p, errorf(Invalid, "%q is not an IP address", text)
		}
		if ip = ip.Unmap(); ip.Is4() {
			p.v4 = append(p.v4, ip.String())
		} else {
			p.v6 = append(p.v6, ip.String())
		}
	}
	return p, nil
}

// setup makes the domain, the name of the server and the first administrator, each
// where it is missing. What was made before an error stays, and is found the next time.
func setup(ctx context.Context, o *Office, a *setupArgs) (SetUp, error) {
	p, err := a.plan()
	if err != nil {
		return SetUp{}, err
	}
	existing, err := o.Store.Account(p.admin)
	if err == nil && !existing.Admin {
		return SetUp{}, errorf(Exists, "%s exists already and is not an administrator: choose another address", p.admin)
	}
	if err != nil && !errors.Is(err, mailbox.ErrNotFound) {
		return SetUp{}, err
	}
	fresh := err != nil
	// Asked first, since the keys of a new one take a while to make.
	if _, err := o.Store.Domain(p.domain); errors.Is(err, mailbox.ErrNotFound) {
		_, err = o.Store.AddDomain(ctx, p.domain)
		if err != nil {
			return SetUp{}, err
		}
	} else if err != nil {
		return SetUp{}, err
	}
	if err := o.name(ctx, p); err != nil {
		return SetUp{}, err
	}
	var madeUp string
	if fresh {
		var word string
		word, madeUp = password(a.Password)
		_, err := o.Store.CreateAccount(ctx, mailbox.NewAccount{Address: p.admin, Password: word, Admin: true})
		if err != nil {
			return SetUp{}, err
		}
	}
	if err := o.Store.DropTokens(ctx, func(t *mailbox.Token) bool { return t.Kind == mailbox.TokenSetup }); err != nil {
		return SetUp{}, err
	}
	host, err := hostShow(ctx, o, nil)
	s := SetUp{
		Host: host.Name, Addresses: host.Addresses, Domain: p.domain,
		Admin: string(p.admin), New: fresh, Password: madeUp, Running: o.Running, Ports: o.ports(),
	}
	for _, t := range o.Taken {
		s.Taken = append(s.Taken, fmt.Sprintf("%s is held by %s", t.Port(), t.Holder))
	}
	return s, err
}

// name sets the server's name and its addresses: those given, else those set before, else
// what the domain and the interfaces suggest.
func (o *Office) name(ctx context.Context, p plan) error {
	here, err := machine.LocalAddresses()
	if err != nil {
		here = machine.Addresses{} // then the owner sets them
	}
	machineName, _ := os.Hostname()
	return o.Store.ChangeSettings(ctx, func(s *mailbox.Settings) error {
		switch {
		case p.host != "":
			s.Hostname = p.host
		case s.Hostname == "":
			s.Hostname = hostFor(p.domain, machineName)
		}
		switch {
		case len(p.v4)+len(p.v6) > 0:
			s.IPv4, s.IPv6 = p.v4, p.v6
		case len(s.IPv4)+len(s.IPv6) == 0:
			for _, a := range here.Public {
				if a.Is4() {
					s.IPv4 = append(s.IPv4, a.String())
				} else {
					s.IPv6 = append(s.IPv6, a.String())
				}
			}
		}
		return nil
	})
}

// ports are the numbers that the open doors have, or would have.
func (o *Office) ports() []string {
	if len(o.Listeners) == 0 {
		return []string{"25", "465", "587", "993", "143", "80", "443"}
	}
	var ports []string
	for _, l := range o.Listeners {
		ports = append(ports, machine.Door(l).Port())
	}
	return ports
}

// setupGood is how long the link to the setup page works.
const setupGood = time.Hour

// NeedsSetup tells whether there is no domain or no administrator yet.
func (o *Office) NeedsSetup() (bool, error) {
	domains, err := o.Store.Domains()
	if err != nil || len(domains) == 0 {
		return err == nil, err
	}
	has, err := o.hasAdministrator()
	return !has, err
}

func (o *Office) hasAdministrator() (bool, error) {
	accounts, err := o.Store.Accounts()
	for _, a := range accounts {
		if a.Admin {
			return true, nil
		}
	}
	return false, err
}

// SetupLink makes the link to the setup page on a server that is reached at that
// address (host, or host:port). It works once, for an hour, and only as long as there
// is no administrator.
func (o *Office) SetupLink(ctx context.Context, address string) (link string, until time.Time, err error) {
	secret, err := o.Store.NewToken(ctx, mailbox.TokenSetup, 0, setupGood)
	return "https://" + address + setupPath + "?token=" + secret, time.Now().Add(setupGood), err
}
