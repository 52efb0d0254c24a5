package panel

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"roost/admin"
	"roost/mailbox"
	"roost/mailbox/message"
)

const mailPage = 50

// inbox leads to where people look first.
func inbox(v *visit) error {
	http.Redirect(v.w, v.r, fmt.Sprintf("/panel/mail/%d", mailbox.InboxID), http.StatusSeeOther)
	return nil
}

// number reads one of the numbers in a path.
func (v *visit) number(name string) (uint32, error) {
	n, err := strconv.ParseUint(v.r.PathValue(name), 10, 32)
	if err != nil || n == 0 {
		return 0, refusal(admin.NotFound, "there is no "+name+" "+strconv.Quote(v.r.PathValue(name)))
	}
	return uint32(n), nil
}

// envelope is a message as a list shows it.
type envelope struct {
	UID     mailbox.UID
	From    string
	To      string
	Subject string
	Date    time.Time
	Size    int64
	Seen    bool
	Flagged bool
}

// folder lists one of the visitor's own mailboxes, the newest message first.
func folder(v *visit) error {
	n, err := v.number("folder")
	if err != nil {
		return err
	}
	var page struct {
		Folder  mailbox.Folder
		Folders []mailbox.Folder
		Outward bool // who it went to is what matters
		Mail    []envelope
		Newer   bool
		Older   mailbox.UID // 0: there are none
	}
	if page.Folders, err = v.store.Folders(v.account.ID); err != nil {
		return err
	}
	snap, err := v.store.Snapshot(v.account.ID, mailbox.FolderID(n))
	if err != nil {
		return err
	}
	page.Folder = snap.Folder
	page.Outward = page.Folder.Use == mailbox.UseSent || page.Folder.Use == mailbox.UseDrafts
	entries := snap.Entries
	if before, err := strconv.ParseUint(v.r.URL.Query().Get("before"), 10, 32); err == nil && before > 0 {
		at, _ := slices.BinarySearchFunc(entries, mailbox.UID(before), func(e mailbox.Entry, uid mailbox.UID) int {
			return int(int64(e.UID) - int64(uid))
		})
		page.Newer = at < len(entries)
		entries = entries[:at]
	}
	if len(entries) > mailPage {
		entries = entries[len(entries)-mailPage:]
		page.Older = entries[0].UID
	}
	for _, e := range slices.Backward(entries) {
		line := envelope{UID: e.UID, Seen: e.Flags&mailbox.Seen != 0, Flagged: e.Flags&mailbox.Flagged != 0}
		m, err := v.store.OpenMessage(v.account.ID, page.Folder.ID, e.UID)
		if err != nil {
			continue // expunged a moment ago
		}
		line.Date, line.Size = m.Date, m.Size
		h, err := message.ReadHeader(m.Reader())
		if err != nil {
			line.Subject = "(damaged: " + err.Error() + ")"
		} else {
			line.From, line.To = names(h.Get("From")), names(h.Get("To"))
			line.Subject = oneLine(h.Text("Subject"))
		}
		page.Mail = append(page.Mail, line)
	}
	return v.show("folder", "mail", box(page.Folder), page)
}

// names is an address list for reading: display names where there are any.
func names(value string) string {
	list, _ := message.ParseAddressList(value)
	var names []string
	for _, a := range message.Mailboxes(list) {
		name := oneLine(a.DisplayName())
		if name == "" {
			name = a.Spec()
		}
		names = append(names, name)
		if len(names) == 5 {
			break
		}
	}
	return strings.Join(names, ", ")
}

// fullNames is address lists with everything in them.
func fullNames(values []string) string {
	var out []string
	for _, value := range values {
		list, _ := message.ParseAddressList(value)
		for _, a := range message.Mailboxes(list) {
			if len(out) == 100 {
				return strings.Join(out, ", ") + " and more"
			}
			name := oneLine(a.DisplayName())
			if name != "" {
				name += " <" + a.Spec() + ">"
			} else {
				name = a.Spec()
			}
			out = append(out, name)
		}
	}
	return strings.Join(out, ", ")
}

// oneLine makes a header's text fit for one line: without line ends, and without what
// turns the writing direction of what stands beside it (UAX #9).
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case r < ' ' || r == 0x7f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e || r == 0x200f:
			return -1
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > 300 {
		s = string(runes[:300]) + "…"
	}
	return strings.TrimSpace(s)
}
