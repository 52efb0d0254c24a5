package panel

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"roost/mailbox"
	"roost/mailbox/message"
)

// journey is a message's way, drawn as a row of steps.
type journey struct {
	ID      string
	Subject string
	Steps   []step
	Live    bool   // the next step may come any moment
	Open    string // where the message can be read; empty: not in the visitor's mailboxes
}

// step is one station.
type step struct {
	Name  string
	State string // "done", "now" (happening, or waited for), "todo" or "bad"
	Text  string
	At    time.Time
}

// copyOf is a message's copy in the visitor's own mailboxes.
type copyOf struct {
	mailbox.Facts
	folder mailbox.Folder
	seen   bool
}

// journey tells how far a message has come, from its journal lines, its outbox rows and
// the copy in the visitor's mailboxes.
func (v *visit) journey(id mailbox.BodyID, lines []mailbox.Line, rows []mailbox.Outgoing) (journey, error) {
	j := journey{ID: id.String()}
	first := slices.IndexFunc(lines, func(l mailbox.Line) bool {
		return l.Event == mailbox.Received || l.Event == mailbox.Submitted
	})
	var begin mailbox.Line
	if first >= 0 {
		begin = lines[first]
		j.Subject = begin.Subject
	}
	mine, err := v.find(id)
	if err != nil {
		return j, err
	}
	if mine != nil {
		j.Open = fmt.Sprintf("/panel/mail/%d/%d", mine.folder.ID, mine.UID)
	}
	switch {
	case begin.Event == mailbox.Submitted && begin.Account == v.account.ID, begin.Event == mailbox.Submitted && mine == nil:
		j.Steps = outward(begin, lines, rows)
		if mine != nil && mine.folder.Name == captured {
			j.Steps[len(j.Steps)-1] = step{Name: "Captured", State: "done", At: begin.Time, Text: "in the mailbox " + captured + ": nothing left this machine"}
		}
		j.Live = len(rows) > 0 && time.Since(begin.Time) < liveFor
	case first >= 0 || mine != nil:
		j.Steps = inward(begin, first >= 0, mine)
		j.Live = first >= 0 && time.Since(begin.Time) < liveFor && (mine == nil || !mine.seen)
	}
	return j, nil
}

// captured is where `roost local` keeps what would have left the machine.
const captured = "Captured"

// liveFor is how long a page goes on looking whether a message has come further.
const liveFor = 5 * time.Minute

// inward is the way of a message that came to one of us.
func inward(l mailbox.Line, known bool, mine *copyOf) []step {
	received := step{Name: "Received", State: "done", Text: "before the journal begins"}
	if known {
		received.At = l.Time
		received.Text = "from " + remote(l.Remote)
		if l.Event == mailbox.Submitted {
			received.Text = "from " + l.From + ", who has an account here"
		}
		if l.Remote == "" {
			received.Text = "made by this server"
		}
	}
	checked := step{Name: "Checked", State: "done", At: received.At, Text: "known address, sound form, no loop"}
	stored := step{Name: "Stored", State: "todo", Text: "no longer in your mailboxes"}
	read := step{Name: "Read", State: "todo"}
	if mine == nil {
		return []step{received, checked, stored, read}
	}
	if text := verdicts(mine.Prefix); text != "" {
		checked.Text = text
	}
	stored = step{Name: "Stored", State: "done", At: mine.Saved, Text: fmt.Sprintf("in %s, %s, safely on disk", box(mine.folder), size(mine.Size))}
	read = step{Name: "Read", State: "now", Text: "not opened yet"}
	if mine.seen {
		read = step{Name: "Read", State: "done", Text: "opened"}
	}
	return []step{received, checked, stored, read}
}

