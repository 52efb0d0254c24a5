package panel

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"roost/admin"
	"roost/mailbox"
)

// finding is something that needs a hand.
type finding struct {
	Text     string
	Link, To string        // what to do about it, and where
	Frozen   *admin.Frozen // a device that may not send, which a button ends
}

// day counts what happened in the last 24 hours.
type day struct {
	Received, Refused, Submitted, Delivered, Deferred, Failed int
}

// disk is the file system of the data directory.
type disk struct {
	Free, Total int64
	Percent     int // in use
}

type overviewPage struct {
	Findings []finding
	Test     *journey
	Folders  []mailbox.Folder
	Usage    mailbox.Usage

	// For administrators alone:
	Status       admin.Status
	Day          day
	Disk         disk
	Certificates []admin.Certificate
	Cared        bool // somebody sees to certificates
	Queue        []mailbox.Outgoing
	Checks       map[string]*lastCheck // by domain; nil: its records were never looked at
}

// overview is the first page: what is well, and what needs a hand.
func overview(v *visit) error {
	answered, err := v.act(acts{"test": v.noteTest, "queue retry": stay, "queue drop": stay, "device unfreeze": stay})
	if answered || err != nil {
		return err
	}
	var page overviewPage
	if page.Test, err = v.lastTest(); err != nil {
		return err
	}
	if page.Folders, err = v.store.Folders(v.account.ID); err != nil {
		return err
	}
	page.Folders = slices.DeleteFunc(page.Folders, func(f mailbox.Folder) bool { return f.Messages == 0 && f.ID != mailbox.InboxID })
	if page.Usage, err = v.store.AccountUsage(v.account.ID); err != nil {
		return err
	}
	if v.account.Admin {
		if err := v.lookAround(&page); err != nil {
			return err
		}
	} else {
		own, err := ask[admin.Sending](v, "sending show", "account", string(v.account.Address))
		if err != nil {
			return err
		}
		page.Findings = thaw(own.Frozen)
	}
	v.showLive("overview", "overview", "Overview", page.Test != nil && page.Test.Live, page)
	return nil
}

// noteTest keeps the number of a test, for its journey.
func (v *visit) noteTest(_ *visit, _ url.Values, result any) string {
	if r, ok := result.(admin.Tested); ok {
		if err := v.cards.Put(v.r.Context(), testKey(v.account.ID), []byte(r.ID)); err != nil {
			v.log.Error("note a test", "err", err)
		}
	}
	return admin.PanelPath
}

// lookAround fills in what an administrator looks after.
func (v *visit) lookAround(page *overviewPage) (err error) {
	if page.Status, err = ask[admin.Status](v, "status"); err != nil {
		return err
	}
	if page.Queue, err = v.store.Outbox(); err != nil {
		return err
	}
	if page.Day, err = v.lastDay(); err != nil {
		return err
	}
	if page.Disk, err = diskOf(v.store.Dir()); err != nil {
		return err
	}
	if v.office.Certificates != nil {
		page.Cared, page.Certificates = true, v.office.Certificates()
	}
	page.Checks = make(map[string]*lastCheck)
	for _, d := range page.Status.Domains {
		if page.Checks[d], err = v.checkOf(d); err != nil {
			return err
		}
	}
	settings, err := v.store.Settings()
	if err != nil {
		return err
	}
	page.Findings = findings(page, settings, time.Now())
	return nil
}

// thaw asks what is to become of devices that may not send.
func thaw(frozen []admin.Frozen) (list []finding) {
	for i := range frozen {
		list = append(list, finding{Text: frozen[i].String() + ".", Link: "Look at it", To: personPath(frozen[i].Account), Frozen: &frozen[i]})
	}
	return list
}

