package panel

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"roost/admin"
	"roost/mailbox"
)

const (
	tracePage = 50
	// maxScan is how many lines of the journal one page looks through.
	maxScan = 50_000
	// maxStory is how many lines one message's page shows.
	maxStory = 1000
)

// reader is a person as a reader of the journal.
type reader struct {
	admin bool
	id    mailbox.AccountID
	store *mailbox.Store
	own   map[mailbox.Address]bool // those that were asked for
}

// reader finds out whose lines the visitor may see: an administrator's are all.
func (v *visit) reader() (reader, error) {
	r := reader{admin: v.account.Admin, id: v.account.ID, store: v.store, own: map[mailbox.Address]bool{v.account.Address: true}}
	return r, nil
}

// sees gives what of a line the reader may see, if anything. What came in for several
// people shows each only that it came for them.
func (r reader) sees(l mailbox.Line) (mailbox.Line, bool) {
	if r.admin || l.Account == r.id {
		return l, true
	}
	if l.Account != 0 {
		return l, false
	}
	others := slices.DeleteFunc(slices.Clone(l.To), func(to string) bool { return r.mine(to) })
	if len(others) == 0 {
		return l, len(l.To) > 0
	}
	l.To = slices.DeleteFunc(slices.Clone(l.To), func(to string) bool { return !r.mine(to) })
	l.Reply, l.Detail = "", nil // may speak of the others
	return l, len(l.To) > 0
}

func (r reader) mine(address string) bool {
	a, err := mailbox.ParseAddress(address)
	if err != nil {
		return false
	}
	own, known := r.own[a]
	if !known {
		// What can't be told now is not shown.
		own, _ = r.store.MaySendAs(r.id, a)
		r.own[a] = own
	}
	return own
}

// query is what a reader looks for.
type query struct {
	Text   string
	Event  mailbox.Event
	Before int64 // Unix nanoseconds; 0 is no limit
}

func (q query) matches(l mailbox.Line) bool {
	if q.Event != "" && l.Event != q.Event {
		return false
	}
	return admin.Mentions(l, q.Text)
}

// row is a line as the list shows it.
type row struct {
	mailbox.Line
	ID string // of the message's page; empty: it has none
}

func newRow(l mailbox.Line) row {
	r := row{Line: l}
	if l.Message != 0 {
		r.ID = l.Message.String()
	}
	return r
}

// trace lists the journal, the newest line first.
func trace(v *visit) error {
	form := v.r.URL.Query()
	q := query{Text: strings.TrimSpace(form.Get("q")), Event: mailbox.Event(form.Get("event"))}
	q.Before, _ = strconv.ParseInt(form.Get("before"), 10, 64)
	who, err := v.reader()
	if err != nil {
		return err
	}
	var rows []row
	scanned, full := 0, false
	var last time.Time
	err = v.store.Journal(func(l mailbox.Line) bool {
		if q.Before != 0 && l.Time.UnixNano() >= q.Before {
			return true
		}
		if scanned++; scanned > maxScan || len(rows) == tracePage {
			full = true
			return false
		}
		last = l.Time
		if l, ok := who.sees(l); ok && q.matches(l) {
			rows = append(rows, newRow(l))
		}
		return true
	})
	if err != nil {
		return err
	}
	older := ""
	if full {
		form.Set("before", strconv.FormatInt(last.UnixNano(), 10))
		older = "?" + form.Encode()
	}
	return v.show("trace", "trace", "Mail trace", struct {
		Rows   []row
		Query  query
		Events []mailbox.Event
		Older  string
		Back   time.Time // how far it was looked
	}{rows, q, []mailbox.Event{mailbox.Received, mailbox.Refused, mailbox.Submitted, mailbox.Delivered, mailbox.Deferred, mailbox.Failed, mailbox.Blocked}, older, last})
}

// parseBody reads a message's number as the journal shows it.
func parseBody(text string) (mailbox.BodyID, error) {
	n, err := strconv.ParseUint(text, 16, 64)
	if err != nil || n == 0 {
		return 0, refusal(admin.NotFound, "there is no message "+strconv.Quote(text))
	}
	return mailbox.BodyID(n), nil
}

// lines are those of one message that the visitor may see, the oldest first.
func (v *visit) lines(id mailbox.BodyID) ([]mailbox.Line, error) {
	who, err := v.reader()
	if err != nil {
		return nil, err
	}
	var list []mailbox.Line
	err = v.store.Trace(id, func(l mailbox.Line) bool {
		if l, ok := who.sees(l); ok {
			list = append(list, l)
		}
		return len(list) < maxStory
	})
	slices.Reverse(list)
	return list, err
}

// waiting are the outbox rows of a message that the visitor may see.
func (v *visit) waiting(id mailbox.BodyID) ([]mailbox.Outgoing, error) {
	all, err := v.store.Outbox()
	return slices.DeleteFunc(all, func(o mailbox.Outgoing) bool {
		return o.Body != id || !v.account.Admin && o.Account != v.account.ID
	}), err
}

// chapter is one line of a story in words.
type chapter struct {
	mailbox.Line
	Sentence string
}

// story is the page of one message: everything that is known of it.
func story(v *visit) error {
	if answered, err := v.act(acts{"queue retry": stay, "queue drop": stay, "allow": stay}); answered || err != nil {
		return err
	}
	id, err := parseBody(v.r.PathValue("id"))
	if err != nil {
		return err
	}
	lines, err := v.lines(id)
	if err != nil {
		return err
	}
	rows, err := v.waiting(id)
	if err != nil {
		return err
	}
	j, err := v.journey(id, lines, rows)
	if err != nil {
		return err
	}
	if len(lines) == 0 && len(rows) == 0 && j.Open == "" {
		return refusal(admin.NotFound, "the journal knows no message "+id.String()+" of yours")
	}
	var chapters []chapter
	for _, l := range lines {
		chapters = append(chapters, chapter{l, sentence(l)})
	}
	let, err := v.offer(lines)
	if err != nil {
		return err
	}
	title := "Message " + id.String()
	if j.Subject != "" {
		title = j.Subject
	}
	v.showLive("story", "trace", title, j.Live, struct {
		ID       string
		Journey  journey
		Chapters []chapter
		Waiting  []mailbox.Outgoing
		Let      *offer
		Here     string
	}{id.String(), j, chapters, rows, let, "/panel/trace/" + url.PathEscape(id.String())})
	return nil
}

// sentence tells a journal line as one would say it.
func sentence(l mailbox.Line) string {
	to := strings.Join(l.To, ", ")
	if to == "" {
		to = "nobody that is known"
	}
	there := remote(l.Remote)
	if there == "" {
		there = "this server itself"
	}
	from := l.From
	if from == "" {
		from = "nobody (a notification)"
	}
	switch l.Event {
	case mailbox.Received:
		return "Came in from " + there + ", sent by " + from + " for " + to + "."
	case mailbox.Refused:
		return "Refused at the door: " + there + " wanted to bring mail from " + from + " for " + to + "."
	case mailbox.Submitted:
		return "Handed in by " + from + " for " + to + ", from " + there + "."
	case mailbox.Delivered:
		return "Taken over by " + there + " for " + to + ". From here on it is in their hands."
	case mailbox.Deferred:
		return "Not taken for now by " + there + " for " + to + ". It is tried again by itself."
	case mailbox.Failed:
		return "Given up for " + to + "; the sender was told."
	}
	return string(l.Event) + ": " + from + " to " + to + "."
}
