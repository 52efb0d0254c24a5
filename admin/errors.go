package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"roost/mailbox"
)

// Kind says what sort of failure an operation met. It decides the HTTP status of the
// API and the exit code of the command line, and nothing else does.
type Kind string

// The kinds of failure.
const (
	Invalid   Kind = "invalid"     // an argument is not what it should be
	NotFound  Kind = "not-found"   // what was named does not exist
	Exists    Kind = "exists"      // what should be made is there already
	Forbidden Kind = "forbidden"   // the caller may not do this
	InUse     Kind = "in-use"      // another process holds the data directory
	Full      Kind = "full"        // the disk, a quota or another limit
	Damaged   Kind = "damaged"     // the store found damaged data or met a write error
	Failed    Kind = "failed"      // anything else
	Canceled  Kind = "interrupted" // the caller went away, or the server is stopping
)

// Error is a failure as every face of the office shows it: the message is one sentence
// for the person who asked.
type Error struct {
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

func errorf(kind Kind, format string, args ...any) *Error {
	return &Error{kind, fmt.Sprintf(format, args...)}
}

type consequence struct {
	kind   Kind
	causes []error
	status int // of HTTP
	exit   int // of the process; 1 and 2 keep the meaning they have for a shell
}

func consequences() []consequence {
	return []consequence{
		{Invalid, []error{mailbox.ErrInvalid}, http.StatusBadRequest, 2},
		{NotFound, []error{mailbox.ErrNotFound}, http.StatusNotFound, 3},
		{Exists, []error{mailbox.ErrExists}, http.StatusConflict, 4},
		{Forbidden, []error{mailbox.ErrLogin, mailbox.ErrBlocked}, http.StatusForbidden, 5},
		{InUse, []error{mailbox.ErrLocked}, http.StatusServiceUnavailable, 6},
		{Full, []error{mailbox.ErrFull, mailbox.ErrLimit, mailbox.ErrOverQuota, mailbox.ErrTooBig}, http.StatusInsufficientStorage, 7},
		{Damaged, []error{mailbox.ErrCorrupt, mailbox.ErrBroken}, http.StatusInternalServerError, 8},
		{Canceled, []error{context.Canceled, context.DeadlineExceeded, mailbox.ErrClosed}, http.StatusServiceUnavailable, 1},
		{Failed, nil, http.StatusInternalServerError, 1},
	}
}

// Explain turns any error into the one that is shown. A nil error stays nil.
func Explain(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	for _, c := range consequences() {
		for _, cause := range c.causes {
			if errors.Is(err, cause) {
				return &Error{c.kind, err.Error()}
			}
		}
	}
	return &Error{Failed, err.Error()}
}

func (k Kind) consequence() consequence {
	all := consequences()
	for _, c := range all {
		if c.kind == k {
			return c
		}
	}
	return all[len(all)-1]
}

// Status is the HTTP status code of a failure.
func (k Kind) Status() int { return k.consequence().status }

// ExitCode is the exit code of a command that failed: 2 invalid, 3 not found, 4 exists,
// 5 forbidden, 6 in use, 7 full, 8 damaged, 1 anything else.
func (k Kind) ExitCode() int { return k.consequence().exit }
