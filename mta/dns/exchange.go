package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	mdns "github.com/miekg/dns"
)

// udpSize is the payload offered by EDNS0: what passes any sane path without
// fragments.
const udpSize = 1232

// ask puts one question to the servers in turn until one of them knows.
func (r *Resolver) ask(ctx context.Context, name string, qtype uint16) (answer, error) {
	servers := r.list()
	last := &Error{Kind: ErrTemporary, Reason: "no resolver"}
	for range r.rounds {
		for _, s := range servers {
			a, err := r.askOne(ctx, s, name, qtype)
			if err == nil {
				return a, nil
			}
			if err := expired(ctx); err != nil {
				return answer{}, err
			}
			// That one server proved the data false outweighs another that
			// only failed.
			if last.Kind != ErrBogus || err.Kind == ErrBogus {
				last = err
			}
		}
		if last.Kind == ErrBogus {
			break
		}
	}
	return answer{}, last
}

// expired is ctx.Err, and knows of a deadline that has come before the context
// itself does: the connection, which has the same one, may be first to act on it.
func expired(ctx context.Context) error {
	if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// askOne puts the question to one server.
func (r *Resolver) askOne(ctx context.Context, server netip.AddrPort, name string, qtype uint16) (answer, *Error) {
	trusted := server.Addr().Unmap().IsLoopback()
	m, err := r.exchange(ctx, server, question(name, qtype, trusted))
	if err == nil && m.Rcode == mdns.RcodeFormatError {
		// A server that predates EDNS0 (RFC 6891 section 7).
		plain := question(name, qtype, false)
		plain.Extra = nil
		m, err = r.exchange(ctx, server, plain)
	}
	if err != nil {
		return answer{}, temporary("%v", err)
	}
	switch m.Rcode {
	case mdns.RcodeSuccess, mdns.RcodeNameError:
	case mdns.RcodeServerFailure:
		if reason := r.bogus(ctx, server, m, name, qtype); reason != "" {
			return answer{}, &Error{Kind: ErrBogus, Reason: reason}
		}
		return answer{}, temporary("%s answers %s%s", server, rcode(m), extendedError(m))
	default:
		return answer{}, temporary("%s answers %s", server, rcode(m))
	}
	a, err := readAnswer(m, name, qtype)
	if err != nil {
		return answer{}, temporary("%s: %v", server, err)
	}
	switch {
	case trusted && m.AuthenticatedData:
		a.verdict = Secure
	case trusted:
		a.verdict = Insecure
	}
	return a, nil
}

func temporary(format string, args ...any) *Error {
	return &Error{Kind: ErrTemporary, Reason: fmt.Sprintf(format, args...)}
}

func question(name string, qtype uint16, dnssec bool) *mdns.Msg {
	m := new(mdns.Msg)
	m.SetQuestion(name, qtype)
	// RFC 6840 section 5.7: AD in a query asks for AD in the answer; some
	// resolvers look for DO only. Signatures are of no use otherwise.
	m.AuthenticatedData = dnssec
	m.SetEdns0(udpSize, dnssec)
	return m
}

// exchange sends q over UDP, and over TCP when the answer was cut short or
// is not one to the question.
func (r *Resolver) exchange(ctx context.Context, server netip.AddrPort, q *mdns.Msg) (*mdns.Msg, error) {
	m, err := r.roundTrip(ctx, "udp", server, q)
	if err == nil && !m.Truncated {
		return m, nil
	}
	if err != nil && !errors.Is(err, errMismatch) {
		return nil, err
	}
	return r.roundTrip(ctx, "tcp", server, q)
}

var errMismatch = errors.New("the answer is not to the question asked")

func (r *Resolver) roundTrip(ctx context.Context, network string, server netip.AddrPort, q *mdns.Msg) (*mdns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	conn, err := r.dial(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// The context's deadline becomes the connection's; its early end closes it.
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	client := mdns.Client{Net: network, Timeout: r.timeout}
	m, _, err := client.ExchangeWithConnContext(ctx, q, &mdns.Conn{Conn: conn})
	if ctx.Err() != nil {
		return nil, fmt.Errorf("ask %s over %s: no answer within %v", server, network, r.timeout)
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s over %s: %w", server, network, err)
	}
	if !m.Response || len(m.Question) != 1 || m.Question[0].Qtype != q.Question[0].Qtype ||
		!strings.EqualFold(m.Question[0].Name, q.Question[0].Name) {
		return nil, fmt.Errorf("ask %s over %s: %w", server, network, errMismatch)
	}
	return m, nil
}

// bogus finds out whether a SERVFAIL means that a proof did not hold: by the
// resolver's own word (RFC 8914), else by asking again with checking
// disabled (RFC 4035 section 3.2.2), which a broken zone survives and a dead
// one does not. It returns the reason, or "".
func (r *Resolver) bogus(ctx context.Context, server netip.AddrPort, m *mdns.Msg, name string, qtype uint16) string {
	for _, e := range extendedErrors(m) {
		// RFC 8914 section 4.7 to 4.13.
		if e.InfoCode >= mdns.ExtendedErrorCodeDNSBogus && e.InfoCode <= mdns.ExtendedErrorCodeNSECMissing {
			return fmt.Sprintf("%s answers SERVFAIL%s", server, extendedError(m))
		}
	}
	if !server.Addr().Unmap().IsLoopback() || len(extendedErrors(m)) > 0 {
		return ""
	}
	q := question(name, qtype, false)
	q.CheckingDisabled = true
	unchecked, err := r.exchange(ctx, server, q)
	if err != nil || (unchecked.Rcode != mdns.RcodeSuccess && unchecked.Rcode != mdns.RcodeNameError) {
		return ""
	}
	return fmt.Sprintf("%s answers only with DNSSEC checking disabled", server)
}

func extendedErrors(m *mdns.Msg) []*mdns.EDNS0_EDE {
	opt := m.IsEdns0()
	if opt == nil {
		return nil
	}
	var list []*mdns.EDNS0_EDE
	for _, o := range opt.Option {
		if e, ok := o.(*mdns.EDNS0_EDE); ok {
			list = append(list, e)
		}
	}
	return list
}

// extendedError renders the first extended error for people, or "".
func extendedError(m *mdns.Msg) string {
	list := extendedErrors(m)
	if len(list) == 0 {
		return ""
	}
	text := mdns.ExtendedErrorCodeToString[list[0].InfoCode]
	if extra := printable(list[0].ExtraText); extra != "" {
		text += ": " + extra
	}
	return ", " + text
}

// printable keeps what a stranger's resolver wrote fit for a log line.
func printable(s string) string {
	if len(s) > 200 {
		s = s[:200]
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
}

func rcode(m *mdns.Msg) string {
	if s, ok := mdns.RcodeToString[m.Rcode]; ok {
		return s
	}
	return fmt.Sprintf("RCODE %d", m.Rcode)
}
