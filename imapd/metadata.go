package imapd

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/emersion/go-imap/v2"

	"roost/mailbox"
)

// metadata brings METADATA (RFC 5464): annotations of mailboxes and, with the
// name "", of the account (/private) and the server (/shared), which only
// administrators write. A mailbox has one owner, who sees both kinds.
func metadata() extension {
	return extension{
		name:    imap.CapMetadata,
		enable:  true,
		enabled: watchMetadata,
		commands: []command{
			{name: "GETMETADATA", in: loggedIn, run: getMetadata},
			{name: "SETMETADATA", in: loggedIn, run: setMetadata},
		},
	}
}

// An entryQuery is which annotations GETMETADATA asks for.
type entryQuery struct {
	entries []string
	depth   int    // levels below an entry; -1 is all
	maxSize uint64 // of a value
}

func getMetadata(_ context.Context, s *session, _ *call) error {
	q := entryQuery{maxSize: 1 << 62}
	s.dec.SP()
	options := func() {
		s.metadataOptions(&q)
		s.dec.SP()
	}
	if s.dec.Peek('(') {
		options()
	}
	name := s.mailboxName()
	s.dec.SP()
	// The examples of RFC 5464 have the options here, its grammar before.
	if s.dec.PeekAll("(MAXSIZE ") || s.dec.PeekAll("(DEPTH ") {
		options()
	}
	q.entries = s.entryNames()
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	all, err := s.annotations(name)
	if err != nil {
		return err
	}
	found, longest := q.pick(all)
	s.writeMetadata(name, found)
	if longest > 0 {
		return ok("METADATA LONGENTRIES "+decimal(longest), "GETMETADATA completed")
	}
	return nil
}

func (s *session) metadataOptions(q *entryQuery) {
	s.dec.List(func() {
		switch word := s.dec.Keyword(); word {
		case "MAXSIZE":
			s.dec.SP()
			q.maxSize = s.dec.Number64()
		case "DEPTH":
			s.dec.SP()
			switch depth := strings.ToLower(s.dec.Atom()); depth {
			case "0":
				q.depth = 0
			case "1":
				q.depth = 1
			case "infinity":
				q.depth = -1
			default:
				s.dec.Failf("DEPTH is 0, 1 or infinity")
			}
		default:
			s.dec.Failf("unknown option %.40q", word)
		}
	})
}

// entryNames reads one entry's name, or a list of them.
func (s *session) entryNames() []string {
	var names []string
	one := func() {
		name := strings.ToLower(s.dec.AString())
		root, _, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
		if s.dec.Err() == nil && (!strings.HasPrefix(name, "/") || root != "private" && root != "shared" || strings.ContainsAny(name, "*%")) {
			s.dec.Failf("an entry's name begins with /private or /shared and has no wildcards")
		}
		names = append(names, name)
	}
	if !s.dec.Peek('(') {
		one()
	} else if s.dec.List(one); len(names) == 0 {
		s.dec.Failf("expected an entry")
	}
	return names
}

// annotations reads all that a mailbox has, the account and the server with "".
func (s *session) annotations(name string) ([]mailbox.Annotation, error) {
	store, id := s.srv.opts.Store, s.account.ID
	if name != "" {
		f, err := store.FolderNamed(id, name)
		if err != nil {
			return nil, err
		}
		return store.Annotations(id, f.ID)
	}
	mine, err := store.Annotations(id, mailbox.NoFolder)
	if err != nil {
		return nil, err
	}
	ours, err := store.Annotations(mailbox.ServerAccount, mailbox.NoFolder)
	return append(mine, ours...), err
}

// pick returns what is asked for of all annotations: of an entry that is named
// and has no value NIL. longest is the size of the longest value that was left
// out.
func (q *entryQuery) pick(all []mailbox.Annotation) (found []mailbox.Annotation, longest int) {
	told := make(map[string]bool)
	for _, entry := range q.entries {
		exists := false
		for _, a := range all {
			below, under := strings.CutPrefix(a.Entry, entry+"/")
			switch {
			case a.Entry == entry:
				exists = true
			case !under || q.depth >= 0 && strings.Count(below, "/") >= q.depth:
				continue
			}
			if told[a.Entry] {
				continue
			}
			told[a.Entry] = true
			if uint64(len(a.Value)) > q.maxSize {
				longest = max(longest, len(a.Value))
				continue
			}
			found = append(found, a)
		}
		if !exists && q.depth == 0 && !told[entry] {
			told[entry] = true
			found = append(found, mailbox.Annotation{Entry: entry})
		}
	}
	return found, longest
}

// writeMetadata writes the METADATA response with values, if there are any.
func (s *session) writeMetadata(name string, found []mailbox.Annotation) {
	if len(found) == 0 {
		return
	}
	s.enc.Raw("* METADATA ").Mailbox(name).Raw(" (")
	for i, a := range found {
		if i > 0 {
			s.enc.Raw(" ")
		}
		s.enc.AString(a.Entry).Raw(" ")
		switch {
		case a.Value == nil:
			s.enc.Raw("NIL")
		case bytes.IndexByte(a.Value, 0) >= 0:
			s.enc.Literal("~", int64(len(a.Value)), bytes.NewReader(a.Value))
		default:
			s.enc.String(string(a.Value))
		}
	}
	s.enc.Raw(")\r\n")
}

func setMetadata(ctx context.Context, s *session, _ *call) error {
	s.dec.SP()
	name := s.mailboxName()
	s.dec.SP()
	var changes []mailbox.Annotation
	shared := false
	s.dec.List(func() {
		a := mailbox.Annotation{Entry: strings.ToLower(s.dec.AString())}
		s.dec.SP()
		if value, ok := s.dec.NString(); ok {
			a.Value = []byte(value)
		}
		shared = shared || strings.HasPrefix(a.Entry, "/shared/")
		changes = append(changes, a)
	})
	if len(changes) == 0 {
		s.dec.Failf("expected an entry")
	}
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	store, id, folder := s.srv.opts.Store, s.account.ID, mailbox.NoFolder
	switch {
	case name != "":
		f, err := store.FolderNamed(id, name)
		if err != nil {
			return err
		}
		folder = f.ID
	case shared:
		for _, c := range changes {
			if !strings.HasPrefix(c.Entry, "/shared/") {
				return no("CANNOT", "/private and /shared of the server are set one after the other")
			}
		}
		a, err := store.AccountByID(id)
		if err != nil {
			return err
		}
		if !a.Admin {
			return no("NOPERM", "only administrators write what all accounts see")
		}
		id = mailbox.ServerAccount
	}
	err := store.Annotate(ctx, id, folder, changes)
	switch {
	case errors.Is(err, mailbox.ErrTooBig):
		return no("METADATA MAXSIZE "+decimal(mailbox.MaxAnnotation), "%v", err)
	case errors.Is(err, mailbox.ErrLimit):
		return no("METADATA TOOMANY", "%v", err)
	case err == nil:
		s.ownNotes(folder, changes)
	}
	return err
}
