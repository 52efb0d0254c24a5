package smtp

import (
	"context"
	"io"
)

// Session decides what a connection may do: one method for each verb that
// needs a decision. A nil error is the verb's usual positive answer; a Reply
// is that answer; any other error is 451 4.3.0 and a line in the log. A Reply
// with code 421 closes the connection. A Session is used by one goroutine, and
// a new one is made after STARTTLS, as nothing that was said before it counts
// (RFC 3207 4.2).
type Session interface {
	// Mail opens a transaction. Size is within the limit, and an address
	// beyond ASCII came with SMTPUTF8.
	Mail(ctx context.Context, from Path, p MailParams) error

	// Rcpt adds a recipient; a bare postmaster has no domain.
	Rcpt(ctx context.Context, to Path, p RcptParams) error

	// Data takes the message of a transaction that has a recipient. The reader
	// gives lines that end in CRLF, without the dots of the wire. A nil error
	// before its io.EOF is a defect; when it fails, nothing may remain of the
	// message, and the error may be passed on. The id goes into the answer.
	Data(ctx context.Context, message io.Reader) (id string, err error)

	// Reset forgets the transaction, if there is one: after DATA, at RSET and
	// EHLO, and before the connection ends. ctx may be done by then.
	Reset(ctx context.Context)
}

// Sized is a Session that is told of a message which is refused because it would be
// too large (RFC 1870 6.1), so that the sender's question after it has an answer.
type Sized interface {
	Session
	TooLarge(ctx context.Context, from Path, p MailParams, r Reply)
}

// Authenticator is a Session that people can log in to.
type Authenticator interface {
	Session

	// Mechanisms are the SASL mechanisms to announce now, in upper case; none
	// where a password would go over the wire in the clear.
	Mechanisms() []string

	// Auth starts an exchange. An unknown mechanism is a Reply 504 5.5.4.
	Auth(ctx context.Context, mechanism string) (Exchange, error)
}

// Exchange is the server's side of one SASL exchange (RFC 4422). Next takes
// the client's response, nil where it sent no initial one, and gives the next
// challenge, or that the client is logged in now. Its errors are like those of
// a Session.
type Exchange interface {
	Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error)
}
