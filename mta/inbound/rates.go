package inbound

import (
	"container/list"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"roost/mailbox"
	"roost/mailbox/remote"
	"roost/mta/smtp"
)

// Limits on what one client sends us. The settings have those for one address in a
// window: an IPv4 address, or a /64 in IPv6, as one host has a whole one.
const (
	rateWindow = time.Hour

	networkFactor = 4 // for a /24 in IPv4, a /48 in IPv6
	knownFactor   = 4 // for who brought mail of a known author

	// knownFor is how long after such mail.
	knownFor = 7 * 24 * time.Hour

	// maxWindows bounds the windows that are held, some 300 octets each. Who comes
	// from more addresses than this in an hour is beyond such limits.
	maxWindows = 20000
)

// rates counts what clients send, by address and by network: messages when their
// transfer begins, whatever becomes of them, and recipients that were taken. A
// window begins with the first MAIL in it. All is kept in memory alone: a restart
// forgets it. Loopback is not counted.
type rates struct {
	limits func() mailbox.ReceptionLimits // for an address

	mu  sync.Mutex
	by  map[netip.Prefix]*list.Element // of age
	age list.List                      // of *window, the oldest first
}

// window is what came from an address or a network since start.
type window struct {
	who                  netip.Prefix
	start                time.Time
	messages, recipients int
	told                 bool      // that it is full
	known                time.Time // when mail of a known author came; zero: never
}

// excess is a limit that is reached.
type excess struct {
	who   netip.Prefix
	limit int
	what  string
	until time.Time
	first bool // in this window
}

func (e *excess) String() string {
	who := e.who.String()
	if e.who.IsSingleIP() {
		who = e.who.Addr().String()
	}
	// The minute after, as seconds are not shown.
	until := e.until.UTC().Add(time.Minute - 1).Truncate(time.Minute)
	return fmt.Sprintf("More than %d %s in an hour from %s; come back at %s", e.limit, e.what, who, until.Format("15:04 UTC"))
}

func newRates(limits func() mailbox.ReceptionLimits) *rates {
	return &rates{limits: limits, by: map[netip.Prefix]*list.Element{}}
}

// counted gives the address and the network that a client is counted as, none
// for loopback.
func counted(peer netip.Addr) []netip.Prefix {
	host, ok := remote.Host(peer)
	if !ok {
		return nil
	}
	network, _ := remote.Network(peer)
	return []netip.Prefix{host, network}
}

// window gives that of an address or network, a new one where there is none or
// it is over. The oldest makes room for it.
func (r *rates) window(who netip.Prefix) *window {
	e := r.by[who]
	if e == nil {
		for len(r.by) >= maxWindows {
			delete(r.by, r.age.Remove(r.age.Front()).(*window).who)
		}
		e = r.age.PushBack(&window{who: who, start: time.Now()})
		r.by[who] = e
	}
	w := e.Value.(*window)
	if time.Since(w.start) >= rateWindow {
		*w = window{who: who, start: time.Now(), known: w.known}
		r.age.MoveToBack(e)
	}
	return w
}

// full gives the excess where a window has no room for one more.
func (w *window) full(n, limit int, what string, network bool) *excess {
	if network {
		limit *= networkFactor
	}
	if !w.known.IsZero() && time.Since(w.known) < knownFor {
		limit *= knownFactor
	}
	if limit < 0 || n < limit {
		return nil
	}
	first := !w.told
	w.told = true
	return &excess{w.who, limit, what, w.start.Add(rateWindow), first}
}

// mail says whether a client may begin one more message; nil: it may.
func (r *rates) mail(peer netip.Addr) *excess {
	limit := r.limits().Messages
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, who := range counted(peer) {
		w := r.window(who)
		if e := w.full(w.messages, limit, "messages", i > 0); e != nil {
			return e
		}
	}
	return nil
}

// data counts a message.
func (r *rates) data(peer netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, who := range counted(peer) {
		r.window(who).messages++
	}
}

// rcpt counts a recipient, unless it is one too many.
func (r *rates) rcpt(peer netip.Addr) *excess {
	limit := r.limits().Recipients
	r.mu.Lock()
	defer r.mu.Unlock()
	all := counted(peer)
	for i, who := range all {
		w := r.window(who)
		if e := w.full(w.recipients, limit, "recipients", i > 0); e != nil {
			return e
		}
	}
	for _, who := range all {
		r.window(who).recipients++
	}
	return nil
}

// know notes that a client brought mail of an author whom a recipient knows.
func (r *rates) know(peer netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, who := range counted(peer) {
		r.window(who).known = time.Now()
	}
}

// tooMany answers a client that has reached a limit. The first time in a window
// it goes into the journal: a line for each answer would be a flood of its own.
func (s *session) tooMany(ctx context.Context, e *excess, from smtp.Path, r smtp.Reply) error {
	r.Text = e.String()
	if e.first {
		s.Log.Warn("too much mail from one client", "client", e.who, "limit", e.limit, "of", e.what, "until", e.until, "peer", s.conn.Peer())
		l := s.line(mailbox.Refused)
		l.From, l.To, l.Reply = from.String(), nil, r.Error()
		l.Detail = []string{"More mail from there is put off until then, without a line for each"}
		if err := s.Store.Log(ctx, l); err != nil {
			s.Log.Error("too much mail from one client, not in the journal", "err", err)
		}
	}
	return r
}
