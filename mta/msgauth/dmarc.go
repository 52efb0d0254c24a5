package msgauth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"roost/mailbox/message"
	"roost/mta/dns"
)

// DMARC is whether the domain in From stands behind the message (RFC 9989).
type DMARC struct {
	// Result is Pass, Fail, None, TempError, or PermError when From does not
	// name one author.
	Result Result
	From   string      // the domain in From, as A-labels; that which decided, where there are several
	Record string      // the domain whose record applies
	Policy DMARCPolicy // what it asks to be done with mail that fails
	By     string      // of a Pass: "DKIM" or "SPF"
	Reason string

	// Disposition is what is asked to be done with this message: more than
	// PolicyNone only where Result is Fail.
	Disposition DMARCPolicy
}

// identifier is a domain that vouches for a message, or might.
type identifier struct {
	domain string
	method string // "DKIM" or "SPF"
	state  state
}

type state int

const (
	sure   state = iota
	tried        // it is valid, by a key that is being tried out
	unsure       // it can't be told for now
)

// author is who the header says wrote the message.
type author struct {
	domains   []string
	irregular string // why that is never confirmed; "" for one address in one field
}

// maxAuthors bounds the domains in From that are looked up.
const maxAuthors = 8

// readAuthor reads From. RFC 9989 section 5.3.1 wants one domain; each of
// several is looked up, as one of them is what the reader is shown (section
// 11.5), but together they are never confirmed.
func readAuthor(h message.Header) author {
	var a author
	fields := h.All("From")
	addresses := 0
	for _, value := range fields {
		list, err := message.ParseAddressList(value)
		if err != nil {
			a.irregular = "From is not a list of addresses"
		}
		for _, m := range message.Mailboxes(list) {
			addresses++
			d, ok := domainName(m.Domain)
			switch {
			case !ok:
				a.irregular = "an address in From has no domain"
			case slices.Contains(a.domains, d):
			case len(a.domains) < maxAuthors:
				a.domains = append(a.domains, d)
			}
		}
	}
	switch {
	case h.Truncated():
		a.irregular = "the header is too long"
	case len(fields) == 0:
		a.irregular = "there is no From field"
	case len(fields) > 1:
		a.irregular = "there is more than one From field"
	case addresses == 0:
		a.irregular = "From names no address"
	case addresses > 1:
		a.irregular = "From names more than one address"
	}
	return a
}

// evaluate gives the verdict on From. Of several domains the one decides that
// asks for the most.
func (a author) evaluate(ctx context.Context, claims []*claim, ids []identifier, known bool) DMARC {
	// At once, for one domain's servers may be slow to give time to another.
	found := make([]DMARC, len(claims))
	var wait sync.WaitGroup
	for i, c := range claims {
		wait.Go(func() { found[i] = c.evaluate(ctx, ids, known) })
	}
	wait.Wait()
	if a.irregular == "" {
		return found[0]
	}
	worst := DMARC{Result: PermError, Reason: a.irregular, Disposition: PolicyNone}
	for _, d := range found {
		if d.Result == Fail && d.Disposition.stricter(worst.Disposition) {
			worst = d
			worst.Reason = a.irregular
		}
	}
	return worst
}

// claim is a domain in From and the record that applies to it.
type claim struct {
	tree   *tree
	domain string
	at     string // where the record was found
	record *record
	policy DMARCPolicy
	reason string // why there is no record that applies, where there is more to say
	err    error
}

// discover finds the record that applies to a domain (RFC 9989 section
// 4.10.1): its own, that of its organization, or that of the registry above.
func discover(ctx context.Context, r *dns.Resolver, domain string) *claim {
	t := &tree{resolver: r}
	c := &claim{tree: t, domain: domain}
	own, err := t.record(ctx, domain)
	if err != nil {
		c.err = err
		return c
	}
	if own != nil {
		c.apply(domain, own, own.p)
		return c
	}
	walk, err := t.walk(ctx, domain)
	if err != nil {
		c.err = err
		return c
	}
	org := organization(domain, walk)
	for _, p := range walk {
		if p.domain != org && p.psd != 'y' {
			continue
		}
		policy := p.p
		if p.sp != "" {
			policy = p.sp
		}
		if p.np != "" && p.np != policy && !t.exists(ctx, domain) {
			policy = p.np
		}
		c.apply(p.domain, p.record, policy)
		break
	}
	return c
}

// apply takes a record for the one to go by, unless it is not fit for that.
func (c *claim) apply(at string, r *record, policy DMARCPolicy) {
	if r.broken {
		if !r.reports {
			c.reason = "the record of " + at + " has no valid policy"
			return
		}
		policy = PolicyNone
	}
	if r.testing {
		policy = policy.milder()
	}
	c.at, c.record, c.policy = at, r, policy
}

// evaluate says whether one of the identifiers stands for the domain.
func (c *claim) evaluate(ctx context.Context, ids []identifier, known bool) DMARC {
	d := DMARC{Result: None, From: c.domain, Record: c.at, Policy: c.policy, Reason: c.reason, Disposition: PolicyNone}
	if c.err != nil {
		d.Result, d.Reason = TempError, trouble(c.err)
		return d
	}
	if c.record == nil {
		return d
	}
	var doubt error
	undecided, tested := false, false
	for _, id := range ids {
		aligned, err := c.aligned(ctx, id)
		switch {
		case err != nil:
			doubt = err
		case !aligned:
		case id.state == sure:
			d.Result, d.By = Pass, id.method
			return d
		case id.state == tried:
			tested = true
		default:
			undecided = true
		}
	}
	switch {
	case doubt != nil:
		d.Result, d.Reason = TempError, trouble(doubt)
	case undecided:
		d.Result, d.Reason = TempError, "what might confirm it could not be looked up"
	case !known:
		d.Reason = "the client's address is a private one, for which SPF has no answer"
	case tested:
		// To refuse it would be to punish the owner for trying out a key.
		d.Result, d.Reason = Fail, "only a key that is being tested confirms it"
	default:
		d.Result, d.Disposition = Fail, c.policy
	}
	return d
}

// aligned says whether an identifier belongs to whom the domain of a claim
// belongs to (RFC 9989 section 4.10.2). Only what is below the organization of
// the claim is looked up: nobody else can delay or spoil the answer.
func (c *claim) aligned(ctx context.Context, id identifier) (bool, error) {
	strict := c.record.aspf
	if id.method == "DKIM" {
		strict = c.record.adkim
	}
	if strict || id.domain == c.domain {
		return id.domain == c.domain, nil
	}
	if c.domain[strings.LastIndexByte(c.domain, '.')+1:] != id.domain[strings.LastIndexByte(id.domain, '.')+1:] {
		return false, nil
	}
	base := registered(c.domain)
	mine, err := c.tree.walk(ctx, c.domain)
	if err != nil {
		if base == "" || !within(id.domain, base) {
			return false, nil
		}
		return false, fmt.Errorf("where %s belongs: %w", c.domain, err)
	}
	org := organization(c.domain, mine)
	// The owner of a record from before RFC 9989 went by the public suffix
	// list, and may have records where a walk sees organizations of their own.
	listed := c.record.old && !marked(mine) && base != "" && within(id.domain, base)
	if !within(id.domain, org) && !listed {
		return false, nil
	}
	theirs, err := c.tree.walk(ctx, id.domain)
	if err != nil {
		return false, fmt.Errorf("where %s belongs: %w", id.domain, err)
	}
	return organization(id.domain, theirs) == org || listed && !marked(theirs), nil
}
