// Package imapd serves mailboxes over IMAP4rev1 (RFC 3501) and IMAP4rev2
// (RFC 9051), which are one engine: ENABLE IMAP4rev2 changes how some answers
// are written and nothing else.
//
// A Server accepts connections; each has a session that reads one command at
// a time (package wire), runs it against the store (package mailbox) and
// writes the answer. A command is one line in the table of the extension that
// brings it, and one function; an extension is one file and one line in
// capability.go. What a client has been told about the selected mailbox, its
// sequence numbers above all, is the session's view (view.go): the store may
// be ahead of it, and updates.go catches up when the protocol allows.
//
// The package keeps nothing of its own on disk, starts no delivery and knows
// no other engine: a delivery shows because the store's bell rings and the
// session reads what changed. Messages pass through it as streams, never as a
// whole in memory, and no store transaction is open while it writes to the
// network. It refuses to take a password without TLS.
//
// What it promises, clause by clause, and the dialogs and tests that show it are listed
// in testdata/README.md.
package imapd
