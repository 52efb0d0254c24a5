// Package msgauth is about who really sent a message. It signs ours with DKIM
// (RFC 6376, RFC 8463). Of others' it finds out, by iprev, SPF, DKIM and DMARC
// (RFC 8601, 7208, 6376, 9989), whether they are from whom they say: one
// Verdict, which gives one Authentication-Results field and a few lines in
// plain words. A Scrubber takes out of a message what pretends to be such a
// field of ours.
//
// It refuses to know accounts, stores and policy. Keys and messages are
// handed in, header fields are handed back, and what to make of a verdict is
// its caller's business: nothing that others sent or published is an error.
// The hashing, the canonical forms and the signatures are go-msgauth's, and
// the evaluation of an SPF record is blitiri.com.ar/go/spf's; which fields are
// signed, which signatures count, the limits and all of DMARC are decided here.
package msgauth
