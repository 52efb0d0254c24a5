package mailbox

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// conversation is a small one of every kind of link: References in full,
// In-Reply-To alone, and a subject alone. All six are one thread.
var conversation = []string{
	"Subject: Trip\r\nMessage-ID: <1@x>\r\n",
	"Subject: Re: Trip\r\nMessage-ID: <2@x>\r\nIn-Reply-To: <1@x>\r\nReferences: <1@x>\r\n",
	"Subject: Re: Trip\r\nMessage-ID: <3@x>\r\nReferences: <1@x> <2@x>\r\n",
	"Subject: New words\r\nMessage-ID: <4@x>\r\nIn-Reply-To: <3@x>\r\n",
	"Subject: AW: words\r\nMessage-ID: <5@x>\r\nIn-Reply-To: <4@x>\r\n",
	"Subject: Fwd: [all] trip\r\nMessage-ID: <6@x>\r\n",
}

func TestThreadsInAnyOrder(t *testing.T) {
	oneGoroutine(t)
	s, ann, _ := newStore(t, Options{})
	n := 0
	permute(len(conversation), func(order []int) {
		if n++; n%5 != 0 && os.Getenv("ROOST_LONG") == "" {
			return
		}
		// The same conversation under other names each time.
		rename := strings.NewReplacer("@x", fmt.Sprintf("@x%d", n), "rip", fmt.Sprintf("rip%d", n))
		var uids []UID
		come := func(text string) (thread ThreadID) {
			a := accept(t, s, rename.Replace(text)+"\r\nbody\r\n", Placement{Account: ann.ID})
			uids = append(uids, a.Placed[0].UID)
			err := s.Rows(ann.ID, InboxID, uids[len(uids)-1:], func(m *Facts) error { thread = m.Thread; return nil })
			if err != nil {
				t.Fatal(err)
			}
			return thread
		}
		var told []ThreadID
		for _, i := range order {
			told = append(told, come(conversation[i]))
		}
		// Whichever of them is answered now, the answer is of the oldest thread.
		oldest := slices.Min(told)
		for i := range conversation {
			answer := come(fmt.Sprintf("Subject: answer\r\nReferences: <%d@x>\r\n", i+1))
			if told = append(told, answer); answer != oldest {
				t.Errorf("in the order %v an answer to %d has the thread %v; they have %v", order, i+1, answer, told)
			}
		}
		err := s.Rows(ann.ID, InboxID, uids, func(m *Facts) error {
			if i := slices.Index(uids, m.UID); m.Thread != told[i] {
				t.Errorf("in the order %v message %d had the thread %v, now %v", order, i+1, told[i], m.Thread)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Two conversations of which a late message shows that they are one: who was told
// a THREADID is never told another (RFC 8474 section 5.2).
func TestThreadIDStays(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	for _, text := range []string{
		"Subject: one\r\nMessage-ID: <1@x>\r\n",
		"Subject: two\r\nMessage-ID: <2@x>\r\n",
		"Subject: both\r\nMessage-ID: <3@x>\r\nReferences: <1@x> <2@x>\r\n",
		"Subject: later\r\nMessage-ID: <4@x>\r\nReferences: <2@x>\r\n",
	} {
		accept(t, s, text+"\r\nbody\r\n", Placement{Account: ann.ID})
	}
	var threads []ThreadID
	err := s.Rows(ann.ID, InboxID, []UID{1, 2, 3, 4}, func(m *Facts) error { threads = append(threads, m.Thread); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if threads[1] == threads[0] || threads[2] != threads[0] || threads[3] != threads[0] {
		t.Errorf("threads %v", threads)
	}
	for n, want := range [][]UID{{1, 3, 4}, {2}} {
		found, err := s.Search(t.Context(), ann.ID, InboxID, Query{Test: TestThread, N: int64(threads[n])})
		if err != nil || !slices.Equal(found, want) {
			t.Errorf("of the thread %v are %v, %v; want %v", threads[n], found, err, want)
		}
	}
}

func permute(n int, f func([]int)) {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	var from func(int)
	from = func(i int) {
		if i == n {
			f(order)
			return
		}
		for k := i; k < n; k++ {
			order[i], order[k] = order[k], order[i]
			from(i + 1)
			order[i], order[k] = order[k], order[i]
		}
	}
	from(0)
}

func TestThreadsApart(t *testing.T) {
	s, ann, bob := newStore(t, Options{})
	thread := func(id AccountID, text string) ThreadID {
		t.Helper()
		a := accept(t, s, text+"\r\nbody\r\n", Placement{Account: id})
		var got ThreadID
		err := s.Rows(id, InboxID, []UID{a.Placed[0].UID}, func(m *Facts) error { got = m.Thread; return nil })
		if err != nil || got == 0 {
			t.Fatalf("thread %v: %v", got, err)
		}
		return got
	}
	first := thread(ann.ID, "Subject: Daily report\r\nDate: Fri, 1 May 2026 10:00:00 +0000\r\n")
	if second := thread(ann.ID, "Subject: Daily report\r\nDate: Sat, 2 May 2026 10:00:00 +0000\r\n"); second == first {
		t.Error("two originals are of one thread because they have one subject")
	}
	if late := thread(ann.ID, "Subject: Re: Daily report\r\nDate: Sun, 2 May 2027 10:00:00 +0000\r\n"); late == first {
		t.Error("a reply a year later is of the thread by its subject")
	}
	if other := thread(bob.ID, "Subject: Re: Daily report\r\nDate: Sat, 2 May 2026 10:00:00 +0000\r\n"); other == first {
		t.Error("two accounts share a thread")
	}
	if a, b := thread(ann.ID, "Subject: \r\n"), thread(ann.ID, "Subject: Re:\r\n"); a == b {
		t.Error("messages without a subject are of one thread")
	}
}

func TestCopiesKeepTheirIDs(t *testing.T) {
	s, ann, bob := newStore(t, Options{})
	accept(t, s, hello(1),
		Placement{Account: ann.ID, Prefix: []byte("Delivered-To: ann@example.org\r\n")},
		Placement{Account: bob.ID, Prefix: []byte("Delivered-To: bob@example.org\r\n")})
	accept(t, s, hello(2), Placement{Account: ann.ID})
	ids := func(id AccountID, name string) (object ObjectID, thread ThreadID) {
		f, err := s.FolderNamed(id, name)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Rows(id, f.ID, []UID{1}, func(m *Facts) error { object, thread = m.Object, m.Thread; return nil }); err != nil {
			t.Fatal(err)
		}
		return object, thread
	}
	o, th := ids(ann.ID, Inbox)
	if ob, _ := ids(bob.ID, Inbox); ob == o {
		t.Error("messages with different bytes share an EMAILID")
	}
	if _, err := s.Copy(t.Context(), ann.ID, InboxID, []UID{1}, "Archive"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Move(t.Context(), ann.ID, InboxID, []UID{1}, "Junk"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Archive", "Junk"} {
		if o2, th2 := ids(ann.ID, name); o2 != o || th2 != th || o == 0 {
			t.Errorf("%s: EMAILID %v, THREADID %v, were %v, %v", name, o2, th2, o, th)
		}
	}
}
