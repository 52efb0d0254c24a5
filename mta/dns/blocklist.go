package dns

import (
	"context"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Listing is what a DNS block list (RFC 5782) says of an address that it has.
type Listing struct {
	List   string       // as ListName shows it
	Codes  []netip.Addr // why, in the list's own numbers
	Reason string       // in its words, and often where to get off: printable ASCII of at most 200 octets; may be empty
}

// Listed asks a block list, by the zone that it is in, about an address. It gives nil
// where the address is not listed. A list that does not answer, answers that it won't
// (127.255.255.x), or lists everything, is an Error of the kind ErrTemporary, with a
// Reason to be read by people: it never is a Listing.
func (r *Resolver) Listed(ctx context.Context, list string, a netip.Addr) (*Listing, error) {
	l, err := r.onList(ctx, list, listLabels(a.Unmap().WithZone("")))
	if l == nil || err != nil {
		return nil, err
	}
	// A list that ended, or a name that somebody else has bought, says yes to all.
	if err := r.listsAll(ctx, list); err != nil {
		return nil, err
	}
	if text, err := r.TXT(ctx, listLabels(a.Unmap().WithZone(""))+"."+list); err == nil {
		l.Reason = printable(text.Records[0])
	}
	return l, nil
}

// ProveList finds out whether the word of a block list is worth something here. RFC
// 5782 section 5: 127.0.0.2 is listed and 127.0.0.1 is not, or the same in IPv6, in a
// list that has nothing else. An Error has a Reason to be read by people.
func (r *Resolver) ProveList(ctx context.Context, list string) error {
	l, err := r.onList(ctx, list, listLabels(netip.AddrFrom4([4]byte{127, 0, 0, 2})))
	if l == nil && err == nil {
		l, err = r.onList(ctx, list, listLabels(netip.MustParseAddr("::ffff:127.0.0.2")))
	}
	if err != nil {
		return err
	}
	if l == nil {
		return &Error{Name: ListName(list), Type: "A", Kind: ErrNotFound, Reason: "its test entry, 127.0.0.2, is not there: it is no block list of addresses, or it does not answer this resolver"}
	}
	return r.listsAll(ctx, list)
}

// listsAll is an error for a list that has what no list may have.
func (r *Resolver) listsAll(ctx context.Context, list string) error {
	for _, never := range []string{"127.0.0.1", "::ffff:127.0.0.1"} {
		l, err := r.onList(ctx, list, listLabels(netip.MustParseAddr(never)))
		if err != nil {
			return err
		}
		if l != nil {
			return &Error{Name: ListName(list), Type: "A", Kind: ErrTemporary, Reason: "it lists everything, even 127.0.0.1, so it says nothing"}
		}
	}
	return nil
}

// onList looks for labels in a list.
func (r *Resolver) onList(ctx context.Context, list, labels string) (*Listing, error) {
	bad := func(reason string) error {
		return &Error{Name: ListName(list), Type: "A", Kind: ErrTemporary, Reason: reason}
	}
	have, err := r.A(ctx, labels+"."+list)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		var e *Error
		if errors.As(err, &e) && e.Kind == ErrBogus {
			return nil, bad("the DNSSEC signatures of its zone do not verify")
		}
		return nil, bad("it does not answer")
	}
	for _, code := range have.Records {
		b := code.As4()
		switch {
		case b[0] == 127 && b[1] == 255 && b[2] == 255:
			return nil, bad("it answers " + code.String() + ": " + refusedList(b[3]))
		case b == [4]byte{127, 0, 0, 1}:
			// Some say so that they will not answer; none lists an address by it.
			return nil, bad("it answers 127.0.0.1, which is not what a block list says of an address that it has")
		case b[0] != 127:
			return nil, bad("it answers " + code.String() + ", which is not what a block list says")
		}
	}
	return &Listing{List: ListName(list), Codes: slices.Clone(have.Records)}, nil
}

// refusedList tells what the last octet of 127.255.255.x means, with which Spamhaus,
// and others after it, say that they do not answer.
func refusedList(code byte) string {
	switch code {
	case 252:
		return "the name of the list is not right"
	case 254:
		return "the question came through a resolver that many share; a resolver of your own is needed (roost serve --resolver), or an account with the list"
	case 255:
		return "too many questions came from this resolver"
	}
	return "it does not answer this server"
}

// listLabels is how a list names an address: its octets, or its nibbles in IPv6, the
// last one first (RFC 5782 sections 2.1 and 2.4).
func listLabels(a netip.Addr) string {
	var labels []string
	if a.Is4() {
		for _, b := range a.As4() {
			labels = append(labels, strconv.Itoa(int(b)))
		}
	} else {
		b := a.As16()
		labels = strings.Split(hex.EncodeToString(b[:]), "")
	}
	slices.Reverse(labels)
	return strings.Join(labels, ".")
}

// ListName is a list's zone as it may be shown to strangers: without the long labels in
// which customers of some lists have their key.
func ListName(list string) string {
	labels := strings.Split(list, ".")
	return strings.Join(slices.DeleteFunc(labels, func(l string) bool { return len(l) >= 20 }), ".")
}
