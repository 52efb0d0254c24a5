package inbound_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"roost/mailbox"
	"roost/mta/dns/dnstest"
	"roost/mta/inbound"
	"roost/mta/smtp/smtptest"
)

// TestDialogs plays testdata/*.txtar, each section over a store of its own.
// "INBOX address n" counts messages; "JOURNAL pattern" is about the last line, and
// "DETAIL text" a part of it; "HAS address text" and "LACKS" are about the newest
// message. The comment of a file sets options: "client 192.0.2.10" is where all seem to
// come from, "messages 2" and "recipients 3" what one client may send in an hour. A
// section "zone" is what the DNS has.
func TestDialogs(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no dialogs", err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		options := map[string]string{}
		for line := range strings.Lines(string(a.Comment)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			options[key] = value
		}
		zone := ""
		for _, f := range a.Files {
			if f.Name == "zone" {
				zone = string(f.Data)
				continue
			}
			t.Run(f.Name, func(t *testing.T) {
				t.Parallel()
				var opt inbound.Options
				client := options["client"]
				if proxy, err := netip.ParsePrefix(options["proxy"]); err == nil {
					opt.Proxies = []netip.Prefix{proxy}
				}
				if zone != "" {
					opt.Resolver = dnstest.NewMemory(t, zone).Resolver()
				}
				p := newPostWith(t, t.TempDir(), mailbox.Options{MaxMessage: 200000}, opt, client)
				messages, _ := strconv.Atoi(options["messages"])
				recipients, _ := strconv.Atoi(options["recipients"])
				p.limit(messages, recipients)
				p.player().Play(t, "S: 220 ...\nEHLO\n"+string(f.Data))
			})
		}
	}
}

