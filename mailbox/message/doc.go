// Package message reads Internet messages as they are, not as they should be.
//
// It answers what the rest of Roost asks of a message: its header fields and
// addresses, the tree of its MIME parts with byte offsets, the ENVELOPE and
// BODYSTRUCTURE that IMAP shows of it, the text a search looks through, and
// the few words a client previews.
//
// Everything here is meant for bytes from strangers. No content is an error:
// Parse fails only when its reader fails, and what cannot be understood is
// kept as bytes. Memory is bounded by the limits below, whatever the size of
// the message. The package refuses to write messages, to change a byte of
// them, and to judge them.
package message

const (
	// maxHeader is the most bytes of one header section that are kept. The
	// rest is counted, so that offsets stay right, and forgotten.
	maxHeader = 1 << 20
	// maxHeaders is the same for all header sections of one message together;
	// once it is spent, parts have no fields left to be known by.
	maxHeaders = 4 << 20
	// maxFields is the most fields found in one header section.
	maxFields = 10_000
	// maxDepth is how deep parts may nest before content is left unopened.
	maxDepth = 100
	// maxParts is the most parts of one message; the last one runs to the end.
	maxParts = 10_000
	// maxParams is the most parameters read of one field.
	maxParams = 200
	// maxBoundary is the longest boundary honoured (RFC 2046 5.1.1 allows 70).
	maxBoundary = 1000
	// maxAddresses is the most entries read of one address list.
	maxAddresses = 10_000
)
