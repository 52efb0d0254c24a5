package outbound

import (
	"context"
	"errors"
	"fmt"
	"time"

	"roost/mta/smtp"
)

const (
	// keptTransactions and keptTime bound one connection: some servers count
	// what comes over one, and a better exchanger may be back.
	keptTransactions = 100
	keptTime         = 5 * time.Minute

	// keptIdle is how old the last answer may be for the connection to be used
	// again; many servers hang up after a few minutes.
	keptIdle = 30 * time.Second
)

// Courier hands messages to one smart host, or to the exchangers of domains,
// one after the other. It keeps the connection that a message went over for
// the next one (RFC 5321 section 3.3 allows any number of transactions), if
// that is for the same place and wants the same of TLS. A connection carries at
// most a hundred transactions within five minutes, and fewer where the server
// says so (RFC 9422). A Courier is for one goroutine.
type Courier struct {
	o     Options
	relay *Relay
	kept  *connection // nil: there is none
}

// connection is one that was greeted, encrypted as far as that goes, and
// logged in.
type connection struct {
	*smtp.Client
	target target
	hello  string // the name that we gave

	// For whom it was opened, and how: another message may only go over it if
	// it would have been opened in the same way.
	domain     string
	requireTLS bool

	opened, used time.Time
	transactions int
	authed       bool
	unfinished   bool // a transaction is open, which RSET ends
	over         bool // the server said 421
}

// Courier returns one for a smart host, or for exchangers when relay is nil.
// Whoever takes it closes it.
func (s *Sender) Courier(relay *Relay) *Courier {
	return &Courier{o: s.o, relay: relay}
}

// Close says goodbye if a connection is open. Its context bounds the wait for
// an answer, which is ten seconds at most.
func (c *Courier) Close(ctx context.Context) {
	if c.kept != nil {
		c.kept.Quit(ctx)
		c.kept = nil
	}
}

// Connected tells whether there is a connection for the next message.
func (c *Courier) Connected() bool { return c.kept != nil && c.kept.room() }

// Send makes one attempt to hand m over. Every failure is in the results: when
// ctx ends, too, what was not finished is temporary. What is wrong with a
// connection from before is not the message's fault: it is sent over another,
// unless the server may have it.
func (c *Courier) Send(ctx context.Context, m Message) Report {
	a := &attempt{
		Options:    c.o,
		message:    m,
		relay:      c.relay,
		began:      time.Now(),
		transcript: new(smtp.Transcript),
		results:    make([]Result, len(m.To)),
	}
	for i, to := range m.To {
		a.results[i].To = to.Path
	}
	err := a.resume(ctx, c.take())
	if errors.Is(err, errStale) {
		err = a.run(ctx)
	}
	if err != nil {
		a.fail(err)
	}
	c.kept = a.kept
	return Report{Results: a.results, Transcript: a.transcript, Began: a.began, Took: time.Since(a.began)}
}

// take gives the connection that is kept, which is then the attempt's.
func (c *Courier) take() *connection {
	kept := c.kept
	c.kept = nil
	return kept
}

// errStale: what is left to send needs another connection than the one from before.
var errStale = errors.New("connection from before")

// resume sends over a connection from before. errStale: it needs another.
func (a *attempt) resume(ctx context.Context, c *connection) error {
	if c == nil {
		return errStale
	}
	if !c.suits(a) || !c.room() || time.Since(c.used) > keptIdle || c.hello != a.Hostname() {
		c.Quit(ctx)
		return errStale
	}
	c.Record(a.transcript)
	a.transcript.Add(smtp.FromClient, fmt.Sprintf("(again over the connection to %s at %s)", c.target.host, c.target.addr))
	a.conn, a.target, a.resumed = c, c.target, true
	if err := a.reset(ctx); err != nil {
		c.Close()
		return a.stale(ctx, err)
	}
	err := a.send(ctx)
	switch {
	case errors.Is(err, errStale):
	case errors.Is(err, errEnough):
		a.leave(ctx, nil)
		err = errStale // for the other recipients
	default:
		a.leave(ctx, err)
	}
	return err
}

// stale gives up a connection from before, unless there is no time for another.
func (a *attempt) stale(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return a.broken("send", smtp.Enhanced{4, 4, 2}, err)
	}
	a.transcript.Add(smtp.FromClient, fmt.Sprintf("(%v: connecting again)", unwrapNet(err)))
	a.resumed = false
	return fmt.Errorf("%w: %w", errStale, err)
}

// suits tells whether a connection for the message of an attempt would be
// like this one. RFC 8689 section 4.2.1 asks for more than others do. Its TLS-Required:
// No asks for nothing that others do not get, as there is no policy to be ignored.
func (c *connection) suits(a *attempt) bool {
	return c.requireTLS == a.message.RequireTLS && (a.relay != nil || c.domain == a.message.Domain)
}

// room tells whether another transaction may begin.
func (c *connection) room() bool {
	limit := keptTransactions
	if n := c.Limit("MAILMAX"); n > 0 {
		limit = min(limit, n) // RFC 9422 4.1
	}
	return !c.over && c.transactions < limit && time.Since(c.opened) < keptTime
}
