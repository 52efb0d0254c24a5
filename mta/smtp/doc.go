// Package smtp is the wire of RFC 5321, both sides: a server that reads
// commands and asks a Session what to answer, a client that delivers one
// message at a time, the replies both speak in, and a transcript of who said
// what.
//
// It knows syntax, sequence, limits and time. It refuses to know accounts,
// domains, policy or storage: those are answers that a Session gives. It never
// repairs what came over the wire. A bare CR or LF in a message refuses the
// message, and a command line that ends in a bare LF is not a command, because
// two readers that disagree about where a line ends are how mail is smuggled.
package smtp
