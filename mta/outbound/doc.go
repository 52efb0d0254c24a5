// Package outbound makes one attempt to hand one message to one
// destination: the mail exchangers of a domain, or a smart host.
//
// It finds the hosts, connects, encrypts where it can, sends, and returns a
// result for every recipient with the transcript of what was said. Delivery
// to an exchanger is opportunistic about TLS (RFC 7435): any certificate is
// better than none, and plain text is better than no mail. A smart host is
// somebody we know: its certificate is checked, and a password is never sent
// in the clear.
//
// Several messages to one destination may go over one connection: a Courier
// keeps it. What spoils one message does not spoil the next.
//
// It refuses to know the store, to try again later, and to tell the sender.
// Those are the queue's.
package outbound
