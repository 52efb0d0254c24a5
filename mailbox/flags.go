package mailbox

import (
	"context"
	"encoding/binary"
	"iter"
	"slices"
	"strings"
)

// UID is a message's unique identifier in its mailbox (RFC 9051 2.3.1.1).
type UID uint32

// Flags are a message's system flags (RFC 9051 2.3.2), as bits. \Recent is
// none of them: it belongs to a session, see ClaimRecent.
type Flags uint8

// The system flags.
const (
	Seen Flags = 1 << iota
	Answered
	Flagged
	Deleted
	Draft
)

// Entry is what changes of a message.
type Entry struct {
	UID      UID
	Flags    Flags
	Keywords uint64 // bit n stands for its Folder's Keywords[n]
	ModSeq   ModSeq
}

// Entries lie in blocks of UIDs, so that a STORE on a whole mailbox rewrites
// some hundred rows, and a session that asks what changed since a modseq skips
// every block whose highest is not above it.
const blockUIDs = 256

func blockKey(id AccountID, folder FolderID, uid UID) []byte {
	return binary.BigEndian.AppendUint32(folderKey(id, folder), uint32(uid)/blockUIDs)
}

// A block is its highest modseq (8 bytes), then for each entry: UID less the
// one before (or the block's first), flags, keywords, highest modseq less its
// own; all varints but the flags.
func parseBlock(k, v []byte) (highest ModSeq, entries iter.Seq[Entry], err error) {
	if len(k) != 12 || len(v) < 8 {
		return 0, nil, faultf(ErrCorrupt, "block of flags")
	}
	highest = ModSeq(binary.BigEndian.Uint64(v))
	uid := UID(binary.BigEndian.Uint32(k[8:]) * blockUIDs)
	return highest, func(yield func(Entry) bool) {
		uid := uid
		for d := (decoder{b: v[8:]}); len(d.b) > 0; {
			uid += UID(d.uvarint())
			e := Entry{UID: uid, Flags: Flags(d.byte()), Keywords: d.uvarint(), ModSeq: highest - ModSeq(d.uvarint())}
			if d.bad || !yield(e) {
				return
			}
		}
	}, nil
}

func (tx *tx) block(id AccountID, folder FolderID, uid UID) ([]Entry, error) {
	return tx.appendBlock(nil, id, folder, uid)
}

// appendBlock appends the entries of the block that uid is in.
func (tx *tx) appendBlock(all []Entry, id AccountID, folder FolderID, uid UID) ([]Entry, error) {
	k := blockKey(id, folder, uid)
	v := tx.Bucket(bFlags).Get(k)
	if v == nil {
		return all, nil
	}
	return appendEntries(all, k, v)
}

// putBlock writes the block that uid is in; entries are in UID order.
func (tx *tx) putBlock(id AccountID, folder FolderID, uid UID, entries []Entry) error {
	k := blockKey(id, folder, uid)
	if len(entries) == 0 {
		return tx.delete(bFlags, k)
	}
	var highest ModSeq
	for _, e := range entries {
		highest = max(highest, e.ModSeq)
	}
	b := make([]byte, 8, 8+6*len(entries))
	binary.BigEndian.PutUint64(b, uint64(highest))
	before := uid / blockUIDs * blockUIDs
	for _, e := range entries {
		b = binary.AppendUvarint(b, uint64(e.UID-before))
		b = append(b, byte(e.Flags))
		b = binary.AppendUvarint(b, e.Keywords)
		b = binary.AppendUvarint(b, uint64(highest-e.ModSeq))
		before = e.UID
	}
	return tx.put(bFlags, k, b)
}

// entries reads the whole mailbox in UID order.
func (tx *tx) entries(id AccountID, folder FolderID) ([]Entry, error) {
	return tx.appendEntries(nil, id, folder)
}

func (tx *tx) appendEntries(all []Entry, id AccountID, folder FolderID) ([]Entry, error) {
	err := tx.each(bFlags, folderKey(id, folder), func(k, v []byte) (err error) {
		all, err = appendEntries(all, k, v)
		return err
	})
	return all, err
}

