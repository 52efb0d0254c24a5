package mailbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
)

// Annotation is a note that programs keep with a mailbox or, beside all
// mailboxes, with an account or the server (RFC 5464).
type Annotation struct {
	Entry string // in lower case, /private/… or /shared/…
	Value []byte // any octets; nil removes the annotation
}

// The bounds of annotations. Their entries are given by clients, and none of it
// counts towards an account's quota.
const (
	maxAnnotations    = 100 // of one mailbox
	maxAnnotationName = 200 // bytes

	// MaxAnnotation is how many bytes the value of an annotation may have.
	MaxAnnotation = 32 << 10
	// maxAnnotated is how many bytes all annotations of an account may have.
	maxAnnotated = 1 << 20
)

// NoFolder stands for an account itself where a mailbox could stand.
const NoFolder FolderID = 0

// ServerAccount stands for the server where an account could stand: what all
// accounts see.
const ServerAccount AccountID = 0

// Annotations lists the annotations of a mailbox by entry, of an account with
// NoFolder, of the server with ServerAccount and NoFolder. ErrNotFound.
func (s *Store) Annotations(id AccountID, folder FolderID) ([]Annotation, error) {
	var all []Annotation
	err := s.view(func(tx *tx) error {
		if err := tx.annotated(id, folder); err != nil {
			return err
		}
		return tx.each(bAnnotations, folderKey(id, folder), func(k, v []byte) error {
			all = append(all, Annotation{string(k[8:]), append([]byte{}, v...)})
			return nil
		})
	})
	return all, err
}

// EachAnnotation calls f for all annotations of an account and its mailboxes, or
// of the server. The values are f's only until it returns, and a transaction is
// open while it runs.
func (s *Store) EachAnnotation(id AccountID, f func(FolderID, Annotation)) error {
	return s.view(func(tx *tx) error {
		return tx.each(bAnnotations, be32(uint32(id)), func(k, v []byte) error {
			if len(k) > 8 {
				f(FolderID(binary.BigEndian.Uint32(k[4:])), Annotation{string(k[8:]), v})
			}
			return nil
		})
	})
}

// Annotate changes some annotations of what Annotations lists, or none of them
// after an error: ErrNotFound, ErrInvalid for an entry that cannot be, ErrTooBig
// for a value, ErrLimit at 100 annotations of one mailbox, ErrOverQuota at 1 MB
// of one account.
func (s *Store) Annotate(ctx context.Context, id AccountID, folder FolderID, changes []Annotation) error {
	for _, c := range changes {
		if err := checkEntry(c.Entry); err != nil {
			return err
		}
		if len(c.Value) > MaxAnnotation {
			return faultf(ErrTooBig, "%s: a value has at most %d bytes", c.Entry, MaxAnnotation)
		}
	}
	return s.update(ctx, func(tx *tx) error {
		if err := tx.annotated(id, folder); err != nil {
			return err
		}
		prefix := folderKey(id, folder)
		count, size := 0, 0
		err := tx.each(bAnnotations, be32(uint32(id)), func(k, v []byte) error {
			if bytes.HasPrefix(k, prefix) {
				count++
			}
			size += len(k) + len(v)
			return nil
		})
		if err != nil {
			return err
		}
		values := make(map[string][]byte) // the last of those that name one entry twice
		for _, c := range changes {
			values[c.Entry] = c.Value
		}
		for entry, value := range values {
			k := append(bytes.Clone(prefix), entry...)
			if old := tx.Bucket(bAnnotations).Get(k); old != nil {
				count--
				size -= len(k) + len(old)
			}
			if value != nil {
				count++
				size += len(k) + len(value)
			}
		}
		switch {
		case count > maxAnnotations:
			return faultf(ErrLimit, "there may be %d annotations", maxAnnotations)
		case size > maxAnnotated:
			return faultf(ErrOverQuota, "all annotations of an account have at most %d bytes", maxAnnotated)
		}
		if id == ServerAccount {
			tx.ring(serverBell)
		} else {
			tx.ring(id)
		}
		for entry, value := range values {
			k := append(bytes.Clone(prefix), entry...)
			if value == nil {
				err = tx.delete(bAnnotations, k)
			} else {
				err = tx.put(bAnnotations, k, value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// annotated returns an error unless there is what annotations may belong to.
func (tx *tx) annotated(id AccountID, folder FolderID) error {
	switch {
	case id == ServerAccount && folder == NoFolder:
		return nil
	case folder == NoFolder:
		_, err := tx.account(id)
		return err
	}
	_, err := tx.folder(id, folder)
	return err
}

// checkEntry refuses what RFC 5464 section 3.2 does not let an entry be called.
func checkEntry(name string) error {
	bad := func(c rune) bool { return c <= ' ' || c > '~' || c == '*' || c == '%' || 'A' <= c && c <= 'Z' }
	switch {
	case len(name) > maxAnnotationName:
		return faultf(ErrInvalid, "an entry's name has at most %d bytes", maxAnnotationName)
	case !strings.HasPrefix(name, "/private/") && !strings.HasPrefix(name, "/shared/"):
		return faultf(ErrInvalid, "an entry's name begins with /private/ or /shared/")
	case strings.Contains(name, "//") || strings.HasSuffix(name, "/") || strings.ContainsFunc(name, bad):
		return faultf(ErrInvalid, "no entry can be called %q", name)
	}
	return nil
}

// checkAnnotations looks for annotations of what is not there.
func (tx *tx) checkAnnotations(r *Report, _ map[BodyID]int64) error {
	return tx.each(bAnnotations, nil, func(k, v []byte) error {
		if len(k) < 8 {
			r.problem("annotation with a key of %d bytes", len(k))
			return nil
		}
		id, folder := AccountID(binary.BigEndian.Uint32(k)), FolderID(binary.BigEndian.Uint32(k[4:]))
		if err := tx.annotated(id, folder); err != nil {
			r.problem("account %d, mailbox %d: annotation %s: %v", id, folder, k[8:], err)
		}
		if err := checkEntry(string(k[8:])); err != nil || len(v) > MaxAnnotation {
			r.problem("account %d, mailbox %d: annotation %q of %d bytes cannot be", id, folder, k[8:], len(v))
		}
		return nil
	})
}
