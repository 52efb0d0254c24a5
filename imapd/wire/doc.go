// Package wire reads and writes the lines of IMAP4rev1 (RFC 3501) and
// IMAP4rev2 (RFC 9051).
//
// A Decoder takes one command at a time from a stream, argument by argument,
// within limits, and hands out large literals as readers; an Encoder writes
// responses through a bounded buffer. Neither knows a command, a mailbox or a
// message: what the arguments mean belongs to package imapd. The package
// starts no goroutine and sets no deadline.
package wire

import (
	"errors"
	"fmt"
)

// Limits bounds what a Decoder accepts. All sizes are octets.
type Limits struct {
	Line     int   // one command with its line ends, literals not counted
	Literal  int64 // one literal that is held in memory
	Literals int64 // all literals of one command that are held in memory
	Discard  int64 // input that is read and thrown away to get past a refused command
	Depth    int   // nested parentheses
	Items    int   // elements of one list
}

// maxLine is the longest command line, with its line ends. A set of UIDs that has
// 64,000 octets fits in.
const maxLine = 64 << 10

// BeforeLogin bounds a client that has not said who it is.
func BeforeLogin() Limits {
	return Limits{Line: maxLine, Literal: 8 << 10, Literals: 16 << 10, Discard: 64 << 10, Depth: 8, Items: 64}
}

// AfterLogin bounds an authenticated client.
func AfterLogin() Limits {
	return Limits{Line: maxLine, Literal: 64 << 10, Literals: 256 << 10, Discard: 64 << 20, Depth: 32, Items: 16 << 10}
}

// A SyntaxError says that a command does not follow the grammar. The
// connection is in step again after Decoder.Discard.
type SyntaxError struct {
	Msg string
}

func (e *SyntaxError) Error() string { return e.Msg }

var (
	// ErrTooBig is wrapped by the error for a line, list or literal that is
	// over its limit. The connection is in step again after Decoder.Discard.
	ErrTooBig = errors.New("over the limit")

	// ErrOutOfStep says that the decoder cannot tell where the next command
	// begins. The connection has to be closed.
	ErrOutOfStep = errors.New("the next command cannot be found")
)

func tooBig(what string, limit int64) error {
	return fmt.Errorf("%s %w of %d octets", what, ErrTooBig, limit)
}
