// Package submit takes mail from our own people, on ports 587 and 465 (RFC
// 6409, RFC 8314): it lets them log in, holds them to their own addresses,
// completes what their programs left out of the header, signs, and stores.
//
// One commit holds the copies for local recipients and an outbox row for every
// remote domain, so that a message is on its way to everybody or to nobody.
// Sending is the queue's work, which finds the rows by itself.
//
// It refuses passwords outside TLS, to let anybody write as somebody else, and
// to tell one recipient of another: Bcc is dropped, and neither a delivered
// copy nor its trace names those who are not in the header.
package submit
