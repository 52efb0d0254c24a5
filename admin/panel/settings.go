package panel

import (
	"fmt"
	"net/http"
	"time"

	"roost/admin"
	"roost/admin/machine"
)

// settings is what holds for the whole server.
func settings(v *visit) error {
	answered, err := v.act(acts{"host set": stay, "relay set": stay, "relay remove": stay, "certificate retry": stay,
		"allow": stay, "block": stay, "rule remove": stay, "retention set": stay, "lockout lift": stay, "sending set": stay, "reception set": stay,
		"blocklist set": stay, "blocklist check": stay})
	if answered || err != nil {
		return err
	}
	if !v.account.Admin {
		return v.administrators()
	}
	var page struct {
		Status       admin.Status
		Host         admin.Host
		Set, Through form
		Relay        admin.Relay
		Findings     admin.HostFindings // of a check, when it was asked for
		Program      admin.Program
		Certificates []admin.Certificate
		Cared        bool // somebody sees to certificates
		Taken        []machine.Taken
		Disk         disk
		Backup       int64 // bytes
		Lockouts     []admin.Lockout
		Lift         form
		Rules        []admin.Rule
		Allow, Block form
		Sending      admin.Sending
		Limits       form
		Reception    admin.Reception
		Bring        form
		BlockLists   admin.BlockLists
		Lists        form
		Retention    admin.Retention
		Keep         form
	}
	page.Taken = v.office.Taken
	if page.Host, err = ask[admin.Host](v, "host show"); err != nil {
		return err
	}
	if page.Status, err = ask[admin.Status](v, "status"); err != nil {
		return err
	}
	if page.Lockouts, err = ask[[]admin.Lockout](v, "lockout list"); err != nil {
		return err
	}
	if page.Lift, err = v.form("lockout lift", "Let it log in"); err != nil {
		return err
	}
	if page.Program, err = ask[admin.Program](v, "version"); err != nil {
		return err
	}
	if page.Disk, err = diskOf(v.store.Dir()); err != nil {
		return err
	}
	if page.Backup, err = v.store.BackupSize(); err != nil {
		return err
	}
	if page.Set, err = v.form("host set", "Save"); err != nil {
		return err
	}
	if v.problem == nil {
		page.Set.set("name", page.Host.Name)
		page.Set.set("addresses", page.Host.Addresses...)
	}
	if page.Relay, err = ask[admin.Relay](v, "relay show"); err != nil {
		return err
	}
	if page.Through, err = v.form("relay set", "Send through it"); err != nil {
		return err
	}
	if page.Rules, err = ask[[]admin.Rule](v, "rule list"); err != nil {
		return err
	}
	if page.Sending, err = ask[admin.Sending](v, "sending show"); err != nil {
		return err
	}
	if page.Limits, err = v.form("sending set", "Save", "account", ""); err != nil {
		return err
	}
	if page.Reception, err = ask[admin.Reception](v, "reception show"); err != nil {
		return err
	}
	if page.Bring, err = v.form("reception set", "Save"); err != nil {
		return err
	}
	if page.BlockLists, err = ask[admin.BlockLists](v, "blocklist show"); err != nil {
		return err
	}
	if page.Lists, err = v.form("blocklist set", "Save", "resolver", ""); err != nil {
		return err
	}
	if v.problem == nil {
		page.Lists.set("lists", page.BlockLists.Lists...)
		page.Lists.set("then", page.BlockLists.Then)
	}
	if page.Retention, err = ask[admin.Retention](v, "retention show"); err != nil {
		return err
	}
	if page.Keep, err = v.form("retention set", "Save"); err != nil {
		return err
	}
	if page.Allow, err = v.form("allow", "Let in"); err != nil {
		return err
	}
	if page.Block, err = v.form("block", "Refuse"); err != nil {
		return err
	}
	if v.r.URL.Query().Get("check") != "" && v.problem == nil {
		if page.Findings, err = ask[admin.HostFindings](v, "host check"); err != nil {
			return err
		}
	}
	if v.office.Certificates != nil {
		page.Cared, page.Certificates = true, v.office.Certificates()
	}
	return v.show("settings", "settings", "Settings", page)
}

// administrators refuses what is for them, in the words of an operation.
func (v *visit) administrators() error {
	_, err := ask[admin.Host](v, "host show")
	return err
}

// backup sends all of the store while the server works, as roost backup does.
func backup(v *visit) error {
	if !v.account.Admin {
		return v.administrators()
	}
	name := "roost-" + time.Now().UTC().Format("20060102T150405Z") + ".tar"
	v.w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name))
	err := v.office.SendBackup(v.w, v.r, nil)
	if err != nil {
		v.w.Header().Del("Content-Disposition")
	}
	return err
}

// check reads the whole store, which takes its time: the page begins at once, and ends
// with what was found.
func check(v *visit) error {
	op, err := admin.Find("check")
	if err != nil {
		return err
	}
	if !v.caller.Admin {
		_, err := v.office.Do(v.r.Context(), v.caller, op, op.NewArgs())
		return err
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	f := v.frame("settings", "Check of the store", nil)
	begun := v.pages.ExecuteTemplate(v.w, "check-begin", f)
	_ = http.NewResponseController(v.w).Flush()
	if begun != nil {
		return nil // nobody is there any more
	}
	result, err := v.office.Do(v.r.Context(), v.caller, op, op.NewArgs())
	report, _ := result.(admin.Report)
	f.Data = report
	if err != nil {
		f.Problem = admin.Explain(err).Message
	}
	if err := v.pages.ExecuteTemplate(v.w, "check-end", f); err != nil {
		v.log.Debug("page", "name", "check-end", "err", err)
	}
	return nil
}
