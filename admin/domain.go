package admin

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"roost/mailbox"
)

// Domain is a domain as the office shows it: without its private keys.
type Domain struct {
	Name       string    `json:"name" table:"DOMAIN"`
	Created    time.Time `json:"created" table:"SINCE"`
	CatchAll   string    `json:"catch_all,omitempty" table:"CATCH-ALL"`
	Separators string    `json:"separators" table:"SEPARATORS"`
	Disabled   bool      `json:"disabled" table:"DISABLED"`
}

func shownDomain(d mailbox.Domain) Domain {
	shown := Domain{d.Name, d.Created, string(d.CatchAll), "+", d.Disabled}
	if d.Separators != nil {
		shown.Separators = *d.Separators
	}
	return shown
}

type domainArgs struct {
	Domain string `json:"domain" arg:"" help:"The part of an address after the @."`
}

// DomainAdded is the result of "domain add".
type DomainAdded struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

// Text says how to go on.
func (d DomainAdded) Text(w io.Writer, _ any) error {
	_, err := fmt.Fprintf(w, "%s added. The DNS records that it needs: roost dns %[1]s\n", d.Name)
	return err
}

func domainAdd(ctx context.Context, o *Office, a *domainArgs) (DomainAdded, error) {
	d, err := o.Store.AddDomain(ctx, a.Domain)
	if err != nil {
		return DomainAdded{}, err
	}
	// The first domain names the server; the name stays when others come.
	err = o.Store.ChangeSettings(ctx, func(s *mailbox.Settings) error {
		if s.Hostname == "" {
			s.Hostname = "mail." + d.Name
		}
		return nil
	})
	return DomainAdded{d.Name, d.Created}, err
}

func domainList(_ context.Context, o *Office, _ *struct{}) ([]Domain, error) {
	all, err := o.Store.Domains()
	var list []Domain
	for _, d := range all {
		list = append(list, shownDomain(d))
	}
	return list, err
}

type domainSetArgs struct {
	domainArgs
	CatchAll   string `json:"catch_all" placeholder:"ADDRESS" help:"Who gets the mail to addresses that nobody has; none: it is refused. Without it all stays as it is."`
	Separators string `json:"separators" placeholder:"CHARACTERS" help:"The characters that may begin a subaddress, such as + and -; none: there are no subaddresses. Without it all stays as it is."`
}

// none is the word that takes a setting away where nothing leaves it as it is.
const none = "none"

func domainSet(ctx context.Context, o *Office, a *domainSetArgs) (Domain, error) {
	var to mailbox.Address
	if a.CatchAll != "" && a.CatchAll != none {
		var err error
		if to, err = mailbox.ParseTarget(a.CatchAll); err != nil {
			return Domain{}, err
		}
	}
	d, err := o.Store.ChangeDomain(ctx, a.Domain, func(d *mailbox.Domain) error {
		if a.CatchAll != "" {
			d.CatchAll = to
		}
		if a.Separators != "" {
			d.Separators = &a.Separators
			if a.Separators == none {
				d.Separators = new(string)
			}
		}
		return nil
	})
	return shownDomain(d), err
}

// Text says what holds now.
func (d Domain) Text(w io.Writer, _ any) error {
	to, by := "is refused", "There are no subaddresses."
	if d.CatchAll != "" {
		to = "goes to " + d.CatchAll
	}
	if d.Separators != "" {
		by = "A subaddress may begin with " + strings.Join(strings.Split(d.Separators, ""), " or ") + "."
	}
	_, err := fmt.Fprintf(w, "Mail to addresses of %s that nobody has %s. %s\n", d.Name, to, by)
	return err
}

func domainDisable(ctx context.Context, o *Office, a *domainArgs) (Done, error) {
	d, err := o.Store.ChangeDomain(ctx, a.Domain, func(d *mailbox.Domain) error { d.Disabled = true; return nil })
	return done("%s is disabled.", d.Name), err
}

func domainEnable(ctx context.Context, o *Office, a *domainArgs) (Done, error) {
	d, err := o.Store.ChangeDomain(ctx, a.Domain, func(d *mailbox.Domain) error { d.Disabled = false; return nil })
	return done("%s is enabled.", d.Name), err
}

func domainRemove(ctx context.Context, o *Office, a *domainArgs) (Done, error) {
	name, err := mailbox.ParseDomain(a.Domain)
	if err != nil {
		return Done{}, err
	}
	return done("%s removed.", name), o.Store.RemoveDomain(ctx, name)
}

// Hostname is the name that this server goes by in SMTP, in MX records and in what mail
// programs are told: the one set, else the machine's own where that is a full name, else
// localhost.
func (o *Office) Hostname() string {
	if s, err := o.Store.Settings(); err == nil && s.Hostname != "" {
		return s.Hostname
	}
	if name, err := os.Hostname(); err == nil && strings.Contains(name, ".") {
		if name, err = mailbox.ParseDomain(name); err == nil {
			return name
		}
	}
	return "localhost"
}

// Host is this server in the DNS.
type Host struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"` // empty: not known
}

// Text is the name and the addresses in one line.
func (h Host) Text(w io.Writer, _ any) error {
	addresses := strings.Join(h.Addresses, ", ")
	if addresses == "" {
		addresses = "addresses not set"
	}
	_, err := fmt.Fprintf(w, "%s (%s)\n", h.Name, addresses)
	return err
}

func hostShow(_ context.Context, o *Office, _ *struct{}) (Host, error) {
	s, err := o.Store.Settings()
	return Host{o.Hostname(), append(append([]string{}, s.IPv4...), s.IPv6...)}, err
}

type hostArgs struct {
	Name      string   `json:"name" arg:"" help:"The full name of this server, such as mail.example.org."`
	Addresses []string `json:"addresses" name:"address" placeholder:"IP" help:"A public address of this server; may be given more than once. Without any, those set before stay."`
}

func hostSet(ctx context.Context, o *Office, a *hostArgs) (Host, error) {
	name, err := mailbox.ParseDomain(a.Name)
	if err != nil {
		return Host{}, err
	}
	var v4, v6 []string
	for _, text := range a.Addresses {
		ip, err := netip.ParseAddr(text)
		if err != nil || ip.Zone() != "" {
			return Host{}, errorf(Invalid, "%q is not an IP address", text)
		}
		if ip = ip.Unmap(); ip.Is4() {
			v4 = append(v4, ip.String())
		} else {
			v6 = append(v6, ip.String())
		}
	}
	err = o.Store.ChangeSettings(ctx, func(s *mailbox.Settings) error {
		s.Hostname = name
		if len(a.Addresses) > 0 {
			s.IPv4, s.IPv6 = v4, v6
		}
		return nil
	})
	if err != nil {
		return Host{}, err
	}
	return hostShow(ctx, o, nil)
}
