package panel

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"

	"roost/admin"
	"roost/admin/records"
	"roost/mailbox"
)

// domains lists the domains and takes new ones.
func domains(v *visit) error {
	answered, err := v.act(acts{
		"domain add": func(_ *visit, _ url.Values, result any) string {
			if d, ok := result.(admin.DomainAdded); ok {
				return domainPath(d.Name)
			}
			return ""
		},
	})
	if answered || err != nil {
		return err
	}
	var page struct {
		Domains []admin.Domain
		Add     form
	}
	if page.Domains, err = ask[[]admin.Domain](v, "domain list"); err != nil {
		return err
	}
	if page.Add, err = v.form("domain add", "Add"); err != nil {
		return err
	}
	return v.show("domains", "domains", "Domains", page)
}

func domainPath(name string) string { return "/panel/domains/" + url.PathEscape(name) }

// domain is one domain with the records that it needs.
func domain(v *visit) error {
	answered, err := v.act(acts{
		"domain set": stay, "domain disable": stay, "domain enable": stay,
		"domain remove": func(*visit, url.Values, any) string { return "/panel/domains" },
	})
	if answered || err != nil {
		return err
	}
	page := domainPage{Name: v.r.PathValue("domain")}
	if name, err := mailbox.ParseDomain(page.Name); err == nil {
		page.Name = name
	}
	query := []string{"domain", page.Name}
	// Looking takes seconds, so it is asked for.
	if page.Checked = v.r.URL.Query().Get("check") != ""; page.Checked {
		query = append(query, "check", "yes")
	}
	if page.Records, err = ask[admin.Records](v, "dns", query...); err != nil {
		return err
	}
	for _, f := range page.Records {
		switch {
		case f.State.Good():
			page.Good++
		case f.Bad():
			page.Bad++
		}
	}
	d, err := v.store.Domain(page.Name)
	if err != nil {
		return err
	}
	page.Disabled = d.Disabled
	if page.Set, err = v.form("domain set", "Save", "domain", page.Name); err != nil {
		return err
	}
	if v.problem == nil {
		page.Set.set("catch_all", string(d.CatchAll))
		if d.Separators != nil {
			page.Set.set("separators", *d.Separators)
		}
	}
	if page.Checked {
		if err := v.noteCheck(page); err != nil {
			v.log.Error("note a check", "err", err) // it can be looked at all the same
		}
	}
	return v.show("domain", "domains", page.Name, page)
}

// lastCheck is what the overview remembers of a domain's records.
type lastCheck struct {
	Good int `json:"good"`
	Bad  int `json:"bad"` // without which mail is lost or refused
}

func checkKey(domain string) string { return "check/" + domain }

func (v *visit) noteCheck(page domainPage) error {
	value, err := json.Marshal(lastCheck{page.Good, page.Bad})
	if err != nil {
		return err
	}
	return v.cards.Put(v.r.Context(), checkKey(page.Name), value)
}

// checkOf tells how a domain's records were when they were last looked at; nil: never.
func (v *visit) checkOf(domain string) (*lastCheck, error) {
	value, _, err := v.cards.Get(v.r.Context(), checkKey(domain))
	if errors.Is(err, mailbox.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	last := new(lastCheck)
	return last, json.Unmarshal(value, last)
}

type domainPage struct {
	Name      string
	Records   admin.Records
	Checked   bool
	Good, Bad int
	Set       form
	Disabled  bool
}

// zone is the records as a zone file to download.
func zone(v *visit) error {
	name := v.r.PathValue("domain")
	findings, err := ask[admin.Records](v, "dns", "domain", name)
	if err != nil {
		return err
	}
	var list []records.Record
	for _, f := range findings {
		list = append(list, f.Record)
	}
	var b bytes.Buffer
	if err := records.WriteZone(&b, list); err != nil {
		return err
	}
	download(v.w, name+".zone", int64(b.Len()))
	_, _ = b.WriteTo(v.w)
	return nil
}
