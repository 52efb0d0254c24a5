package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// Rescue makes a new roost.db when the one that was there is damaged or gone. It
// begins with the newest snapshot that is whole, or with nothing, and walks the
// packs. What the snapshot knows is found again by number wherever it lies now;
// what came after the snapshot is put where its record says it was delivered. The
// new file takes the name roost.db only when it is complete, so that a rescue may
// be killed and begun again.
//
// Accounts, passwords, aliases, settings, rules, annotations, the journal and what
// can be undeleted come from the snapshot, as they were then. What waits to be sent
// comes from both, and is held: some of it may have been sent since.
//
// What happened after the snapshot other than deliveries is lost: flags are as
// they were, messages that were expunged are back, and one that was taken from a
// server while the process died, without a 250, may be there too.

// RescueOptions say how a rescue goes.
type RescueOptions struct {
	Log *slog.Logger // nil discards
	// Whole lets it go on though roost.db is whole by Inspect.
	Whole    bool
	Inspect  func(path string) error // as in Options; nil: Inspect, in this process
	Progress func(done, total int64) // in bytes of packs; may be nil
}

// Rescued tells what a rescue found.
type Rescued struct {
	Restored
	Snapshot string `json:"snapshot,omitempty"` // what it began with; empty: with nothing
	Found    int    `json:"found"`              // messages that are newer than the snapshot
	Lost     int    `json:"lost"`               // messages that are in no pack any more, or damaged there
	Made     int    `json:"accounts_made"`      // accounts that nothing was known of but that they had mail
	Damaged  string `json:"damaged,omitempty"`  // where the damaged file is now
}

const rescueName = "roost.db.rescue"

// rescueSlack is how much older than the snapshot a record may be that the
// snapshot does not know and that is put back all the same: it may have been
// waiting for its commit.
const rescueSlack = time.Minute

// Rescue does it in the data directory dir, which no process may have open.
// Errors: ErrLocked, ErrInvalid when roost.db is whole.
func Rescue(ctx context.Context, dir string, o RescueOptions) (Rescued, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Inspect == nil {
		o.Inspect = Inspect
	}
	r := &rescue{dir: dir, o: o, places: make(map[BodyID]scanned), accounts: make(map[AccountID]AccountID)}
	err := r.run(ctx)
	return r.out, err
}

type rescue struct {
	dir string
	o   RescueOptions
	out Rescued

	since  time.Time // of the snapshot
	places map[BodyID]scanned
	ends   map[packNumber]int64
	known  map[packNumber]int64 // how much of a pack the snapshot knows
	fresh  []scanned            // what it does not
	// accounts are the numbers in records and those of today.
	accounts map[AccountID]AccountID
	done     int64
	total    int64
}

func (r *rescue) run(ctx context.Context) error {
	if _, err := finishRestore(r.dir); err != nil {
		return err
	}
	release, err := lockDir(r.dir)
	if err != nil {
		return err
	}
	// Another process that looks at the file needs the lock itself.
	release()
	path := filepath.Join(r.dir, dbName)
	_, statErr := os.Stat(path)
	if statErr == nil && !r.o.Whole {
		switch err := r.o.Inspect(path); {
		case err == nil:
			return faultf(ErrInvalid, "%s is whole: there is nothing to rescue (`roost check` looks into all messages)", path)
		case errors.Is(err, ErrLocked), errors.Is(err, ErrInvalid):
			return err
		}
	}
	if release, err = lockDir(r.dir); err != nil {
		return err
	}
	defer release()
	if err := r.begin(); err != nil {
		return err
	}
	if err := r.scan(ctx); err != nil {
		return err
	}
	if err := r.relocate(); err != nil {
		return fmt.Errorf("bring the snapshot up to date: %w", err)
	}
	if err := r.replay(ctx); err != nil {
		return fmt.Errorf("put back what came after the snapshot: %w", err)
	}
	if statErr == nil {
		r.out.Damaged = path + ".damaged-" + time.Now().UTC().Format(snapshotTime)
		if err := os.Rename(path, r.out.Damaged); err != nil {
			return err
		}
		if err := syncDir(r.dir); err != nil { // or the next one might take its place
			return err
		}
	}
	if err := os.Rename(filepath.Join(r.dir, rescueName), path); err != nil {
		return err
	}
	return syncDir(r.dir)
}