// appendEntries is parseBlock without a call for each message.
func appendEntries(all []Entry, k, v []byte) ([]Entry, error) {
	highest, _, err := parseBlock(k, v)
	if err != nil {
		return all, err
	}
	all = slices.Grow(all, min(len(v)/4, blockUIDs))
	uid := UID(binary.BigEndian.Uint32(k[8:]) * blockUIDs)
	for b := v[8:]; len(b) > 0; {
		// Most have one byte for each number.
		if len(b) >= 4 && b[0]|b[2]|b[3] < 0x80 {
			uid += UID(b[0])
			all = append(all, Entry{UID: uid, Flags: Flags(b[1]), Keywords: uint64(b[2]), ModSeq: highest - ModSeq(b[3])})
			b = b[4:]
			continue
		}
		d := decoder{b: b}
		uid += UID(d.uvarint())
		e := Entry{UID: uid, Flags: Flags(d.byte()), Keywords: d.uvarint(), ModSeq: highest - ModSeq(d.uvarint())}
		if d.bad {
			break
		}
		all = append(all, e)
		b = d.b
	}
	return all, nil
}

// FlagChange says what STORE does to flags (RFC 9051 6.4.6).
type FlagChange int

// The three forms of STORE.
const (
	ReplaceFlags FlagChange = iota // FLAGS
	AddFlags                       // +FLAGS
	RemoveFlags                    // -FLAGS
)

// FlagUpdate is one STORE.
type FlagUpdate struct {
	Change   FlagChange
	Flags    Flags
	Keywords []string // any case; a keyword keeps the case of its first use
	// UnchangedSince, if not nil, leaves messages alone whose modseq is above
	// it (RFC 7162 3.1.3).
	UnchangedSince *ModSeq
}

// Stored is what a STORE did.
type Stored struct {
	Folder   Folder   // as it is now
	Entries  []Entry  // every addressed message that exists, as it is now, in UID order
	Modified []UID    // left alone because of UnchangedSince
	ModSeqs  []ModSeq // of this operation: none when it changed nothing, several when it came in pieces
}

// SetFlags changes the flags of the messages with the given UIDs (in order);
// those that are gone are passed over. A message whose flags stay the same
// keeps its modseq. More than a thousand are done in pieces, each with its own
// modseq, and others may change the mailbox in between; after an error, the
// pieces in the answer are done. Errors: ErrNotFound when the mailbox is gone, ErrLimit for
// a 65th keyword, ErrInvalid for a keyword that is not an atom.
func (s *Store) SetFlags(ctx context.Context, id AccountID, folder FolderID, uids []UID, u FlagUpdate) (Stored, error) {
	var pieces []func(*tx) error
	var parts []*Stored
	all := make([]Entry, 0, len(uids)) // has room for what each piece answers
	for at := 0; at < len(uids) || len(parts) == 0; {
		end := min(at+flagsPiece, len(uids))
		for at < end && end < len(uids) && uids[end]/blockUIDs == uids[end-1]/blockUIDs {
			end++ // no block in two pieces
		}
		part := &Stored{Entries: all[at:at:end]}
		parts = append(parts, part)
		pieces = append(pieces, setFlags(part, id, folder, uids[at:end], u))
		at = end
	}
	done, err := s.updatePieces(ctx, pieces)
	var out Stored
	for _, p := range parts[:done] {
		out.Folder = p.Folder
		all = append(all, p.Entries...)
		out.Modified = append(out.Modified, p.Modified...)
		out.ModSeqs = append(out.ModSeqs, p.ModSeqs...)
	}
	if len(all) > 0 {
		out.Entries = all
	}
	return out, err
}

// flagsPiece is about how many messages one piece of a STORE is on: half a
// millisecond of work.
const flagsPiece = 16 * blockUIDs

