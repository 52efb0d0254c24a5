// Package inbound takes mail from strangers on port 25, for our own addresses
// and for no others.
//
// A recipient is resolved at RCPT, so that a stranger learns of a wrong address
// and a full mailbox while the sender can still be told. Who asks for many
// addresses that are not here is answered slowly, then sent away for an hour,
// and who sends too much in an hour is put off until it is over. A message is read into
// a spool, then goes through parse, authenticate, judge and accept; accept is
// one commit, and 250 follows it. Any failure is 451 or 452, and nothing
// remains of the message. Who really sent it is written above it, and told in
// the journal.
//
// judge decides for each account, by that and by the account's rules about
// senders: a message that the owner of the domain in From wants treated as junk
// (DMARC's p=quarantine) goes into Junk, one that is wanted refused (p=reject) is
// refused, unless a rule lets it in. What was decided and why stands in the field
// Roost-Verdict above the message, and in the journal, also for what was refused.
//
// DNS block lists, where the owner chose any, are asked last, and only about a message
// that is open after all that (blocklist.go).
//
// It refuses to relay, to let anybody log in, and to know who reads the mail.
package inbound
