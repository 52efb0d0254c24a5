package mailbox

import (
	"errors"
	"fmt"
)

// The kinds of failure that callers tell apart with errors.Is. Anything else
// that a store method returns is trouble on our side: 451 in SMTP, NO
// [SERVERBUG] in IMAP.
var (
	ErrNotFound  = errors.New("not found")
	ErrExists    = errors.New("exists already")
	ErrInvalid   = errors.New("not valid")
	ErrOverQuota = errors.New("over quota")
	ErrTooBig    = errors.New("message too big")
	ErrLimit     = errors.New("limit reached")
	ErrForeign   = errors.New("not one of our domains")
	ErrLogin     = errors.New("wrong login name or password")
	ErrBlocked   = errors.New("too many wrong passwords")
	ErrSendLimit = errors.New("sending limit reached")
	ErrFrozen    = errors.New("sending is frozen")
	ErrDisabled  = errors.New("disabled")
	ErrExpired   = errors.New("expired")
	ErrFull      = errors.New("the disk is almost full")
	ErrCorrupt   = errors.New("damaged data")
	ErrBroken    = errors.New("the store met a write error and takes no more changes; restart Roost and run `roost check`")
	ErrClosed    = errors.New("the store is closed")
	ErrLocked    = errors.New("the data directory is in use by another process")
)

// fault is an error whose text is written for the person who reads it, in CLI,
// API and panel alike, and whose kind is one of the values above.
type fault struct {
	kind error
	text string
}

func (f *fault) Error() string { return f.text }
func (f *fault) Unwrap() error { return f.kind }

// errorKind is the kind of a fault, and any other error itself.
func errorKind(err error) error {
	var f *fault
	if errors.As(err, &f) {
		return f.kind
	}
	return err
}

func faultf(kind error, format string, args ...any) error {
	return &fault{kind, fmt.Sprintf(format, args...)}
}
