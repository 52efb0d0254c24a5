package inbound

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"roost/mailbox"
	"roost/mailbox/remote"
	"roost/mta/dns"
	"roost/mta/smtp"
)

// maxListing bounds the time in which all block lists are asked, side by side. What is
// not known by then counts as not listed.
const maxListing = 2 * time.Second

// blockLists asks the lists that the owner chose about the client. It gives nil where
// there are none, and for a client that no list can have: one that is not of the
// internet, or a proxy.
func (m *reception) blockLists(ctx context.Context) (*listing, error) {
	v, err := m.Store.Settings()
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	client := m.conn.Peer().Unmap().WithZone("")
	proxy := func(p netip.Prefix) bool { return p.Contains(client) }
	if len(v.BlockLists) == 0 || m.Resolver == nil || !remote.Public(client) || slices.ContainsFunc(m.Proxies, proxy) {
		return nil, nil
	}
	limited, cancel := context.WithTimeout(ctx, maxListing)
	defer cancel()
	on := make([]*dns.Listing, len(v.BlockLists))
	failed := make([]error, len(v.BlockLists))
	var wait sync.WaitGroup
	for i, list := range v.BlockLists {
		wait.Go(func() { on[i], failed[i] = m.Resolver.Listed(limited, list, client) })
	}
	wait.Wait()
	if ctx.Err() == nil { // else it was not the lists that took too long
		for i, list := range v.BlockLists {
			m.heard(ctx, list, failed[i])
		}
	}
	return &listing{client, slices.DeleteFunc(on, func(l *dns.Listing) bool { return l == nil }), v.BlockListsRefuse}, nil
}

// silences is how often in a row a list may not answer before that is trouble: a
// question can get lost.
const silences = 3

// toldFor is how long the owner is not told again of the same trouble.
const toldFor = 30 * 24 * time.Hour

// listTrouble counts, by list, how often in a row it gave no answer. What the owner was
// told is in a corner of the store: a restart does not tell it again.
type listTrouble struct {
	mu     sync.Mutex
	silent map[string]int
}

// heard notes how a list answered; nil is well. Of trouble the owner is told once.
func (m *reception) heard(ctx context.Context, list string, err error) {
	m.lists.mu.Lock()
	defer m.lists.mu.Unlock()
	if err == nil {
		delete(m.lists.silent, list)
		return
	}
	const silent = "it does not answer"
	why := silent
	var e *dns.Error
	if errors.As(err, &e) {
		why = e.Reason
	}
	if m.lists.silent == nil || len(m.lists.silent) > 4*mailbox.MaxBlockLists {
		m.lists.silent = map[string]int{} // of lists that are not asked any more
	}
	m.lists.silent[list]++
	times := m.lists.silent[list]
	m.Log.Warn("a block list gives no answer that counts", "list", dns.ListName(list), "why", why, "times", times)
	if why == silent && times < silences {
		return
	}
	corner := m.Store.Corner("block lists")
	_, put, err := corner.Get(ctx, list)
	if err == nil && time.Since(put) < toldFor {
		return
	}
	if err == nil || errors.Is(err, mailbox.ErrNotFound) {
		if err = m.tellOwner(ctx, dns.ListName(list), why); err == nil {
			err = corner.Put(ctx, list, []byte(why))
		}
	}
	if err != nil {
		m.Log.Error("trouble with a block list, of which the owner could not be told", "err", err)
	}
}

// tellOwner puts a message about a list into INBOX of who gets mail to postmaster.
func (m *reception) tellOwner(ctx context.Context, list, why string) error {
	route, err := m.Store.Resolve(mailbox.Postmaster)
	if err != nil {
		return err
	}
	host := m.conn.Hostname()
	subject := "The block list " + list + " does not answer this server"
	id := "<" + strings.ToLower(rand.Text()) + "@" + host + ">"
	for _, l := range route.Local {
		spool := m.Store.NewSpool(0)
		_, err := spool.Write(listNotice(l.Account.Address, subject, id, list, why, time.Now()))
		if err == nil {
			_, err = m.Store.AcceptAll(ctx, []mailbox.Intake{{
				Body:  spool,
				Place: []mailbox.Placement{{Account: l.Account.ID, Prefix: []byte("Return-Path: <>\r\n"), Uncounted: true}},
				Journal: []mailbox.Line{{
					Event: mailbox.Received, Account: l.Account.ID, To: []string{string(l.Account.Address)}, Size: spool.Size(),
					Subject: subject, MessageID: id, Detail: []string{"a notice of our own: the block list " + list + " gives no answer that counts: " + why},
				}},
			}})
		}
		spool.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// listNotice is the whole message. Auto-Submitted (RFC 3834 section 5) keeps machines
// from answering.
func listNotice(to mailbox.Address, subject, id, list, why string, now time.Time) []byte {
	fields := []string{
		"From: Roost <postmaster@" + to.Domain() + ">",
		"To: <" + string(to) + ">",
		"Subject: " + subject,
		"Date: " + now.Format(smtp.DateFormat),
		"Message-ID: " + id,
		"Auto-Submitted: auto-generated",
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=utf-8",
		"Content-Transfer-Encoding: 8bit",
		"",
	}
	text := `This server asks ` + list + ` about mail from strangers,
as you chose. The list gives no answer that counts:

    ` + why + `

So no mail is judged by it, and none is lost. To look whether it works again:

    roost blocklist check

Or choose other lists, or none, in the panel's settings or with

    roost blocklist set

You are told so once, and again after 30 days if it is still so.
`
	return []byte(strings.Join(fields, "\r\n") + "\r\n" + strings.ReplaceAll(text, "\n", "\r\n"))
}
