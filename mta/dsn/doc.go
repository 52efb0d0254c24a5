// Package dsn writes delivery status notifications: what a sender is told of
// the fate of a message (RFC 3464, RFC 6533 where an address is beyond ASCII),
// as far as the parameters of RFC 3461 ask for it.
//
// It refuses to decide who is told and when, and to send anything: a queue and
// the sessions that deliver know that.
package dsn