// setFlags is one piece of SetFlags.
func setFlags(out *Stored, id AccountID, folder FolderID, uids []UID, u FlagUpdate) func(*tx) error {
	return func(tx *tx) error {
		*out = Stored{Entries: out.Entries[:0]} // a batch may be run again
		f, err := tx.folder(id, folder)
		if err != nil {
			return err
		}
		keywords, err := f.keywordBits(u.Keywords, u.Change != RemoveFlags)
		if err != nil {
			return err
		}
		var junk, wanted []UID
		// Found out before the first put whether anything changes at all.
		var modSeq ModSeq
		var entries []Entry
		for rest := uids; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n]/blockUIDs == rest[0]/blockUIDs {
				n++
			}
			part := rest[:n]
			rest = rest[n:]
			if entries, err = tx.appendBlock(entries[:0], id, folder, part[0]); err != nil {
				return err
			}
			changed := false
			for i := range entries {
				e := &entries[i]
				for len(part) > 0 && part[0] < e.UID {
					part = part[1:]
				}
				if len(part) == 0 || part[0] != e.UID {
					continue
				}
				if u.UnchangedSince != nil && e.ModSeq > *u.UnchangedSince {
					out.Modified = append(out.Modified, e.UID)
					continue
				}
				if now := e.with(u, keywords); now != *e {
					if now.Keywords != e.Keywords {
						switch f.verdict(now.Keywords &^ e.Keywords) {
						case keywordJunk:
							junk = append(junk, e.UID)
						case keywordNotJunk:
							wanted = append(wanted, e.UID)
						}
					}
					if modSeq == 0 {
						if modSeq, err = tx.advance(id); err != nil {
							return err
						}
					}
					now.ModSeq = modSeq
					if (now.Flags^e.Flags)&(Seen|Deleted) != 0 {
						f.count(*e, -1)
						f.count(now, 1)
					}
					*e, changed = now, true
				}
				out.Entries = append(out.Entries, *e)
			}
			if changed {
				if err := tx.putBlock(id, folder, entries[0].UID, entries); err != nil {
					return err
				}
			}
		}
		if modSeq != 0 {
			f.HighestModSeq = modSeq
			if err := tx.putFolder(id, f); err != nil {
				return err
			}
			if err := tx.readerMarked(id, f, junk, wanted); err != nil {
				return err
			}
		}
		out.Folder = f
		if modSeq != 0 {
			out.ModSeqs = []ModSeq{modSeq}
		}
		return nil
	}
}

// with is the entry after an update.
func (e Entry) with(u FlagUpdate, keywords uint64) Entry {
	switch u.Change {
	case ReplaceFlags:
		e.Flags, e.Keywords = u.Flags, keywords
	case AddFlags:
		e.Flags |= u.Flags
		e.Keywords |= keywords
	case RemoveFlags:
		e.Flags &^= u.Flags
		e.Keywords &^= keywords
	}
	return e
}

// count adds n messages with the entry's flags to what STATUS tells.
func (f *Folder) count(e Entry, n int) {
	f.Messages += uint32(n)
	if e.Flags&Seen == 0 {
		f.Unseen += uint32(n)
	}
	if e.Flags&Deleted != 0 {
		f.Deleted += uint32(n)
	}
}

// keywordBits finds the keywords' bits; with add, new ones get the next.
func (f *Folder) keywordBits(keywords []string, add bool) (uint64, error) {
	var bits uint64
	for _, k := range keywords {
		i := slices.IndexFunc(f.Keywords, func(have string) bool { return strings.EqualFold(have, k) })
		if i < 0 {
			if !add {
				continue
			}
			if k == "" || len(k) > 200 || strings.ContainsFunc(k, notAtom) {
				return 0, faultf(ErrInvalid, "%q can't be a keyword", k)
			}
			if len(f.Keywords) == maxKeywords {
				return 0, faultf(ErrLimit, "a mailbox has at most %d keywords", maxKeywords)
			}
			i = len(f.Keywords)
			f.Keywords = append(f.Keywords[:i:i], k)
		}
		bits |= 1 << i
	}
	return bits, nil
}

// notAtom tells what RFC 9051 keeps out of a flag-keyword.
func notAtom(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\]`, r) }

// KeywordNames spells out the keywords of an entry.
func (f *Folder) KeywordNames(bits uint64) []string {
	var names []string
	for i, k := range f.Keywords {
		if bits&(1<<i) != 0 {
			names = append(names, k)
		}
	}
	return names
}

// Entries reads the entries of the messages with the given UIDs (in order) that
// still exist.
func (s *Store) Entries(id AccountID, folder FolderID, uids []UID) ([]Entry, error) {
	out := make([]Entry, 0, len(uids))
	err := s.view(func(tx *tx) error {
		for len(uids) > 0 {
			k := blockKey(id, folder, uids[0])
			block := uids[0] / blockUIDs
			v := tx.Bucket(bFlags).Get(k)
			if v != nil {
				_, entries, err := parseBlock(k, v)
				if err != nil {
					return err
				}
				for e := range entries {
					for len(uids) > 0 && uids[0] < e.UID {
						uids = uids[1:]
					}
					if len(uids) > 0 && uids[0] == e.UID {
						out = append(out, e)
					}
				}
			}
			for len(uids) > 0 && uids[0]/blockUIDs == block {
				uids = uids[1:]
			}
		}
		return nil
	})
	return out, err
}
