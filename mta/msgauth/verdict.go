package msgauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"time"

	"roost/mailbox/message"
	"roost/mailbox/remote"
	"roost/mta/dns"

	"golang.org/x/net/idna"
)

// Result is what one method found, in the words of RFC 8601 section 2.7.
type Result string

// The results. Not every method knows every one of them.
const (
	None      Result = "none"      // there is nothing to go by
	Pass      Result = "pass"      // confirmed
	Fail      Result = "fail"      // denied
	SoftFail  Result = "softfail"  // SPF: denied, but not in earnest
	Neutral   Result = "neutral"   // nothing is said either way
	Policy    Result = "policy"    // DKIM: signed in a way that is not taken here
	TempError Result = "temperror" // not to be found out now; later it may be
	PermError Result = "permerror" // what is published or sent makes no sense
)

// Mail is a message and the way that it came.
type Mail struct {
	Client netip.Addr // the other end of the connection
	Hello  string     // its name in EHLO or HELO
	From   string     // reverse-path without its angle brackets; "" is the null one

	// Message is the message as it came, with CRLF line ends and without
	// what we put in front of it. Size is its length in octets.
	Message io.ReaderAt
	Size    int64
}

// Verdict is who really sent a message, as far as that can be known.
type Verdict struct {
	Client   netip.Addr
	IPRev    IPRev
	Hello    SPF // of the name in EHLO; its Domain is empty when that is none
	MailFrom SPF // of the reverse-path, or of the name in EHLO where that is null
	Null     bool
	DKIM     []Signature // in the order of the message, at most 10
	Unread   int         // signatures beyond those
	DMARC    DMARC
}

// lookupShare is how much of the time is for SPF, iprev and DKIM keys, whose
// DNS belongs to whoever wrote the message. The rest is for what the owner of
// the domain in From says, so that a forger with slow servers can't have that
// left unheard.
const lookupShare = 0.6

// Verify finds out who really sent a message: iprev (RFC 8601 section 3), SPF
// (RFC 7208), DKIM (RFC 6376, 8301, 8463) and DMARC (RFC 9989). It takes until
// the deadline of ctx at most, ten seconds being plenty, and it never fails:
// what can't be found out in time is a TempError.
//
// An address that is private or loopback says nothing about who sent a
// message: iprev and SPF are None then, and a failure of DMARC is too.
func Verify(ctx context.Context, r *dns.Resolver, m Mail) *Verdict {
	v := &Verdict{Client: m.Client.Unmap().WithZone("")}
	v.identities(m)
	header, err := message.ReadHeader(io.NewSectionReader(m.Message, 0, m.Size))
	if err != nil {
		v.DKIM = []Signature{{Result: TempError, Reason: "the message could not be read"}}
		v.DMARC = DMARC{Result: TempError, Reason: "the message could not be read", Disposition: PolicyNone}
		return v
	}
	lookups, cancel := context.WithCancel(ctx)
	defer cancel()
	if end, ok := ctx.Deadline(); ok {
		share := time.Duration(lookupShare * float64(time.Until(end)))
		lookups, cancel = context.WithTimeout(ctx, share)
		defer cancel()
	}
	known := remote.Public(v.Client)
	author := readAuthor(header)
	claims := make([]*claim, len(author.domains))
	var wait sync.WaitGroup
	for i, d := range author.domains {
		wait.Go(func() { claims[i] = discover(ctx, r, d) })
	}
	wait.Go(func() { v.DKIM, v.Unread = verifyDKIM(ctx, lookups, r, header, m) })
	if known {
		wait.Go(func() { v.IPRev = iprev(lookups, r, v.Client) })
		wait.Go(func() { checkSPF(lookups, r, v, m) })
	}
	wait.Wait()
	v.DMARC = author.evaluate(ctx, claims, v.identifiers(), known)
	return v
}

// identities sets which domains SPF is about.
func (v *Verdict) identities(m Mail) {
	v.IPRev.Result, v.Hello.Result, v.MailFrom.Result = None, None, None
	// An address literal, or a name that can't be in the DNS, is no identity
	// (RFC 7208 sections 2.3 and 4.3).
	if hello, ok := domainName(m.Hello); ok && strings.Contains(hello, ".") {
		v.Hello.Domain = hello
	}
	if v.Null = m.From == ""; v.Null {
		v.MailFrom.Domain = v.Hello.Domain
		return
	}
	if d, ok := domainName(m.From[strings.LastIndexByte(m.From, '@')+1:]); ok && strings.Contains(d, ".") {
		v.MailFrom.Domain = d
	}
}

// identifiers are the domains that SPF and DKIM vouch for, or might.
func (v *Verdict) identifiers() []identifier {
	var ids []identifier
	for _, s := range v.DKIM {
		d, ok := domainName(s.Domain)
		if !ok {
			continue
		}
		id := identifier{domain: d, method: "DKIM"}
		switch {
		case s.Result == Pass:
			id.state = sure
		case s.Result == TempError:
			id.state = unsure
		case s.Result == Neutral && s.Testing:
			id.state = tried
		default:
			continue
		}
		ids = append(ids, id)
	}
	switch v.MailFrom.Result {
	case Pass:
		ids = append(ids, identifier{v.MailFrom.Domain, "SPF", sure})
	case TempError:
		ids = append(ids, identifier{v.MailFrom.Domain, "SPF", unsure})
	}
	return ids
}

// Confirmed is the domain in From where SPF or DKIM vouches for it, with or without
// a record of DMARC; "" where nothing does.
func (v *Verdict) Confirmed() string {
	switch v.DMARC.Result {
	case Pass:
		return v.DMARC.From
	case None:
		for _, id := range v.identifiers() {
			if own := registered(v.DMARC.From); id.state == sure && own != "" && within(id.domain, own) {
				return v.DMARC.From
			}
		}
	}
	return ""
}

// domainName brings a domain into the form in which it is looked up and
// compared: A-labels (RFC 5890 section 2.3), lower case, no final dot. It is
// false for what can't be a name in the DNS, such as an address literal.
func domainName(s string) (string, bool) {
	if len(s) > 4*253 {
		return "", false
	}
	for _, c := range []byte(s) {
		if c >= 0x80 {
			ascii, err := idna.Lookup.ToASCII(s)
			if err != nil {
				return "", false
			}
			s = ascii
			break
		}
	}
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if s == "" || len(s) > 253 {
		return "", false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return "", false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return "", false
			}
		}
	}
	// The DNS knows no addresses: 192.0.2.1 is none of its names.
	if _, err := netip.ParseAddr(s); err == nil {
		return "", false
	}
	return s, true
}

// trouble says in words why a look-up gave no answer.
func trouble(err error) string {
	var d *dns.Error
	switch {
	case !errors.As(err, &d):
		return "the time is up"
	case errors.Is(err, dns.ErrBogus):
		return fmt.Sprintf("the answer about %s of %s is forged or damaged (DNSSEC)", d.Type, d.Name)
	}
	return fmt.Sprintf("no answer about %s of %s", d.Type, d.Name)
}