// findings decides what needs a hand.
func findings(page *overviewPage, s mailbox.Settings, now time.Time) []finding {
	list := thaw(page.Status.Frozen)
	need := func(link, to, format string, args ...any) {
		list = append(list, finding{Text: fmt.Sprintf(format, args...), Link: link, To: to})
	}
	open := map[string]bool{}
	for _, l := range page.Status.Listeners {
		open[l.Name] = true
	}
	if len(page.Status.Domains) == 0 {
		need("Add a domain", "/panel/domains", "There is no domain to receive mail for yet.")
	}
	if !open["smtp"] {
		need("Settings", "/panel/settings", "No mail comes in: the door for other servers (port 25) is closed.")
	}
	if !open["imaps"] && !open["imap"] {
		need("Settings", "/panel/settings", "Mail programs cannot read mail: both IMAP doors are closed.")
	}
	if !open["submissions"] && !open["submission"] {
		need("Settings", "/panel/settings", "Mail programs cannot send mail: both submission doors are closed.")
	}
	for _, d := range page.Status.Domains {
		switch last := page.Checks[d]; {
		case local(d):
		case last == nil:
			need("Check them", domainPath(d)+"?check=1", "The DNS records of %s were not looked at yet.", d)
		case last.Bad > 0:
			need("Check again", domainPath(d)+"?check=1", "%s of %s, without which mail is lost or refused, %s.", count(last.Bad, "DNS record"), d, plural(last.Bad, "is not as it should be", "are not as they should be"))
		}
	}
	if page.Cared && len(page.Certificates) == 0 {
		need("Settings", "/panel/settings", "Mail programs do not trust this server yet: it has no certificate from an authority.")
	}
	if len(s.IPv4)+len(s.IPv6) == 0 && !local(page.Status.Host) {
		need("Set them", "/panel/settings", "The public addresses of this server are not known, so the DNS advice has none.")
	}
	if d := page.Disk; d.full() {
		need("", "", "The disk is almost full: %s are free.", size(d.Free))
	}
	for _, c := range page.Certificates {
		name := strings.Join(c.Names, ", ")
		switch {
		case c.NotAfter.IsZero() && c.Problem != "":
			need("Settings", "/panel/settings", "There is no certificate for %s: %s.", name, c.Problem)
		case !c.NotAfter.IsZero() && c.NotAfter.Sub(now) < 10*24*time.Hour:
			need("Settings", "/panel/settings", "The certificate for %s ends on %s.", name, c.NotAfter.Local().Format("2 January"))
		}
	}
	stuck := 0
	for _, o := range page.Queue {
		if o.Attempts > 0 || o.Held {
			stuck++
		}
	}
	if stuck > 0 {
		need("Look at them", "#queue", "%s could not be delivered at once and %s.", count(stuck, "message"), plural(stuck, "waits", "wait"))
	}
	if n := page.Day.Failed; n > 0 {
		need("Look at them", "/panel/trace?event=failed", "%s given up in the last 24 hours.", plural(n, "A message was", fmt.Sprintf("%d messages were", n)))
	}
	return list
}

func plural(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

// local tells of a name that is for trying things out, and in nobody's DNS (RFC 6761
// section 6.3).
func local(name string) bool { return name == "localhost" || strings.HasSuffix(name, ".localhost") }

func (v *visit) lastDay() (day, error) {
	var d day
	since := time.Now().Add(-24 * time.Hour)
	scanned := 0
	err := v.store.Journal(func(l mailbox.Line) bool {
		switch l.Event {
		case mailbox.Received:
			d.Received++
		case mailbox.Refused:
			d.Refused++
		case mailbox.Submitted:
			d.Submitted++
		case mailbox.Delivered:
			d.Delivered++
		case mailbox.Deferred:
			d.Deferred++
		case mailbox.Failed:
			d.Failed++
		}
		scanned++
		return l.Time.After(since) && scanned < maxScan
	})
	return d, err
}

// full tells of a disk that will soon be: a tenth of a large one is room for years.
func (d disk) full() bool {
	return d.Total > 0 && (d.Free < 512<<20 || d.Percent >= 90 && d.Free < 5<<30)
}

func diskOf(dir string) (disk, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return disk{}, fmt.Errorf("look at the disk of %s: %w", dir, err)
	}
	d := disk{Free: int64(s.Bavail) * int64(s.Bsize), Total: int64(s.Blocks) * int64(s.Bsize)}
	if d.Total > 0 {
		d.Percent = int(100 - d.Free*100/d.Total)
	}
	return d, nil
}
