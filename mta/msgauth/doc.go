// Package msgauth is about who really sent a message: it signs ours with
// DKIM (RFC 6376, RFC 8463), and it is where the verification of others'
// SPF, DKIM and DMARC belongs, which comes with the identity of incoming
// mail.
//
// It refuses to know accounts, stores and policy. Keys and messages are
// handed in, header fields are handed back, and what to make of a verdict is
// its caller's business. The hashing, the canonical forms and the signatures
// are go-msgauth's; which fields are signed, with which keys, is decided
// here.
package msgauth
