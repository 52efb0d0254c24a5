// Package dns asks a recursive resolver the questions that mail needs, and
// tells the answers apart the way mail has to: found, not found, not now, and
// forged.
//
// It is a stub resolver over the system's resolvers or over given ones: UDP,
// then TCP when an answer is cut short, with EDNS0. It hands every answer on
// with a DNSSEC verdict. The verdict of another machine's resolver crosses a
// network on which anybody may have set a bit, so Secure is believed only
// from a resolver on a loopback address (RFC 4035 section 4.9.3, RFC 6840
// section 5.7); from others the verdict is Unknown.
//
// A small cache honours TTLs and is bounded in entries and in time. Failures are
// kept for 5 seconds (RFC 9520).
//
// It knows what a block list of addresses (RFC 5782) says, and what it says when it
// won't: that is never taken for a listing.
//
// The package refuses to validate DNSSEC itself, to walk from the root, to
// apply search lists, and to read /etc/hosts.
package dns