// begin copies the newest snapshot that is whole.
func (r *rescue) begin() error {
	to := filepath.Join(r.dir, rescueName)
	all, err := snapshotsIn(r.dir)
	if err != nil {
		return err
	}
	for _, s := range all {
		if err := r.o.Inspect(s.path); err != nil {
			r.o.Log.Warn("a snapshot is damaged, too", "snapshot", s.path, "error", err)
			continue
		}
		in, err := os.Open(s.path)
		if err != nil {
			return err
		}
		st, err := in.Stat()
		if err == nil {
			_, err = receiveFile(context.Background(), to, st.Size(), in, func(int64) {})
		}
		in.Close()
		if err != nil {
			return fmt.Errorf("copy the snapshot: %w", err)
		}
		r.out.Snapshot, r.since = s.path, s.at
		return nil
	}
	r.o.Log.Warn("there is no snapshot that is whole: everything comes from the packs")
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// scan walks all packs.
func (r *rescue) scan(ctx context.Context) error {
	dir := filepath.Join(r.dir, "packs")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	sizes := make(map[packNumber]int64)
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), ".pack")
		n, err := strconv.ParseUint(base, 10, 32)
		if !ok || err != nil {
			continue
		}
		if st, err := e.Info(); err == nil {
			sizes[packNumber(n)] = st.Size()
			r.total += st.Size()
		}
	}
	r.ends = make(map[packNumber]int64)
	for _, n := range slices.Sorted(maps.Keys(sizes)) {
		f, err := os.Open(filepath.Join(dir, packName(n)))
		if err != nil {
			return err
		}
		r.ends[n], err = scanPack(ctx, f, n, func(s scanned) error {
			if _, twice := r.places[s.head.id]; !twice {
				r.places[s.head.id] = s
			}
			return nil
		})
		f.Close()
		if err != nil {
			return fmt.Errorf("walk pack %d: %w", n, err)
		}
		if r.done += sizes[n]; r.o.Progress != nil {
			r.o.Progress(r.done, r.total)
		}
	}
	return nil
}

