package dns

import "errors"

// The four ways in which a look-up fails. Every error of a Resolver's
// look-up methods is an *Error that wraps one of them; the only others are
// those of the caller's context.
var (
	// ErrNotFound: the name does not exist, or holds no usable record of the
	// type asked for (NXDOMAIN and NODATA of RFC 2308).
	ErrNotFound = errors.New("not found")

	// ErrTemporary: no resolver gave a usable answer. Asking later may help.
	ErrTemporary = errors.New("temporary failure")

	// ErrBogus: the resolver found data whose DNSSEC proof does not hold
	// (RFC 4033 section 5). The data must not be used; asking later may help,
	// after the zone's owner has mended it.
	ErrBogus = errors.New("bogus")

	// ErrNullMX: the domain says that it accepts no mail (RFC 7505).
	ErrNullMX = errors.New("null MX: the domain accepts no mail")
)

// Error says which question failed, how, and why.
type Error struct {
	Name    string  // the name asked for, without the final dot
	Type    string  // the record type, such as "MX"
	Kind    error   // ErrNotFound, ErrTemporary, ErrBogus or ErrNullMX
	Reason  string  // what the resolver or the network said; may be empty
	Verdict Verdict // of the denial, for ErrNotFound and ErrNullMX
}

// Error gives the question, the kind and the reason on one line.
func (e *Error) Error() string {
	s := "look up " + e.Type + " of " + e.Name + ": " + e.Kind.Error()
	if e.Reason != "" {
		s += " (" + e.Reason + ")"
	}
	return s
}

// Unwrap returns the kind, for errors.Is.
func (e *Error) Unwrap() error { return e.Kind }

// Timeout and Temporary make an Error a net.Error, which is how libraries
// such as go-msgauth tell a failure that may pass from one that will not.
func (e *Error) Timeout() bool { return e.Temporary() }

// Temporary reports whether asking again later may give an answer. A bogus
// answer counts: a zone with a broken chain is unreachable, not without data.
func (e *Error) Temporary() bool { return e.Kind == ErrTemporary || e.Kind == ErrBogus }

// Verdict is what DNSSEC says about an answer.
type Verdict int

// The verdicts, least trusted first, so that the verdict of a chain of
// answers is the smallest of theirs.
const (
	Unknown  Verdict = iota // the resolver's word is not to be trusted
	Insecure                // a trusted resolver found no proof
	Secure                  // a trusted resolver proved it
)

// String gives the verdict in lower case.
func (v Verdict) String() string {
	switch v {
	case Insecure:
		return "insecure"
	case Secure:
		return "secure"
	}
	return "unknown"
}
