package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// powerWork is what a store does while its power is cut. Workers change each two
// accounts of their own and say on standard output what these hold before and
// after each operation, so that what was acknowledged is known to the letter. It
// runs in a process of its own, which ends without closing the store.
func powerWork(dir string, operations int) error {
	for session := range 2 {
		s, err := Open(dir, powerOptions)
		if err != nil {
			return err
		}
		s.packs.full = powerPack
		keep := -1 // expunged messages, in the second session
		if session == 1 {
			keep = 0
		}
		if err := s.ChangeSettings(context.Background(), func(v *Settings) error { v.UndeleteDays = keep; return nil }); err != nil {
			return err
		}
		var all sync.WaitGroup
		errs := make(chan error, powerWorkers)
		for n := range powerWorkers {
			all.Go(func() {
				w := powerWorker{s: s, n: n, rng: rand.New(rand.NewPCG(uint64(n), uint64(session)))}
				errs <- w.run(operations)
			})
		}
		all.Wait()
		close(errs)
		for e := range errs {
			err = errors.Join(err, e)
		}
		for range 2 { // one copies, and the next removes what is left
			err = errors.Join(err, s.rewritePacks(context.Background()))
		}
		if err != nil {
			return err
		}
		if session == 0 {
			if err := s.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

const powerWorkers = 3

// powerPack makes packs small, so that some are rewritten.
const powerPack = 16 << 10

var powerOptions = Options{ReserveBytes: 1 << 20}

type powerWorker struct {
	s    *Store
	n    int
	rng  *rand.Rand
	tags int

	a, b Account
	hold powerState
}

// powerState is what a worker's accounts and outbox hold.
type powerState struct {
	folders map[string]map[UID]string // "account/mailbox" to a tag and flags
	next    map[string]UID
	outbox  map[string]bool
}

func (p powerState) String() string {
	var b strings.Builder
	for _, f := range slices.Sorted(maps.Keys(p.folders)) {
		for _, uid := range slices.Sorted(maps.Keys(p.folders[f])) {
			fmt.Fprintf(&b, "%s/%d=%s ", f, uid, p.folders[f][uid])
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(p.outbox)) {
		fmt.Fprintf(&b, "outbox=%s ", tag)
	}
	return b.String()
}

// do runs one operation; change tells what it comes to.
func (w *powerWorker) do(change func(), f func(context.Context) error) error {
	change()
	fmt.Fprintf(os.Stdout, "begin %d %s\n", w.n, w.hold)
	if err := f(context.Background()); err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "done %d\n", w.n)
	return nil
}

func (w *powerWorker) run(operations int) error {
	var err error
	if w.a, err = powerAccount(w.s, w.n, "a"); err != nil {
		return err
	}
	if w.b, err = powerAccount(w.s, w.n, "b"); err != nil {
		return err
	}
	if w.hold, err = powerHeld(w.s, w.n); err != nil {
		return err
	}
	if err := w.do(func() {}, func(context.Context) error { return nil }); err != nil {
		return err
	}
	w.tags = w.rng.IntN(1 << 44) // other ones than before, also where nothing is left of those
	for i := range operations {
		if err := w.step(i); err != nil {
			return fmt.Errorf("worker %d: %w", w.n, err)
		}
	}
	return nil
}

func powerAccount(s *Store, n int, which string) (Account, error) {
	ctx := context.Background()
	addr := Address(fmt.Sprintf("%s%d@power.example", which, n))
	if a, err := s.Account(addr); err == nil {
		return a, nil
	}
	if _, err := s.AddDomain(ctx, "power.example"); err != nil && !errors.Is(err, ErrExists) {
		return Account{}, err
	}
	return s.CreateAccount(ctx, NewAccount{Address: addr})
}

func (w *powerWorker) step(i int) error {
	if i%3 == 2 {
		if err := w.churn(); err != nil {
			return err
		}
		if err := errors.Join(w.s.rewritePacks(context.Background()), w.s.emptyDiscarded(context.Background())); err != nil {
			return err
		}
	}
	if i%30 == 10 {
		if err := w.s.takeSnapshot(context.Background()); err != nil {
			return err
		}
	}
	inbox := slices.Sorted(maps.Keys(w.hold.folders["a/INBOX"]))
	some := slices.DeleteFunc(inbox, func(UID) bool { return w.rng.IntN(3) > 0 })
	switch k := w.rng.IntN(16); {
	case len(some) == 0 || k < 4:
		return w.deliver(2, w.place("a", "INBOX"))
	case k < 6:
		return w.deliver(1, w.place("a", "INBOX"), w.place("b", "INBOX"))
	case k < 7:
		return w.deliver(3, w.place("a", "INBOX"))
	case k < 8:
		return w.deliver(1, w.place("a", fmt.Sprintf("f%d", w.rng.IntN(3))))
	case k < 9:
		return w.send()
	case k < 10:
		return w.sent()
	case k < 12:
		return w.flag(some, []Flags{Seen, Flagged, Answered}[w.rng.IntN(3)])
	case k < 14:
		return w.transfer(some, w.rng.IntN(2) == 0)
	default:
		return w.expunge(some)
	}
}

func (w *powerWorker) expunge(uids []UID) error {
	if err := w.flag(uids, Deleted); err != nil {
		return err
	}
	return w.do(func() {
		maps.DeleteFunc(w.hold.folders["a/INBOX"], func(_ UID, v string) bool { return strings.HasSuffix(v, "D") })
	}, func(ctx context.Context) error {
		_, err := w.s.Expunge(ctx, w.a.ID, InboxID, nil)
		return err
	})
}

// churn leaves packs in which little is alive.
func (w *powerWorker) churn() error {
	if err := w.deliver(16, w.place("a", "INBOX")); err != nil {
		return err
	}
	uids := slices.Sorted(maps.Keys(w.hold.folders["a/INBOX"]))
	return w.expunge(uids[len(uids)-15:])
}

func (w *powerWorker) place(account, name string) Placement {
	p := Placement{Account: w.a.ID, Name: name, Prefix: []byte("Delivered-To: " + account + "\r\n")}
	if account == "b" {
		p.Account = w.b.ID
	}
	if name == "INBOX" {
		p.Name, p.Folder = "", InboxID
	}
	return p
}

func (p powerState) add(folder, v string) {
	if p.folders[folder] == nil {
		p.folders[folder] = make(map[UID]string)
	}
	p.next[folder] = max(p.next[folder], 1)
	p.folders[folder][p.next[folder]] = v
	p.next[folder]++
}

func (w *powerWorker) intake(places ...Placement) (Intake, string) {
	tag := fmt.Sprintf("%d.%d", w.n, w.tags)
	w.tags++
	spool := w.s.NewSpool(0)
	io.WriteString(spool, powerText(tag))
	return Intake{Body: spool, From: "x@example.net", Place: places}, tag
}

func (w *powerWorker) deliver(n int, places ...Placement) error {
	var all []Intake
	var tags []string
	for range n {
		in, tag := w.intake(slices.Clone(places)...)
		defer in.Body.Close()
		all, tags = append(all, in), append(tags, tag)
	}
	return w.do(func() {
		for _, tag := range tags {
			for _, p := range places {
				account, name := "a/", "INBOX"
				if p.Account == w.b.ID {
					account = "b/"
				}
				if p.Name != "" {
					name = p.Name
				}
				w.hold.add(account+name, tag+":")
			}
		}
	}, func(ctx context.Context) error {
		_, err := w.s.AcceptAll(ctx, all)
		return err
	})
}

func (w *powerWorker) send() error {
	in, tag := w.intake(w.place("a", "INBOX"))
	defer in.Body.Close()
	in.Queue = []Outgoing{{Account: w.a.ID, From: "a@power.example", Domain: "example.net", Recipients: []Recipient{{Address: "z@example.net"}}, Held: true}}
	return w.do(func() {
		w.hold.add("a/INBOX", tag+":")
		w.hold.outbox[tag] = true
	}, func(ctx context.Context) error {
		_, err := w.s.Accept(ctx, in)
		return err
	})
}

// sent ends the oldest of the worker's outgoing messages.
func (w *powerWorker) sent() error {
	all, err := w.s.Outbox()
	for _, o := range all {
		if o.Account != w.a.ID {
			continue
		}
		tag, err := outboxTag(w.s, &o)
		if err != nil {
			return err
		}
		return w.do(func() { delete(w.hold.outbox, tag) }, func(ctx context.Context) error {
			return w.s.FinishAttempt(ctx, o.ID, Result{Journal: []Line{{Event: Delivered}}})
		})
	}
	return err
}

func outboxTag(s *Store, o *Outgoing) (string, error) {
	r, err := s.OutgoingBody(o)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	return powerTag(b)
}

func (w *powerWorker) flag(uids []UID, f Flags) error {
	return w.do(func() {
		for _, uid := range uids {
			tag, have, _ := strings.Cut(w.hold.folders["a/INBOX"][uid], ":")
			w.hold.folders["a/INBOX"][uid] = tag + ":" + flagLetters(parseLetters(have)|f)
		}
	}, func(ctx context.Context) error {
		_, err := w.s.SetFlags(ctx, w.a.ID, InboxID, uids, FlagUpdate{Change: AddFlags, Flags: f})
		return err
	})
}

func (w *powerWorker) transfer(uids []UID, move bool) error {
	return w.do(func() {
		for _, uid := range uids {
			w.hold.add("a/Archive", w.hold.folders["a/INBOX"][uid])
			if move {
				delete(w.hold.folders["a/INBOX"], uid)
			}
		}
	}, func(ctx context.Context) error {
		f := w.s.Copy
		if move {
			f = w.s.Move
		}
		_, err := f(ctx, w.a.ID, InboxID, uids, "Archive")
		return err
	})
}

var letters = []struct {
	flag   Flags
	letter string
}{{Answered, "A"}, {Flagged, "F"}, {Seen, "S"}, {Deleted, "D"}} // Deleted last

func flagLetters(f Flags) string {
	s := ""
	for _, l := range letters {
		if f&l.flag != 0 {
			s += l.letter
		}
	}
	return s
}

func parseLetters(s string) (f Flags) {
	for _, l := range letters {
		if strings.Contains(s, l.letter) {
			f |= l.flag
		}
	}
	return f
}

// powerText is the message with a tag: mostly small, some of several chunks.
func powerText(tag string) string {
	h := fnv.New64()
	io.WriteString(h, tag)
	rng := rand.New(rand.NewPCG(h.Sum64(), 0))
	lines := 5 + rng.IntN(60)
	switch rng.IntN(24) {
	case 0:
		lines = 5000
	case 1, 2, 3:
		lines = 500
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Subject: power %s\r\nMessage-ID: <%s@power.example>\r\n\r\n", tag, tag)
	for range lines {
		fmt.Fprintf(&b, "%016x %016x to be or not to be\r\n", rng.Uint64(), rng.Uint64())
	}
	return b.String()
}

var powerSubject = regexp.MustCompile(`Subject: power ([0-9.]+)\r\n`)

// powerTag tells which message it is, or that it is not one to the last byte.
func powerTag(b []byte) (string, error) {
	m := powerSubject.FindSubmatch(b)
	if m == nil || !bytes.HasSuffix(b, []byte(powerText(string(m[1])))) {
		return "", errors.New("a message came back with other bytes")
	}
	return string(m[1]), nil
}

// powerHeld reads what a worker's accounts and outbox hold.
func powerHeld(s *Store, n int) (powerState, error) {
	p := powerState{make(map[string]map[UID]string), make(map[string]UID), make(map[string]bool)}
	for _, which := range []string{"a", "b"} {
		a, err := s.Account(Address(fmt.Sprintf("%s%d@power.example", which, n)))
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return p, err
		}
		folders, err := s.Folders(a.ID)
		if err != nil {
			return p, err
		}
		for _, f := range folders {
			snap, err := s.Snapshot(a.ID, f.ID)
			if err != nil {
				return p, err
			}
			name := which + "/" + string(f.Name)
			p.folders[name] = make(map[UID]string)
			p.next[name] = f.UIDNext
			for _, e := range snap.Entries {
				m, err := s.OpenMessage(a.ID, f.ID, e.UID)
				if err != nil {
					return p, err
				}
				b, err := io.ReadAll(m.Reader())
				if err != nil {
					return p, err
				}
				tag, err := powerTag(b)
				if err != nil {
					return p, err
				}
				p.folders[name][e.UID] = tag + ":" + flagLetters(e.Flags)
			}
		}
		if which == "b" {
			continue
		}
		all, err := s.Outbox()
		if err != nil {
			return p, err
		}
		for i := range all {
			if all[i].Account == a.ID {
				tag, err := outboxTag(s, &all[i])
				if err != nil {
					return p, err
				}
				p.outbox[tag] = true
			}
		}
	}
	return p, nil
}
