package submit

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"roost/mailbox"
	"roost/mta/smtp"
)

// What is refused before there is a message goes into the journal as well, so that
// "why could I not send?" has an answer there. A program may ask every minute, and
// a stranger may guess passwords all day: the same words about an account are
// noted once in noteEvery for each client, and an account gets at most noteMost
// such lines in that time.
const (
	noteEvery = 10 * time.Minute
	noteMost  = 20

	// maxNotes bounds what is remembered of them; beyond, nothing is noted.
	maxNotes = 10_000
)

// notes remembers what was noted lately, and has what is to be written: who waits
// for an answer should not learn from its time whether there is such an account.
type notes struct {
	due chan mailbox.Line

	mu    sync.Mutex
	begun time.Time
	seen  map[note]bool
	lines map[mailbox.AccountID]int
}

type note struct {
	account mailbox.AccountID
	peer    netip.Addr
	what    string
}

// first tells whether something is to be noted, and takes it as noted.
func (n *notes) first(what note) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := time.Now(); n.seen == nil || now.Sub(n.begun) >= noteEvery {
		n.begun, n.seen, n.lines = now, map[note]bool{}, map[mailbox.AccountID]int{}
	}
	if n.seen[what] || n.lines[what.account] >= noteMost || len(n.seen) >= maxNotes {
		return false
	}
	n.seen[what] = true
	n.lines[what.account]++
	return true
}

// write puts what is due into the journal until stop is closed, and then what is
// left.
func (s *Server) write(stop <-chan struct{}) {
	put := func(l mailbox.Line) {
		if err := s.opt.Store.Log(context.Background(), l); err != nil {
			s.opt.Log.Error("a refusal is not in the journal", "from", l.From, "reply", l.Reply, "err", err)
		}
	}
	for {
		select {
		case l := <-s.notes.due:
			put(l)
			continue
		case <-stop:
		}
		break
	}
	for {
		select {
		case l := <-s.notes.due:
			put(l)
		default:
			return
		}
	}
}

// refuse notes a refusal of the account that is logged in, or of the one that is
// named to log in. What is no reply is trouble of our own, and not noted.
func (s *session) refuse(who caller, err error, l mailbox.Line) {
	var r smtp.Reply
	if !errors.As(err, &r) || who.account.ID == 0 {
		return
	}
	if !s.notes.first(note{who.account.ID, s.conn.Peer(), r.Error()}) {
		return
	}
	l.Time = time.Now().UTC()
	l.Event, l.Account, l.Remote, l.Reply = mailbox.Refused, who.account.ID, s.remote(), r.Error()
	if who.device != "" {
		if name, err := s.deviceName(who); err == nil {
			l.Detail = append(l.Detail, "with the app password "+name)
		}
	}
	select {
	case s.notes.due <- l:
	default:
		s.Log.Warn("too many refusals at once: one is not in the journal", "account", who.account.Address, "reply", r)
	}
}

// refuseLogin notes that a login failed. Names of nobody are not noted: strangers
// try many. An address that may not log in at all has a line of its own.
func (s *session) refuseLogin(name string, who mailbox.Submitter, err error) error {
	answer := s.refusal(err)
	if err == nil || errors.Is(err, mailbox.ErrBlocked) {
		return answer
	}
	account := who.Account
	if account.ID == 0 {
		addr, bad := mailbox.ParseAddress(name)
		if bad != nil {
			return answer
		}
		if account, bad = s.Store.Account(addr); bad != nil {
			return answer
		}
	}
	s.refuse(caller{account: account, device: who.Device}, answer, mailbox.Line{
		From: string(account.Address), Detail: []string{"a program wanted to log in to send"},
	})
	return answer
}
