package mailbox

import "sync"

// outboxBell is the bell of the outbox; no account has this number.
const outboxBell AccountID = 0

// serverBell is the bell of what all accounts see; no account has this number.
const serverBell AccountID = 1<<32 - 1

// bells tell that something changed, never what: who wakes reads the store.
// They are level-triggered by order of use: take the channel, read, then wait.
type bells struct {
	mu sync.Mutex
	of map[AccountID]chan struct{}
}

func (b *bells) next(id AccountID) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of == nil {
		b.of = make(map[AccountID]chan struct{})
	}
	c := b.of[id]
	if c == nil {
		c = make(chan struct{})
		b.of[id] = c
	}
	return c
}

func (b *bells) ring(id AccountID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.of[id]; c != nil {
		close(c)
		delete(b.of, id)
	}
}

// Bell returns a channel that is closed at the next commit that changes
// something of the account. Take it first, then read the changes, then wait on
// it: nothing falls between. Each ring needs a new channel.
func (s *Store) Bell(id AccountID) <-chan struct{} { return s.bells.next(id) }

// ServerBell is Bell for the server's annotations.
func (s *Store) ServerBell() <-chan struct{} { return s.bells.next(serverBell) }

// OutboxBell is Bell for when something in the outbox is due: it rings for new rows, and
// for a changed time, but not for the mark of an attempt that begins.
func (s *Store) OutboxBell() <-chan struct{} { return s.bells.next(outboxBell) }