func (p *post) player() *smtptest.Player {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	player := &smtptest.Player{Conn: conn}
	player.Word = func(word, arg string) bool {
		switch word {
		case "INBOX":
			addr, n, _ := strings.Cut(arg, " ")
			if got := p.inbox(mailbox.Address(addr)); fmt.Sprint(len(got)) != n {
				p.t.Errorf("%s has %d messages, want %s", addr, len(got), n)
			}
		case "JUNK":
			addr, n, _ := strings.Cut(arg, " ")
			if got := p.holds(mailbox.Address(addr), "Junk"); fmt.Sprint(len(got)) != n {
				p.t.Errorf("%s has %d messages in Junk, want %s", addr, len(got), n)
			}
		case "LISTS":
			// the block lists, and "refuse"
			words := strings.Fields(arg)
			if err := p.store.ChangeSettings(p.t.Context(), func(v *mailbox.Settings) error {
				v.BlockLists = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "refuse" })
				v.BlockListsRefuse = len(v.BlockLists) < len(words)
				return nil
			}); err != nil {
				p.t.Fatal(err)
			}
		case "HAS", "LACKS":
			// the newest message of an account, in whatever mailbox, and a text
			addr, text, _ := strings.Cut(arg, " ")
			text, err := strconv.Unquote(text)
			if err != nil {
				p.t.Fatal(err)
			}
			if got := p.newest(mailbox.Address(addr)); strings.Contains(got, text) != (word == "HAS") {
				p.t.Errorf("%s %s %q: %q", addr, strings.ToLower(word), text, got)
			}
		case "DETAIL":
			// of the newest line of the journal
			if l := p.journal(); !slices.Contains(l.Detail, arg) {
				p.t.Errorf("journal lacks %q: %q", arg, l.Detail)
			}
		case "DOMAIN":
			// one of ours, and what is to be changed: catch=address, separators=+-, disabled
			words := strings.Fields(arg)
			if _, err := p.store.AddDomain(p.t.Context(), words[0]); err != nil && !errors.Is(err, mailbox.ErrExists) {
				p.t.Fatal(err)
			}
			if _, err := p.store.ChangeDomain(p.t.Context(), words[0], func(d *mailbox.Domain) error {
				for _, w := range words[1:] {
					switch name, value, _ := strings.Cut(w, "="); name {
					case "catch":
						d.CatchAll = mailbox.Address(value)
					case "separators":
						d.Separators = &value
					case "disabled":
						d.Disabled = true
					default:
						p.t.Fatalf("what is %s?", w)
					}
				}
				return nil
			}); err != nil {
				p.t.Fatal(err)
			}
		case "ALIAS":
			// and its targets, and "expired"
			words := strings.Fields(arg)
			a := mailbox.Alias{Address: mailbox.Address(words[0])}
			for _, w := range words[1:] {
				if w == "expired" {
					a.Expires = time.Now().Add(-time.Minute)
				} else if w == "expires" {
					a.Expires = time.Now().Add(time.Hour)
				} else {
					a.To = append(a.To, mailbox.Address(w))
				}
			}
			if err := p.store.SetAlias(p.t.Context(), a); err != nil {
				p.t.Fatal(err)
			}
		case "DISABLE":
			if _, err := p.store.ChangeAccount(p.t.Context(), mailbox.Address(arg), func(a *mailbox.Account) error { a.Disabled = true; return nil }); err != nil {
				p.t.Fatal(err)
			}
		case "WISHES":
			// of the sender, in the first row of the outbox
			rows, err := p.store.Outbox()
			if err != nil || len(rows) == 0 {
				p.t.Fatalf("%d rows in the outbox, %v", len(rows), err)
			}
			r := rows[0]
			if got := strings.Join([]string{r.Return, r.EnvelopeID, r.Recipients[0].Notify, r.Recipients[0].Original}, " "); got != arg {
				p.t.Errorf("the sender wishes %s, want %s", got, arg)
			}
		case "BOUNCE":
			// begins a message to the reverse-path that the first row of the outbox
			// has, from the null path or another
			rows, err := p.store.Outbox()
			if err != nil || len(rows) == 0 {
				p.t.Fatalf("%d rows in the outbox, %v", len(rows), err)
			}
			player.Play(p.t, "C: MAIL FROM:<"+arg+">\nC: RCPT TO:<"+rows[0].From+">\nS: 250 2.1.0 ...")
		case "WROTE":
			// an account, and whom it has written to
			words := strings.Fields(arg)
			a, err := p.store.Account(mailbox.Address(words[0]))
			if err != nil {
				p.t.Fatal(err)
			}
			p.wrote(a, words[1])
		case "RULE":
			// allow or block, whom, and for which account
			words := append(strings.Fields(arg), "")
			r := mailbox.Rule{Sender: words[1], Block: words[0] == "block"}
			if words[2] != "" {
				a, err := p.store.Account(mailbox.Address(words[2]))
				if err != nil {
					p.t.Fatal(err)
				}
				r.Account = a.ID
			}
			if err := p.store.SetRule(p.t.Context(), r); err != nil {
				p.t.Fatal(err)
			}
		case "OUTBOX":
			rows, err := p.store.Outbox()
			if err != nil {
				p.t.Fatal(err)
			}
			var got []string
			for _, o := range rows {
				var to []string
				for _, r := range o.Recipients {
					to = append(to, r.Address)
				}
				line := fmt.Sprintf("<%s> to %s at %s", o.From, strings.Join(to, ","), o.Domain)
				if o.RequireTLS {
					line += " REQUIRETLS"
				}
				got = append(got, line)
			}
			if !regexp.MustCompile("^" + arg + "$").MatchString(strings.Join(got, "; ")) {
				p.t.Errorf("outbox has %q, want %q", got, arg)
			}
		case "JOURNAL":
			l := p.journal()
			got := fmt.Sprintf("%s from <%s> to %s: %s", l.Event, l.From, strings.Join(l.To, ","), l.Reply)
			if !regexp.MustCompile("^" + arg + "$").MatchString(got) {
				p.t.Errorf("journal has %q, want %q", got, arg)
			}
		case "HANGUP":
			// The server must be gone from the connection before the test looks.
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				p.t.Error(err)
			}
			_, _ = io.Copy(io.Discard, conn)
		default:
			return false
		}
		return true
	}
	return player
}
