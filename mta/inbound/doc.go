// Package inbound takes mail from strangers on port 25, for our own addresses
// and for no others.
//
// A recipient is resolved at RCPT, so that a stranger learns of a wrong address
// and a full mailbox while the sender can still be told. A message is read into
// a spool, then goes through parse, authenticate, judge and accept; accept is
// one commit, and 250 follows it. Any failure is 451 or 452, and nothing
// remains of the message. Who really sent it is written above it, and told in
// the journal; mail is refused for that only where the owner of the domain in
// From wants it (DMARC's p=reject).
//
// It refuses to relay, to let anybody log in, and to know who reads the mail.
package inbound