var (
	// Quoted strings and comments hold what others wrote.
	others = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\([^()]*\)`)
	method = regexp.MustCompile(`^(spf|dkim|dmarc)=([a-z]+)\b`)
)

// verdicts puts our own Authentication-Results (RFC 8601), which stand in what was put in
// front at delivery, into a few words.
func verdicts(prefix []byte) string {
	h, err := message.ReadHeader(strings.NewReader(string(prefix) + "\r\n"))
	if err != nil {
		return ""
	}
	var said []string
	about := "sender not vouched for: "
	for _, value := range h.All("Authentication-Results") {
		for result := range strings.SplitSeq(others.ReplaceAllString(value, " "), ";") {
			m := method.FindStringSubmatch(strings.TrimSpace(result))
			if m == nil {
				continue
			}
			switch m[0] {
			case "dmarc=pass":
				about = "sender confirmed: "
			case "dmarc=fail":
				about = "sender not confirmed: "
			}
			if word := strings.ToUpper(m[1]) + " " + m[2]; !slices.Contains(said, word) && len(said) < 6 {
				said = append(said, word)
			}
		}
	}
	if said == nil {
		return ""
	}
	return about + strings.Join(said, ", ")
}

// outward is the way of a message that one of us sent.
func outward(l mailbox.Line, lines []mailbox.Line, rows []mailbox.Outgoing) []step {
	steps := []step{
		{Name: "Handed in", State: "done", At: l.Time, Text: "by " + l.From},
		{Name: "Signed and stored", State: "done", At: l.Time, Text: "for " + strings.Join(l.To, ", ")},
	}
	last := step{Name: "Delivered", State: "done", At: l.Time, Text: "to mailboxes on this server"}
	var taken, failed []string
	for _, l := range lines {
		switch l.Event {
		case mailbox.Delivered:
			taken = append(taken, l.To...)
			last.At, last.Text = l.Time, "to "+remote(l.Remote)
		case mailbox.Failed:
			failed = append(failed, l.To...)
			last.At = l.Time
		}
	}
	if len(rows) > 0 {
		text := "the first attempt is about to begin"
		o := rows[0]
		switch {
		case o.Held:
			text = "held back until somebody lets it go"
		case o.Attempts > 0:
			text = fmt.Sprintf("%s so far, the next at %s", count(o.Attempts, "attempt"), when(o.Due, time.Now()))
		}
		steps = append(steps, step{Name: "On its way", State: "now", Text: text})
		last = step{Name: "Delivered", State: "todo"}
		if len(taken) > 0 {
			last.Text = fmt.Sprintf("to %d so far", len(taken))
		}
	} else if len(taken)+len(failed) > 0 {
		steps = append(steps, step{Name: "On its way", State: "done", Text: "nothing waits any more"})
	}
	if len(failed) > 0 {
		last.Name, last.State = "Failed", "bad"
		last.Text = "for " + strings.Join(failed, ", ")
	}
	return append(steps, last)
}

// maxLook is how many messages of a mailbox, the newest, a message is looked for in.
const maxLook = 5000

var errFound = errors.New("found")

// find looks for a message in the visitor's mailboxes; nil when it is not there.
func (v *visit) find(id mailbox.BodyID) (*copyOf, error) {
	folders, err := v.store.Folders(v.account.ID)
	if err != nil {
		return nil, err
	}
	for _, f := range folders {
		if f.Messages == 0 {
			continue
		}
		snap, err := v.store.Snapshot(v.account.ID, f.ID)
		if err != nil {
			return nil, err
		}
		entries := snap.Entries[max(0, len(snap.Entries)-maxLook):]
		// The newest first: that is what people ask about.
		for len(entries) > 0 {
			part := entries[max(0, len(entries)-500):]
			entries = entries[:len(entries)-len(part)]
			var uids []mailbox.UID
			for _, e := range part {
				uids = append(uids, e.UID)
			}
			var found *copyOf
			err := v.store.Facts(v.account.ID, f.ID, uids, func(m *mailbox.Facts) error {
				if m.Body != id {
					return nil
				}
				found = &copyOf{Facts: *m, folder: f}
				found.Prefix = slices.Clone(m.Prefix)
				return errFound
			})
			if err != nil && !errors.Is(err, errFound) {
				return nil, err
			}
			if found != nil {
				at := slices.IndexFunc(part, func(e mailbox.Entry) bool { return e.UID == found.UID })
				found.seen = part[at].Flags&mailbox.Seen != 0
				return found, nil
			}
		}
	}
	return nil, nil
}

// testKey is where the number of an account's last test is kept.
func testKey(id mailbox.AccountID) string { return fmt.Sprintf("test/%d", id) }

// lastTest is the journey of the test that the visitor sent last; nil when there is none
// of today.
func (v *visit) lastTest() (*journey, error) {
	value, put, err := v.cards.Get(v.r.Context(), testKey(v.account.ID))
	if errors.Is(err, mailbox.ErrNotFound) || err == nil && time.Since(put) > 24*time.Hour {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	id, err := parseBody(string(value))
	if err != nil {
		return nil, nil // the reply had no number in it
	}
	lines, err := v.lines(id)
	if err != nil {
		return nil, err
	}
	j, err := v.journey(id, lines, nil)
	return &j, err
}
