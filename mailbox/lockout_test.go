package mailbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// lockOut makes an address guess until it is blocked.
func (d door) lockOut(from string) {
	d.t.Helper()
	for n := range guessesPerMinute {
		d.want(from, fmt.Sprint("guess ", n), "wrong")
	}
	d.want(from, "secret", "blocked")
}

// blockRows are the keys of the bucket blocks.
func blockRows(t *testing.T, s *Store) (keys string) {
	t.Helper()
	err := s.view(func(tx *tx) error {
		return tx.each(bBlocks, nil, func(k, _ []byte) error {
			keys += string(k) + " "
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func reopen(t *testing.T, s *Store) *Store {
	t.Helper()
	closeStore(t, s)
	return openStore(t, s.Dir(), Options{})
}

func TestBlockSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := newStore(t, Options{})
		door{t, s}.lockOut("192.0.2.1")
		door{t, s}.lockOut("2001:db8::1")
		before := s.Blocks()

		s = reopen(t, s)
		after := s.Blocks()
		if len(before) != 2 || len(after) != 2 {
			t.Fatalf("before %+v, after %+v", before, after)
		}
		for i, b := range before {
			if a := after[i]; a.Address != b.Address || a.Wrong != b.Wrong || !a.Since.Equal(b.Since) || !a.Until.Equal(b.Until) {
				t.Errorf("before %+v, after %+v", b, a)
			}
		}
		d := door{t, s}
		d.want("192.0.2.1", "secret", "blocked")
		d.want("2001:db8::2", "secret", "blocked")
		d.want("192.0.2.2", "secret", "in")

		time.Sleep(minuteBlock)
		s = reopen(t, s)
		d = door{t, s}
		if all := s.Blocks(); len(all) != 0 {
			t.Errorf("when it is over: %+v", all)
		}
		d.want("192.0.2.1", "secret", "in")
		if got := blockRows(t, s); got != "192.0.2.1/32 2001:db8::/64 " {
			t.Errorf("before the job: %s", got)
		}
		if err := s.dropBlocks(t.Context()); err != nil || blockRows(t, s) != "" {
			t.Errorf("after the job: %s, %v", blockRows(t, s), err)
		}
	})
}

// TestBlockKeepsTheCount of the day over a restart, which is no new chance.
func TestBlockKeepsTheCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := newStore(t, Options{})
		from := netip.MustParseAddr("192.0.2.1")
		for round := range guessesPerDay / guessesPerMinute {
			for n := range guessesPerMinute {
				s.guard.wrong(from, "ann", fmt.Sprint(round, " ", n))
			}
			s.noteBlock(t.Context(), from)
			s = reopen(t, s)
			door{t, s}.want("192.0.2.1", "secret", "blocked")
			if round < guessesPerDay/guessesPerMinute-1 {
				time.Sleep(minuteBlock)
			}
		}
		if all := s.Blocks(); len(all) != 1 || all[0].Wrong != guessesPerDay || all[0].Until.Sub(all[0].Since) != dayBlock {
			t.Errorf("%+v", all)
		}
	})
}

// TestLiftedBlockStaysLifted, also by a process that has the store open alone and never saw
// the guesses.
func TestLiftedBlockStaysLifted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := newStore(t, Options{})
		door{t, s}.lockOut("192.0.2.1")
		door{t, s}.lockOut("192.0.2.2")
		if err := s.LiftBlock(t.Context(), netip.MustParseAddr("192.0.2.1")); err != nil {
			t.Error(err)
		}
		if got := blockRows(t, s); got != "192.0.2.2/32 " {
			t.Error(got)
		}
		s = reopen(t, s)
		if err := s.LiftBlock(t.Context(), netip.MustParseAddr("192.0.2.2")); err != nil {
			t.Error(err)
		}
		if got := blockRows(t, s); got != "" {
			t.Error(got)
		}
		s = reopen(t, s)
		door{t, s}.want("192.0.2.1", "secret", "in")
		door{t, s}.want("192.0.2.2", "secret", "in")
	})
}

// TestBlockThatCannotBeLifted stays: else it would be back after a restart.
func TestBlockThatCannotBeLifted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := newStore(t, Options{})
		door{t, s}.lockOut("192.0.2.1")
		closeStore(t, s)
		if err := s.LiftBlock(t.Context(), netip.MustParseAddr("192.0.2.1")); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if all := s.Blocks(); len(all) != 1 {
			t.Errorf("%+v", all)
		}
	})
}

func TestBlockIsInTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := newStore(t, Options{})
		door{t, s}.lockOut("192.0.2.1")
		until := time.Now().Add(minuteBlock - maxGuessPause) // the last answer had to wait
		// Who has hung up meanwhile is written down all the same.
		ctx, hangUp := context.WithCancel(t.Context())
		hangUp()
		for n := range 10 {
			from := netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%d::1", n))
			for k := range guessesPerMinute {
				s.guard.wrong(from, "ann", fmt.Sprint(k))
			}
			s.noteBlock(ctx, from)
		}
		var lines []Line
		if err := s.Journal(func(l Line) bool {
			if l.Event == Blocked {
				lines = append(lines, l)
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if len(lines) != 11 || lines[0].Remote != "2001:db8:0:9::/64" || lines[10].Remote != "192.0.2.1" {
			t.Fatalf("%d lines: %+v", len(lines), lines)
		}
		want := "10 wrong passwords in a day: may not log in until " + until.UTC().Format(time.DateTime) + " UTC"
		if got := strings.Join(lines[10].Detail, "; "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// TestBlocksThatCannotBe are passed over, found by Check and dropped, and one from a clock that
// was far ahead does not last longer than a new one.
func TestBlocksThatCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := newStore(t, Options{})
		ahead := time.Now().AddDate(10, 0, 0)
		err := s.update(t.Context(), func(tx *tx) error {
			b := Block{netip.MustParsePrefix("192.0.2.1/32"), 1000, ahead, ahead.Add(minuteBlock)}
			for _, k := range []string{"192.0.2.1/32", "192.0.2.2/32", "192.0.2.0/24"} {
				if err := tx.putJSON(bBlocks, []byte(k), &b); err != nil {
					return err
				}
			}
			return tx.put(bBlocks, []byte("192.0.2.3/32"), []byte("{"))
		})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := s.Check(t.Context()); err != nil || len(r.Problems) != 3 {
			t.Errorf("%q, %v", r.Problems, err)
		}
		if err := s.loadBlocks(); err != nil {
			t.Fatal(err)
		}
		if all := s.Blocks(); len(all) != 1 || all[0].Wrong != guessesPerDay || !all[0].Until.Equal(time.Now().Add(dayBlock)) {
			t.Errorf("%+v", all)
		}
		if err := s.dropBlocks(t.Context()); err != nil || blockRows(t, s) != "192.0.2.1/32 " {
			t.Errorf("%s, %v", blockRows(t, s), err)
		}
	})
}
