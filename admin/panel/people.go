package panel

import (
	"net"
	"net/http"
	"net/url"
	"slices"

	"roost/admin"
	"roost/mailbox"
)

// people lists the accounts and aliases, and makes new ones. A person who is no
// administrator has a page of their own instead.
func people(v *visit) error {
	if !v.account.Admin && v.r.Method == http.MethodGet {
		http.Redirect(v.w, v.r, personPath(string(v.account.Address)), http.StatusSeeOther)
		return nil
	}
	answered, err := v.act(acts{
		"account add": func(_ *visit, _ url.Values, result any) string {
			if r, ok := result.(admin.AccountAdded); ok {
				return personPath(r.Address)
			}
			return ""
		},
		"alias add":    stay,
		"alias set":    stay,
		"alias remove": stay,
	})
	if answered || err != nil {
		return err
	}
	var page struct {
		Accounts  []admin.Account
		Aliases   []admin.Alias
		Domains   []admin.Domain
		Add, Also form
		Change    form
	}
	if page.Accounts, err = ask[[]admin.Account](v, "account list"); err != nil {
		return err
	}
	if page.Aliases, err = ask[[]admin.Alias](v, "alias list"); err != nil {
		return err
	}
	if page.Domains, err = ask[[]admin.Domain](v, "domain list"); err != nil {
		return err
	}
	if page.Add, err = v.form("account add", "Add"); err != nil {
		return err
	}
	if page.Also, err = v.form("alias add", "Add the alias"); err != nil {
		return err
	}
	if page.Change, err = v.form("alias set", "Change it"); err != nil {
		return err
	}
	return v.show("people", "people", "People", page)
}

func personPath(address string) string { return "/panel/people/" + url.PathEscape(address) }

// person is one account: its devices, its password, its end.
func person(v *visit) error {
	answered, err := v.act(acts{
		"device add": stay, "device remove": stay, "device unfreeze": stay, "sending set": stay, "allow": stay, "block": stay, "rule remove": stay, "account password": stay, "account restrict": stay, "account relax": stay, "undelete restore": stay,
		"account promote": stay, "account demote": stay, "account disable": stay, "account enable": stay, "account hide": stay,
		"account remove": func(*visit, url.Values, any) string { return "/panel/people" },
	})
	if answered || err != nil {
		return err
	}
	address := v.r.PathValue("address")
	var page struct {
		Address  string
		Own      bool
		Admin    bool
		Disabled bool
		AppOnly  bool
		Usage    mailbox.Usage
		Aliases  []string
		Devices  []admin.Device
		Add      form
		Rules    []admin.Rule
		Allow    form
		Block    form
		Sending  admin.Sending
		Limits   form
		Password form
		Hidden   []string
		Hide     form
		Expunged []admin.Expunged // the last ones
		Back     form
		Doors    doors
	}
	// It says who may: an administrator, and the person.
	if page.Devices, err = ask[[]admin.Device](v, "device list", "address", address); err != nil {
		return err
	}
	addr, err := mailbox.ParseAddress(address)
	if err != nil {
		return err
	}
	a, err := v.store.Account(addr)
	if err != nil {
		return err
	}
	page.Address, page.Own, page.Admin, page.Disabled, page.AppOnly = string(a.Address), a.ID == v.account.ID, a.Admin, a.Disabled, a.AppOnly
	if page.Usage, err = v.store.AccountUsage(a.ID); err != nil {
		return err
	}
	aliases, err := v.store.Aliases()
	if err != nil {
		return err
	}
	for _, alias := range aliases {
		if slices.Contains(alias.To, a.Address) {
			page.Aliases = append(page.Aliases, string(alias.Address))
		}
	}
	if page.Add, err = v.form("device add", "Connect", "address", page.Address); err != nil {
		return err
	}
	if page.Rules, err = ask[[]admin.Rule](v, "rule list", "account", page.Address); err != nil {
		return err
	}
	if page.Allow, err = v.form("allow", "Let in", "account", page.Address); err != nil {
		return err
	}
	if page.Block, err = v.form("block", "Refuse", "account", page.Address); err != nil {
		return err
	}
	if page.Sending, err = ask[admin.Sending](v, "sending show", "account", page.Address); err != nil {
		return err
	}
	if page.Limits, err = v.form("sending set", "Set the limits", "account", page.Address); err != nil {
		return err
	}
	if page.Password, err = v.form("account password", "Change the password", "address", page.Address); err != nil {
		return err
	}
	if page.Expunged, err = ask[[]admin.Expunged](v, "undelete list", "address", page.Address); err != nil {
		return err
	}
	page.Expunged = page.Expunged[:min(len(page.Expunged), expungedShown)]
	if page.Back, err = v.form("undelete restore", "Put back", "address", page.Address); err != nil {
		return err
	}
	page.Hidden = a.Hidden
	if page.Hide, err = v.form("account hide", "Hide them", "address", page.Address); err != nil {
		return err
	}
	page.Doors = v.doors()
	return v.show("person", "people", page.Address, page)
}

// expungedShown is how many expunged messages a person's page shows.
const expungedShown = 20

// doors is what a mail program is told of the server.
type doors struct {
	Host string
	Read []doorway // the best first
	Send []doorway
}

type doorway struct {
	Port     string
	Security string
	Best     bool
}

// doors lists what is open for mail programs, TLS from the first byte before STARTTLS
// (RFC 8314 section 3).
func (p *panel) doors() doors {
	d := doors{Host: p.office.Hostname()}
	find := func(name, security string, best bool) []doorway {
		for _, l := range p.office.Listeners {
			if _, port, err := net.SplitHostPort(l.Address); err == nil && l.Name == name {
				return []doorway{{port, security, best}}
			}
		}
		return nil
	}
	d.Read = append(find("imaps", "SSL/TLS", true), find("imap", "STARTTLS", false)...)
	d.Send = append(find("submissions", "SSL/TLS", true), find("submission", "STARTTLS", false)...)
	return d
}
