package mailbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"roost/mailbox/signature"
)

// Report is what Check found.
type Report struct {
	Accounts int           `json:"accounts"`
	Folders  int           `json:"mailboxes"`
	Messages int           `json:"messages"`
	Bodies   int           `json:"bodies"`
	Outbox   int           `json:"outbox"`
	Packs    int           `json:"packs"`
	Bytes    int64         `json:"bytes"` // of message bodies read and compared with their checksums
	Took     time.Duration `json:"took"`
	Problems []string      `json:"problems"` // a sentence each; empty when all is well

	Quarantine []Damage `json:"quarantine"` // bodies that are not served; each is a problem, too
}

// Err is nil when all is well, or one error of all problems.
func (r *Report) Err() error {
	var errs []error
	for _, p := range r.Problems {
		errs = append(errs, errors.New(p))
	}
	return errors.Join(errs...)
}

// maxProblems is where a report stops to list: the damage is plain by then.
const maxProblems = 1000

func (r *Report) problem(format string, args ...any) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// Check holds the whole store against its invariants, on one snapshot, and
// reads every body against its checksums. It may run beside a working server;
// ctx ends it early. The error is that the check could not be made; what it
// found is in the report.
func (s *Store) Check(ctx context.Context) (Report, error) {
	return s.CheckWithProgress(ctx, func(int64, int64) {})
}

