package records

import (
	"context"
	"errors"
	"strings"
	"sync"
)

// ErrNoHost: the server has no name that could stand in a record.
var ErrNoHost = errors.New("this server has no full name yet: set one with `roost host set mail.example.org`")

// Check compares what a domain should have with what the DNS has, within half a minute:
// the zone's own servers are asked first, and the resolver to see what others see. The
// findings come in the order of Want, with address records that nobody wants behind those
// wanted. It fails only when o names a resolver that is no address, or s a host that has no
// full name.
func Check(ctx context.Context, s Setup, o Options) ([]Finding, error) {
	if !strings.Contains(s.Host, ".") {
		return nil, ErrNoHost
	}
	a, err := newAsker(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	var list []checked
	for _, k := range kinds() {
		want := k.want(s)
		for _, r := range want {
			list = append(list, checked{kind: k, want: r})
		}
		if k.stray == nil {
			continue
		}
		for _, r := range k.stray(s, want) {
			list = append(list, checked{kind: k, want: r})
		}
	}
	a.all(ctx, s, list)
	var findings []Finding
	for _, c := range list {
		if c.finding.State != "" {
			findings = append(findings, c.finding)
		}
	}
	return findings, nil
}

// checked is one record on its way through a check.
type checked struct {
	kind    kind
	want    Record
	finding Finding
}

// all looks at every record, some at a time, and waits.
func (a *asker) all(ctx context.Context, s Setup, list []checked) {
	places := make(chan struct{}, atOnce)
	var running sync.WaitGroup
	for i := range list {
		places <- struct{}{}
		running.Go(func() {
			c := &list[i]
			c.finding = a.check(ctx, s, *c)
			<-places
		})
	}
	running.Wait()
}

func (a *asker) check(ctx context.Context, s Setup, c checked) Finding {
	want := c.want
	want.Kind, want.Why = c.kind.name, c.kind.why
	q := question{Context: ctx, Setup: s, source: source{a, true}, want: want}
	own := c.kind.judge(q)
	f := Finding{
		Record: want, Required: c.kind.required, State: own.state, Found: own.found,
		Says: own.says, Advice: own.advice, Change: own.change, Source: own.source,
	}
	if own.state == Missing {
		if at := q.doubled(); at != "" {
			f.State = Wrong
			f.Says = "The record is there, but at " + at + "."
			f.Advice = "The form adds the domain itself: enter only the part of the name before it."
		} else if alias := q.lookup(q, want.Name, "CNAME").values; len(alias) > 0 {
			// Nothing can stand beside a CNAME (RFC 1034 section 3.6.2).
			f.State = Wrong
			f.Says = want.Name + " is an alias of " + brief(strings.TrimSuffix(alias[0], ".")) + ", which has nothing of the kind."
			f.Advice = "Replace the alias by this record."
		}
	}
	if own.state != "" && own.source != fromResolver {
		q.authority = false
		f.Pending = pending(own, c.kind.judge(q))
	}
	return f
}

// doubled finds the record below its own name: many forms add the domain to what is
// entered, and people enter the whole name.
func (q question) doubled() string {
	at := q.want.Name + "." + q.Domain
	have := q.lookup(q, at, q.want.Type)
	for _, v := range have.values {
		if v == q.want.Value {
			return at
		}
	}
	return ""
}
