package panel

import (
	"io"
	"strings"
	"sync"
	"time"

	"roost/admin"
)

// notice is what an operation came to, shown on the next page and only there.
type notice struct {
	Text string
	// Secret is a password that nobody can be told again, for the login name Login.
	Secret, Login string
	// Device is what the password is for, when that is one.
	Device string

	left time.Time
}

// texter is a result that says itself how it reads.
type texter interface {
	Text(w io.Writer, args any) error
}

// tell puts a result into words.
func tell(result any) notice {
	switch r := result.(type) {
	case admin.DeviceAdded:
		return notice{Text: r.Name + " is added.", Secret: r.Password, Login: r.Login, Device: r.Name}
	case admin.AccountAdded:
		n := notice{Secret: r.Password, Login: r.Address}
		r.Password = ""
		var b strings.Builder
		_ = r.Text(&b, nil)
		n.Text = strings.TrimSpace(b.String())
		return n
	case admin.DomainAdded:
		return notice{Text: r.Name + " is added. Next, its DNS records have to be made."}
	case admin.Tested:
		return notice{Text: "A test is on its way to " + r.To + "."}
	case admin.Host, admin.Relay:
		return notice{Text: "Saved."}
	case texter:
		var b strings.Builder
		_ = r.Text(&b, nil)
		return notice{Text: strings.TrimSpace(b.String())}
	}
	return notice{Text: "Done."}
}

const (
	// noticeGood is how long a notice waits for its page: it may hold a password.
	noticeGood = 5 * time.Minute
	maxNotices = 1000
)

// notices keeps at most one notice for each session.
type notices struct {
	mu  sync.Mutex
	all map[string]notice
}

func (n *notices) leave(session string, what notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil || len(n.all) >= maxNotices {
		n.all = make(map[string]notice)
	}
	what.left = time.Now()
	n.all[session] = what
}

func (n *notices) take(session string) *notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	what, ok := n.all[session]
	delete(n.all, session)
	if !ok || time.Since(what.left) > noticeGood {
		return nil
	}
	return &what
}