// CheckWithProgress is Check that tells how many bytes of packs it has read, one
// call at a time.
func (s *Store) CheckWithProgress(ctx context.Context, progress func(done, total int64)) (Report, error) {
	var r Report
	begun := time.Now()
	refs := make(map[BodyID]int64)
	if err := s.checkFile(&r); err != nil {
		return r, err
	}
	var bodies []checkedBody
	known := make(map[BodyID]Damage)
	err := s.view(func(tx *tx) error {
		steps := []func(*Report, map[BodyID]int64) error{tx.checkAccounts, tx.checkMessages, tx.checkOutbox, tx.checkDigests, tx.checkAnnotations, tx.checkTallies, tx.checkBlocks}
		for _, step := range steps {
			if err := step(&r, refs); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		packs := make(map[packNumber]packRow)
		err := tx.each(bBodies, nil, func(k, v []byte) error {
			id := BodyID(bodyKey(k))
			row, err := parseBodyRow(v)
			if err != nil {
				r.problem("body %s: %v", id, err)
				return nil
			}
			if row.refs != refs[id] {
				r.problem("body %s is counted %d times and used %d times", id, row.refs, refs[id])
			}
			delete(refs, id)
			p := packs[row.pack]
			p.size = max(p.size, row.offset+row.head+row.stored)
			p.live += row.head + row.stored
			p.records++
			packs[row.pack] = p
			bodies = append(bodies, checkedBody{id, row})
			return nil
		})
		if err != nil {
			return err
		}
		r.Bodies = len(bodies)
		err = tx.Bucket(bDamaged).ForEach(func(k, v []byte) error {
			var d Damage
			if err := json.Unmarshal(v, &d); err != nil {
				r.problem("quarantine: %v", err)
			}
			known[BodyID(bodyKey(k))] = d
			return nil
		})
		if err != nil {
			return err
		}
		for id := range refs {
			r.problem("body %s is missing, and some message needs it", id)
		}
		return tx.checkPacks(&r, packs, s.packs)
	})
	if err != nil {
		return r, err
	}
	whole, err := s.checkBodies(ctx, &r, bodies, known, progress)
	if err != nil {
		return r, err
	}
	if err := s.recheck(ctx, whole); err != nil {
		s.log.Warn("messages that are whole again stay in quarantine", "error", err)
	}
	r.Took = time.Since(begun)
	return r, nil
}

// checkFile holds the pages of roost.db against each other, in a copy: bbolt
// would compare a snapshot with the list of free pages as it is now, and find
// faults that are not there while others commit.
func (s *Store) checkFile(r *Report) error {
	f, err := os.CreateTemp(s.dir, spoolPrefix)
	if err != nil {
		return fmt.Errorf("copy roost.db: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	err = s.view(func(tx *tx) error {
		_, err := tx.WriteTo(f)
		return err
	})
	if errors.Is(s.full(err), ErrFull) { // then nobody else may commit meanwhile
		return s.updateBulk(context.Background(), func(tx *tx) error {
			for err := range tx.Tx.Check() {
				r.problem("roost.db: %v", err)
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("copy roost.db: %w", err)
	}
	db, err := bbolt.Open(f.Name(), 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		r.problem("roost.db: %v", err)
		return nil
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			r.problem("roost.db: %v", err)
		}
		return nil
	})
}

func (tx *tx) checkAccounts(r *Report, _ map[BodyID]int64) error {
	err := tx.eachAccount(func(row *accountRow) error {
		r.Accounts++
		a, err := tx.address(row.Address)
		if err != nil || a == nil || a.Account != row.ID {
			r.problem("account %s: its address leads elsewhere", row.Address)
		}
		folders, err := tx.folders(row.ID)
		if err != nil {
			r.problem("account %s: %v", row.Address, err)
			return nil
		}
		var sum accountState
		for _, f := range folders {
			r.Folders++
			if !bytes.Equal(tx.Bucket(bNames).Get(nameKey(row.ID, f.Name)), be32(uint32(f.ID))) {
				r.problem("account %s: the name %s leads to another mailbox", row.Address, f.Name)
			}
			sum.messages += int64(f.Messages)
			sum.bytes += f.Bytes
		}
		names := 0
		if err := tx.each(bNames, be32(uint32(row.ID)), func(_, _ []byte) error { names++; return nil }); err != nil {
			return err
		}
		if names != len(folders) {
			r.problem("account %s has %d mailboxes and %d names of mailboxes", row.Address, len(folders), names)
		}
		st, err := tx.state(row.ID)
		if err != nil || st.messages != sum.messages || st.bytes != sum.bytes {
			r.problem("account %s: counted %d messages of %d bytes, its mailboxes have %d of %d", row.Address, st.messages, st.bytes, sum.messages, sum.bytes)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return tx.Bucket(bAddresses).ForEach(func(k, v []byte) error {
		var a addressRow
		if err := json.Unmarshal(v, &a); err != nil {
			return err
		}
		if a.Account != 0 && tx.Bucket(bAccounts).Get(be32(uint32(a.Account))) == nil {
			r.problem("%s leads to an account that is not there", k)
		}
		return nil
	})
}

// checkMessages walks mailboxes, flags and messages in step: they have the same
// key order.
func (tx *tx) checkMessages(r *Report, refs map[BodyID]int64) error {
	blocks, hidden := 0, 0
	kept := tx.checkKept(r)
	err := tx.each(bFolders, nil, func(k, v []byte) error {
		id := AccountID(binary.BigEndian.Uint32(k))
		f, err := parseFolder(k, v)
		if err != nil {
			r.problem("account %d: %v", id, err)
			return nil
		}
		where := fmt.Sprintf("account %d, mailbox %s", id, f.Name)
		if tx.Bucket(bAccounts).Get(be32(uint32(id))) == nil {
			r.problem("%s: there is no such account", where)
		}
		st, err := tx.state(id)
		if err != nil || f.HighestModSeq > st.modSeq {
			r.problem("%s: its modseq %d is beyond the account's", where, f.HighestModSeq)
		}
		var sum Folder
		var facts []Facts
		views, digests, signatures := tx.walk(bViews, id, f.ID), tx.Bucket(bDigests), tx.Bucket(bSignatures)
		err = tx.each(bFacts, folderKey(id, f.ID), func(k, v []byte) error {
			m, err := parseRow(k, v)
			if err == nil {
				err = m.parseView(views.at(m.UID))
			}
			if err != nil {
				r.problem("%s: %v", where, err)
				return nil
			}
			if m.Object != objectID(m.Body, m.Prefix) || m.Thread == 0 {
				r.problem("%s: message %d has another EMAILID than its bytes, or no THREADID", where, m.UID)
			}
			if d := digests.Get(be64(uint64(m.Body))); d == nil {
				r.problem("%s: message %d has no digest", where, m.UID)
			} else if _, err := parseDigest(d); err != nil {
				r.problem("%s: message %d: %v", where, m.UID, err)
			}
			if v := signatures.Get(be64(uint64(m.Body))); !signature.Valid(v) && len(v) != 0 || v == nil {
				r.problem("%s: message %d has no signature that a search could use", where, m.UID)
			}
			refs[m.Body]++
			if isGone(v) {
				hidden++
				if !kept[string(k)] {
					r.problem("%s: message %d is hidden, and no expunge tells of it", where, m.UID)
				}
				return nil
			}
			sum.Bytes += m.Size
			facts = append(facts, Facts{UID: m.UID, Body: m.Body, Size: m.Size, Prefix: m.Prefix})
			return nil
		})
		if err != nil {
			return err
		}
		r.Messages += len(facts)
		err = tx.each(bFlags, folderKey(id, f.ID), func(k, v []byte) error {
			blocks++
			_, entries, err := parseBlock(k, v)
			if err != nil {
				r.problem("%s: %v", where, err)
				return nil
			}
			for e := range entries {
				n := int(sum.Messages)
				sum.count(e, 1)
				if n >= len(facts) || facts[n].UID != e.UID {
					r.problem("%s: message %d has flags and no row, or the other way round", where, e.UID)
					return nil
				}
				if e.UID >= f.UIDNext || e.ModSeq > f.HighestModSeq {
					r.problem("%s: message %d is beyond UIDNEXT or HIGHESTMODSEQ", where, e.UID)
				}
				if row, err := tx.bodyRow(facts[n].Body); err == nil && row.raw+int64(len(facts[n].Prefix)) != facts[n].Size {
					r.problem("%s: message %d has another size than its body", where, e.UID)
				}
			}
			return nil
		})
		if sum.Messages != f.Messages || sum.Unseen != f.Unseen || sum.Deleted != f.Deleted || sum.Bytes != f.Bytes || len(facts) != int(f.Messages) {
			r.problem("%s: counted %d messages (%d unseen, %d deleted, %d bytes), has %d (%d, %d, %d)", where,
				f.Messages, f.Unseen, f.Deleted, f.Bytes, sum.Messages, sum.Unseen, sum.Deleted, sum.Bytes)
		}
		return err
	})
	if err != nil {
		return err
	}
	gone, goneBlocks, err := tx.checkDiscarded(r, refs)
	if err != nil {
		return err
	}
	blocks += goneBlocks
	for _, b := range [][]byte{bFacts, bViews} {
		if have := tx.Bucket(b).Stats().KeyN; have != r.Messages+hidden+gone {
			r.problem("%d rows of %s are in no mailbox", have-r.Messages-hidden-gone, b)
		}
	}
	if have := tx.Bucket(bFlags).Stats().KeyN; have != blocks {
		r.problem("%d blocks of flags are in no mailbox", have-blocks)
	}
	return nil
}

func (tx *tx) checkOutbox(r *Report, refs map[BodyID]int64) error {
	due := 0
	err := tx.each(bOutbox, nil, func(k, v []byte) error {
		r.Outbox++
		var o Outgoing
		if err := json.Unmarshal(v, &o); err != nil {
			return err
		}
		refs[o.Body]++
		if !o.Held {
			due++
			if tx.Bucket(bDue).Get(dueKey(&o)) == nil {
				r.problem("outbox %s is never due", o.ID)
			}
		}
		return nil
	})
	if have := tx.Bucket(bDue).Stats().KeyN; have != due {
		r.problem("%d outbox rows wait, and %d times are noted", due, have)
	}
	return err
}

func (tx *tx) checkPacks(r *Report, want map[packNumber]packRow, open *packs) error {
	err := tx.each(bPacks, nil, func(k, v []byte) error {
		n := packNumber(binary.BigEndian.Uint32(k))
		r.Packs++
		row, err := parsePackRow(v)
		if err != nil {
			r.problem("pack %d: %v", n, err)
			return nil
		}
		w := want[n]
		delete(want, n)
		if row.live != w.live || row.records != w.records || row.size < w.size {
			r.problem("pack %d: counted %d records of %d bytes, has %d of %d", n, row.records, row.live, w.records, w.live)
		}
		st, err := os.Stat(filepath.Join(open.dir, packName(n)))
		if errors.Is(err, os.ErrNotExist) && row.records == 0 {
			return nil // the row outlives its file for a while
		}
		if err != nil {
			r.problem("pack %d: %v", n, err)
		} else if st.Size() < row.size {
			r.problem("pack %d has %d bytes and should have %d", n, st.Size(), row.size)
		}
		return nil
	})
	for n := range want {
		r.problem("pack %d has records and no row", n)
	}
	return err
}

// checkDigests looks for rows of bodies that are gone, and for threads that lead
// nowhere.
func (tx *tx) checkDigests(r *Report, _ map[BodyID]int64) error {
	bodies := tx.Bucket(bBodies)
	for _, b := range [][]byte{bDigests, bSignatures} {
		err := tx.each(b, nil, func(k, _ []byte) error {
			if bodies.Get(k) == nil {
				r.problem("a row of %s is of the body %s, which is gone", b, BodyID(bodyKey(k)))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	accounts := tx.Bucket(bAccounts)
	err := tx.each(bJoined, nil, func(k, v []byte) error {
		if len(k) != 12 || len(v) != 8 || bytes.Compare(v, k[4:]) >= 0 {
			r.problem("thread %x is joined to %x, which is not older", k, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return tx.each(bThreads, nil, func(k, v []byte) error {
		if len(k) != 12 || len(v) != 13 || accounts.Get(k[:4]) == nil {
			r.problem("the row %x of threads is damaged, or of no account", k)
		}
		return nil
	})
}
