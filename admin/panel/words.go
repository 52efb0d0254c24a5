package panel

import (
	"fmt"
	"html/template"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"roost/mailbox"
)

// words are the functions of the templates.
func words() template.FuncMap {
	return template.FuncMap{
		"size":  size,
		"count": count,
		"when":  func(t time.Time) string { return when(t, time.Now()) },
		"full":  func(t time.Time) string { return t.Local().Format("Monday, 2 January 2006, 15:04:05 MST") },
		"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"join":  func(list []string) string { return strings.Join(list, ", ") },
		"links": links,
		"box":   box,
		"event": eventWord,
	}
}

// count is a number of things; the number may be of any integer type.
func count(n any, noun string) string {
	text := fmt.Sprint(n)
	if text == "1" {
		return "1 " + noun
	}
	return text + " " + noun + "s"
}

// size is a number of bytes for reading.
func size(n int64) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB"}
	v, i := float64(n), 0
	for ; v >= 1000 && i < len(units)-1; i++ {
		v /= 1000
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// when is a time as short as it can be told apart from now.
func when(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	t, now = t.Local(), now.Local()
	switch {
	case t.Format(time.DateOnly) == now.Format(time.DateOnly):
		return t.Format("15:04")
	case t.Year() == now.Year():
		return t.Format("2 Jan 15:04")
	}
	return t.Format("2 Jan 2006")
}

// box is what a mailbox is called.
func box(f mailbox.Folder) string {
	if f.ID == mailbox.InboxID {
		return "Inbox"
	}
	return f.Name
}

// remote is the other end of a connection as the journal has it, with the address that
// it had, the name that it gave itself and its TLS told apart.
func remote(text string) string {
	address, rest, _ := strings.Cut(text, " ")
	if _, err := netip.ParseAddr(address); err != nil || rest == "" {
		return text
	}
	name, tls, _ := strings.Cut(rest, " ")
	text = name + " [" + address + "]"
	if tls != "" {
		text += " over " + tls
	}
	return text
}

// piece is text, or a link when URL is not empty.
type piece struct{ Text, URL string }

var webAddress = regexp.MustCompile(`https?://[^\s<>"]+`)

// links cuts text at the web addresses in it.
func links(text string) []piece {
	var list []piece
	for {
		at := webAddress.FindStringIndex(text)
		if at == nil {
			return append(list, piece{Text: text})
		}
		url := strings.TrimRight(text[at[0]:at[1]], ".,;:!?)]}'")
		list = append(list, piece{Text: text[:at[0]]}, piece{url, url})
		text = text[at[0]+len(url):]
	}
}

// eventWord is a journal's event for people.
func eventWord(e mailbox.Event) string {
	switch e {
	case mailbox.Received:
		return "Received"
	case mailbox.Refused:
		return "Refused"
	case mailbox.Submitted:
		return "Sent"
	case mailbox.Delivered:
		return "Delivered"
	case mailbox.Deferred:
		return "Waiting"
	case mailbox.Failed:
		return "Failed"
	case mailbox.Blocked:
		return "Locked out"
	}
	return string(e)
}
