// Package mailbox is the store, the one place where the rooms of Roost meet:
// the post writes to it, the reading room reads it, the office edits its rows.
// It keeps accounts, domains, mailboxes, messages, the outbox and the journal.
//
// It refuses to speak any protocol, to touch the network, to let a transaction
// out, and to give back bytes whose checksum does not hold.
//
// # Files
//
// A data directory has
//
//	roost.db             a bbolt file, the store of record
//	packs/NNNNNNNN.pack  the bytes of the messages
//	reserve              nothing: room for flags and expunges when the disk is full
//	snapshots/TIME.db    copies of roost.db, one an hour, some kept
//	running              nothing: the store is open, or was not closed
//
// A backup (backup.go) is a tar file of roost.db and packs at one moment. Restore puts
// it back by way of a directory roost.restoring, which the next start finishes or
// removes, and moves what was there to replaced-TIME (putback.go). Rescue
// (rescue.go) makes a roost.db from the newest snapshot that is whole and what the
// packs got since.
//
// Bodies are not in bbolt because its pages are rewritten whenever a neighbour
// changes, a large value is copied through the heap while everyone else waits,
// and one damaged page may take the mail along. A pack is only ever appended
// to: what is in it stays readable whatever happens to roost.db, a backup copies
// new files, and FETCH reads with pread while no transaction is open. record.go
// tells what a record in a pack is. A message goes in by chunks of 256 KB, which
// spool.go compresses while it comes in, so that memory is bounded whatever its
// size.
//
// # Packs
//
// A pack that is full, and of which less than half is needed by any row, is
// rewritten beside all other work: rewrite.go. A record never changes on the way.
// The row of a pack outlives its file, so that no file stays behind unseen; a pack
// in which something lies behind the last record that its row knows is kept for a
// month, because that may be mail which only a newer roost.db knows of.
//
// A body that does not hold against its checksums is never served: it is logged,
// noted in the journal and put in quarantine (damage.go), where it stays until it
// is expunged, or Check finds it whole. Its pack is not touched.
//
// # The promise
//
// Accept returns nil after the body is in a pack, the pack is synced, and then
// one bbolt commit is synced that holds everything else: a row for every local
// recipient, an outbox row for every remote domain, the journal lines. After any
// error nothing of it is to be seen. What was being appended when the process
// died stays behind in its pack as dead bytes, and the next start begins a new
// pack. commit.go tells how writers share a commit, and how what touches many
// messages is cut into pieces so that nobody waits long behind it.
//
// A full disk refuses new mail and passes; any other write error ends all changes
// until the store is opened again. fault.go tells more.
//
// # Buckets
//
// Keys of several parts are put together in the order given, numbers big-endian,
// so that a range of keys is an account or a mailbox. Rows written with every
// message are binary, varints in the main; rows that people edit are JSON.
//
//	bucket         key                              value
//	meta           "format"                         number of the data model, u32
//	               "instance"                       16 random bytes
//	               "forwarding"                     32 random bytes: ForwardingKey, salts for nobody
//	settings       "server"                         Settings, JSON
//	domains        domain                           Domain: DKIM keys, catch-all, separators; JSON
//	addresses      Address                          account id, or an alias's targets and end, JSON
//	accounts       account u32                      accountRow: Account, password, SCRAM salt, JSON
//	devices        account u32, device id           deviceRow: an app password's hash, SCRAM keys, one sender, JSON
//	rules          account u32 or 0 for all, sender Rule, JSON
//	allowances     account u32, or 0                what it sent of what it may, and how many tallies it has; 20 bytes
//	paces          account u32, device id or ""     pace: what it sent this hour and day, what is usual, whether it is frozen
//	correspondents account u32, digest of address;  Tally: what is counted of the mail of a sender; 28 bytes
//	               0, digest of domain
//	state          account u32                      accountState: modseq, counters; 32 bytes
//	mailboxes      account u32, mailbox u32         Folder: name, use, UIDVALIDITY, counters, keywords
//	names          account u32, name                mailbox u32
//	subscriptions  account u32, name                1
//	annotations    account u32, mailbox u32, entry  the value; of an account with mailbox 0, of the server with 0, 0
//	facts          account u32, mailbox u32, uid u32    what never changes of a message, 65 bytes: body, EMAILID,
//	                                                THREADID, sizes, INTERNALDATE, save date, Date field
//	views          account u32, mailbox u32, uid u32    prefix, and as FETCH writes them ENVELOPE, BODYSTRUCTURE, PREVIEW
//	flags          account u32, mailbox u32, uid/256 u32  block of Entries: what does
//	expunged       account u32, mailbox u32, modseq u64   UIDs that an operation took away; for modseq 0,
//	                                                up to which modseq such rows were given up
//	bodies         body u64                         bodyRow: pack, offset, lengths, references
//	digests        body u64                         digest: what searches, sorts and threads ask of its header
//	signatures     body u64                         signature of its folded text and header; empty if it could not be read
//	origins        body u64                         who sent it, in the digests of the tallies, and which
//	                                                accounts said that it is junk, or none
//	threads        account u32, hash u64            threadRow: where a Message-ID or a base subject leads
//	joined         account u32, thread u64          thread u64: the older one that it turned out to be part of
//	packs          pack u32                         packRow: length, live bytes, live records
//	discarded      account u32, mailbox u32         a mailbox that was deleted: nothing, when it is to be emptied,
//	                                                or since when it is kept (u64), its name and keywords
//	undelete       time u64 (unix ns), account u32, mailbox u32, modseq u64
//	                                                what an expunge took away and can be had back: name and
//	                                                keywords of the mailbox, entries
//	damaged        body u64                         Damage, JSON: bodies in quarantine
//	outbox         number u64                       Outgoing, JSON
//	due            time u64 (unix ns), number u64   nothing: the outbox by time
//	journal        number u64                       Line, JSON
//	traces         message u64, number u64          nothing: the journal by message
//	tokens         SHA-256 of kind and secret       Token, JSON
//	blocks         network, as text                 Block, JSON: who may not log in for a time
//	corners        room, 0, key                     when it was put (unix ns u64), and what only that room understands
//
// Of a message's facts, those that lists, searches by date or size and sorts ask
// of every message of a mailbox have a row of fixed width, so that none of these
// reads past envelopes. What comes from the body's bytes alone lies with the
// body: copies share it, COPY and MOVE cost nothing for it, and it goes when the
// body goes.
//
// Message facts lie apart from flags because a STORE on a whole mailbox is
// common and must not rewrite envelopes; and flags lie in blocks of 256 UIDs
// because a row for each would cost ten times as much. An account's state lies
// apart from its row because it changes with every message and the credentials
// do not. A body's place lies in a row of its own, so that copies share it and
// a pack can be rewritten without touching messages.
//
// # Search
//
// TEXT, BODY and the keys for fields mean substring, folded: without case and
// accents. A search asks the rows, then what lies with the bodies: the folded
// text of From, To, Cc, Bcc and Subject answers for these; a signature of the
// trigrams of all text rules most messages out; a word that is in the preview
// needs no more proof. Only what is left is opened. A signature is written in the
// commit that brings the message, so that there is no index to fall behind, and
// digests and signatures begin with the version of what made them: of another
// version, or missing, they rule nothing out. So are those of the few messages
// that read otherwise behind a prefix than alone, which are marked odd.
//
// # Threads
//
// Every name that is seen, of a message or of one that it follows, leads to a
// thread from then on; a late parent finds the thread that waits for it. When a
// message shows two threads to be one, the younger id leads to the older: it and
// what comes later have the older THREADID, and the messages that were there keep
// theirs, because a THREADID must not change once it was told (RFC 8474 section
// 5.2). THREAD=REFERENCES shows the joined tree all the same: it reads the names
// anew each time. EMAILID is made of the body's number and the prefix, so it comes
// out the same if rows have to be made again.
//
// # Modseq
//
// Each operation on an account's mailboxes takes the account's next modseq, also
// when several are in one commit, and leaves it on whatever it touched: the
// message, the block's highest, the mailbox's HIGHESTMODSEQ, the row of expunged
// UIDs. So a reader who knows a modseq finds all that is newer by looking at the
// highest of each block and at the end of the expunged rows. A commit rings the
// bells of the accounts that it changed; a bell carries no data.
//
// # Expunged
//
// An expunged message is kept for 14 days, as the settings say. Its rows stay, the
// short one with a mark that hides it; undelete.go tells the rest. When the disk is
// almost full, what is kept goes first.
//
// # What is counted
//
// Limits and reputations are rows that change in the commit of the message that
// counts, so that neither a crash nor two sessions at once make them wrong, and
// nothing is ever counted by looking through history. See sending.go for the limits,
// pace.go for devices that suddenly send much, tally.go for senders. Of mail that comes
// in, only senders count whom SPF or DKIM confirms: anybody can write any other name.
//
// # Recent
//
// \Recent is told to at most one session, the first that claims a message, be
// it by SELECT or while it has the mailbox open. The claim is kept in memory.
//
// # Credentials
//
// A person's password is stretched with argon2id and nothing else is kept of it.
// An app password is generated with 120 random bits; a SHA-256 of it is kept for
// PLAIN and LOGIN, and SCRAM-SHA-256 keys with the account's one salt and count:
// a proof is tried against each. SCRAM can therefore only work for app passwords,
// and a program that is offered it would fail with a person's own: it is offered
// when nobody who may log in could use that, because the account says so or has
// none (proof.go).
package mailbox