// relocate makes the rows of bodies and packs say what was found.
func (r *rescue) relocate() error {
	db, err := bbolt.Open(filepath.Join(r.dir, rescueName), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	if err := prepare(db); err != nil {
		db.Close()
		return err
	}
	err = db.Update(func(t *bbolt.Tx) error {
		tx := txOf(t)
		r.known = make(map[packNumber]int64)
		if err := tx.each(bPacks, nil, func(k, v []byte) error {
			row, err := parsePackRow(v)
			r.known[packNumber(binary.BigEndian.Uint32(k))] = row.size
			return err
		}); err != nil {
			return err
		}
		rows := make(map[BodyID]bodyRow)
		if err := tx.each(bBodies, nil, func(k, v []byte) error {
			row, err := parseBodyRow(v)
			rows[BodyID(bodyKey(k))] = row
			return err
		}); err != nil {
			return err
		}
		r.sort(rows)
		if err := tx.deletePrefix(bPacks, nil); err != nil {
			return err
		}
		packs := make(map[packNumber]packRow)
		for n, end := range r.ends {
			packs[n] = packRow{size: end}
		}
		for id, row := range rows {
			if s, ok := r.places[id]; ok && s.head.raw == row.raw {
				refs := row.refs
				row = s.row()
				row.refs = refs
			} else if err := r.lose(tx, id, row); err != nil {
				return err
			}
			if err := tx.putBodyRow(id, row); err != nil {
				return err
			}
			p := packs[row.pack]
			p.size = max(p.size, row.offset+row.head+row.stored)
			p.live += row.head + row.stored
			p.records++
			packs[row.pack] = p
		}
		for n, row := range packs {
			if err := tx.putPackRow(n, row); err != nil {
				return err
			}
		}
		last := tx.Bucket(bBodies).Sequence()
		for id := range r.places {
			last = max(last, uint64(id))
		}
		return tx.Bucket(bBodies).SetSequence(last)
	})
	return errors.Join(err, db.Close())
}

// lose puts a body into quarantine whose record is nowhere.
func (r *rescue) lose(tx *tx, id BodyID, row bodyRow) error {
	r.out.Lost++
	k := be64(uint64(id))
	if tx.Bucket(bDamaged).Get(k) != nil {
		return nil
	}
	return tx.putJSON(bDamaged, k, &Damage{Body: id, Found: time.Now().UTC(), Pack: uint32(row.pack), Offset: row.offset,
		What: "no pack has its record any more"})
}

// sort finds out which records the snapshot does not know because they are newer;
// the others that it does not know were expunged before it.
func (r *rescue) sort(rows map[BodyID]bodyRow) {
	for id, s := range r.places {
		if _, ok := rows[id]; ok {
			continue
		}
		if s.off >= r.known[s.pack] || s.head.stored.After(r.since.Add(-rescueSlack)) {
			r.fresh = append(r.fresh, s)
		}
	}
	slices.SortFunc(r.fresh, func(a, b scanned) int { return int(int64(a.head.id) - int64(b.head.id)) })
}

// replay delivers again what is newer than the snapshot, and makes the store ready.
func (r *rescue) replay(ctx context.Context) error {
	s, err := openFile(r.dir, rescueName, Options{Log: r.o.Log}.withDefaults())
	if err != nil {
		return err
	}
	if r.out.Snapshot != "" {
		all, err := s.Accounts()
		if err != nil {
			s.Close()
			return err
		}
		for _, a := range all {
			r.accounts[a.ID] = a.ID
		}
	}
	s.db.NoSync = true // nobody needs the file before all of it is there
	for _, f := range r.fresh {
		if err = ctx.Err(); err != nil {
			break
		}
		if err = r.deliver(ctx, s, f); err != nil {
			break
		}
	}
	if err == nil {
		err = s.settle(ctx, &r.out.Restored)
	}
	if err == nil {
		err = s.db.Sync()
	}
	return errors.Join(err, s.Close())
}

// deliver puts one message where its record says.
func (r *rescue) deliver(ctx context.Context, s *Store, f scanned) error {
	row := f.row()
	m := &Message{s: s, Facts: Facts{Body: f.head.id, Size: row.raw}, row: row}
	what, err := analyse(m, row.raw)
	if err == nil {
		_, err = io.Copy(io.Discard, m.Reader()) // every chunk against its checksum
	}
	if err != nil {
		r.out.Lost++
		r.o.Log.Warn("a message is damaged and can't be given back", "message", f.head.id.String(), "pack", f.pack, "offset", f.off, "error", err)
		return nil
	}
	in := Intake{From: f.head.from}
	for _, p := range f.head.places {
		id, err := r.account(ctx, s, p)
		if err != nil {
			return err
		}
		in.Place = append(in.Place, placeAgain(s, id, p))
	}
	for _, route := range f.head.routes {
		o := Outgoing{Account: r.accounts[route.account], From: f.head.from, Domain: route.domain, EightBit: route.eightBit, UTF8: route.utf8, Held: true}
		for _, to := range route.recipients {
			o.Recipients = append(o.Recipients, Recipient{Address: to})
		}
		in.Queue = append(in.Queue, o)
	}
	st := &staged{Intake: &in, packs: s.packs, id: f.head.id, row: row, what: what}
	for _, p := range in.Place {
		facts := what.in(st.id, p.Prefix)
		facts.Date, facts.Saved = p.Date, f.head.stored.UTC()
		st.facts = append(st.facts, facts)
	}
	r.out.Found++
	return s.update(ctx, func(tx *tx) error {
		_, err := tx.accept(st)
		return err
	})
}

// placeAgain is a placement by what a record says of an earlier one. A mailbox
// that is not there is made again.
func placeAgain(s *Store, id AccountID, p recordPlace) Placement {
	to := Placement{Account: id, Prefix: p.prefix, Flags: p.flags, Keywords: p.keywords, Date: p.date, Uncounted: true}
	if f, err := s.Folder(id, p.folder); err == nil && (p.name == "" || f.Name == p.name) {
		to.Folder = f.ID
		return to
	}
	switch name, err := checkName(p.name); {
	case strings.HasPrefix(p.name, `\`):
		to.Use = SpecialUse(p.name) // format 1
	case err == nil:
		to.Name = name
	}
	return to
}

// account finds the account that a record was delivered to, or makes it again
// with what is known of it. Nobody can log in to it until it has a password.
func (r *rescue) account(ctx context.Context, s *Store, p recordPlace) (AccountID, error) {
	if id, ok := r.accounts[p.account]; ok {
		return id, nil
	}
	id, err := r.findAccount(ctx, s, p)
	if err == nil {
		r.accounts[p.account] = id
	}
	return id, err
}

func (r *rescue) findAccount(ctx context.Context, s *Store, p recordPlace) (AccountID, error) {
	address := Address(p.address)
	if a, err := s.AccountByID(p.account); err == nil && r.out.Snapshot != "" && (address == "" || a.Address == address) {
		return a.ID, nil
	}
	if address == "" {
		address = Address(fmt.Sprintf("account-%d@rescued.invalid", p.account))
	}
	if a, err := s.Account(address); err == nil {
		return a.ID, nil
	}
	if _, err := s.AddDomain(ctx, address.Domain()); err != nil && !errors.Is(err, ErrExists) {
		return 0, fmt.Errorf("make the domain of %s again: %w", address, err)
	}
	a, err := s.CreateAccount(ctx, NewAccount{Address: address})
	if err != nil {
		return 0, fmt.Errorf("make the account %s again: %w", address, err)
	}
	r.out.Made++
	return a.ID, nil
}
