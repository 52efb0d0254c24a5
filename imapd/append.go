package imapd

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/emersion/go-imap/v2"

	"roost/imapd/wire"
	"roost/mailbox"
)

// appending brings APPEND (RFC 9051 section 6.3.12) of one or several messages
// (MULTIAPPEND, RFC 3502), with the UTF8 form of RFC 6855 section 4.
func appending() extension {
	return extension{
		name:     imap.CapMultiAppend,
		commands: []command{{name: "APPEND", in: loggedIn, run: runAppend}},
	}
}

const (
	// maxAppend is how many messages one APPEND may bring.
	maxAppend = 1000
	// maxAppendSizes is how many times the largest message all of them together
	// may have.
	maxAppendSizes = 4
)

// upload is what one APPEND or REPLACE brings, while it comes.
type upload struct {
	folder mailbox.FolderID
	all    []mailbox.Intake
	size   int64
	// refused is why a message will not be taken, whatever it is.
	refused error
}

func (u *upload) close() {
	for _, in := range u.all {
		in.Body.Close()
	}
}

func runAppend(ctx context.Context, s *session, _ *call) error {
	s.dec.SP()
	name := s.mailboxName()
	var u upload
	defer u.close()
	for more := true; more; more = s.dec.Accept(' ') {
		if err := s.receive(&u, name); err != nil {
			return err
		}
	}
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	done, err := s.srv.opts.Store.AcceptAll(ctx, u.all)
	if errors.Is(err, mailbox.ErrNotFound) {
		return no("TRYCREATE", "%v", err)
	}
	if err != nil {
		return err
	}
	s.brought(u.folder, appended(done))
	return ok(appendUID(done), "APPEND completed")
}

func appended(done []mailbox.Accepted) []mailbox.UID {
	uids := make([]mailbox.UID, len(done))
	for i, d := range done {
		uids[i] = d.Placed[0].UID
	}
	return uids
}

func appendUID(done []mailbox.Accepted) string {
	code := []byte("APPENDUID " + decimal(done[0].Placed[0].UIDValidity) + " ")
	return string(wire.AppendRanges(code, wire.Ranges(appended(done))))
}

// receive reads flags, a date and the message, which it streams into a spool.
// What can be refused is refused before the client sends the message, if it
// waits to be asked.
func (s *session) receive(u *upload, name string) error {
	p := mailbox.Placement{Account: s.account.ID}
	if len(u.all) == 0 {
		s.dec.SP()
	}
	var flags []imap.Flag
	if s.dec.Peek('(') {
		flags = s.dec.Flags()
		s.dec.SP()
	}
	if s.dec.Peek('"') {
		p.Date = s.dec.DateTime()
		s.dec.SP()
	}
	wrapped := s.appendUTF8()
	literal := s.dec.Announced()
	if literal == nil {
		return s.dec.Err()
	}
	var err error
	if p.Flags, p.Keywords, err = sortFlags(flags); err == nil {
		err = s.mayReceive(u, name, literal)
	}
	if err != nil {
		literal.Refuse(&wire.SyntaxError{Msg: err.Error()})
		return err
	}
	p.Folder = u.folder
	spool := s.srv.opts.Store.NewSpool(literal.Size)
	u.size += literal.Size
	u.all = append(u.all, mailbox.Intake{Body: spool, Place: []mailbox.Placement{p}})
	if err := literal.Accept(); err != nil {
		return err
	}
	if _, err := io.Copy(spool, literal); err != nil {
		s.dec.Fail(&wire.SyntaxError{Msg: err.Error()}) // the rest is discarded
		return err
	}
	if wrapped {
		s.dec.Expect(')')
	}
	return s.dec.Err()
}

// appendUTF8 reads the beginning of UTF8 (literal), if it is there.
func (s *session) appendUTF8() bool {
	if s.dec.Peek('{') || s.dec.Peek('~') {
		return false
	}
	if word := s.dec.Keyword(); !strings.EqualFold(word, "UTF8") {
		s.dec.Failf("expected the message as a literal")
	}
	s.dec.SP()
	return s.dec.Expect('(')
}

func (s *session) mayReceive(u *upload, name string, literal *wire.Literal) error {
	store := s.srv.opts.Store
	f, err := store.FolderNamed(s.account.ID, name)
	switch {
	case errors.Is(err, mailbox.ErrNotFound):
		return no("TRYCREATE", "%v", err)
	case err != nil:
		return err
	case u.refused != nil:
		return u.refused
	case literal.Size > store.MaxMessage():
		return no("TOOBIG", "a message may have %d octets", store.MaxMessage())
	case literal.Size == 0:
		return no("", "a message of no octets")
	case len(u.all) == maxAppend || u.size+literal.Size > maxAppendSizes*store.MaxMessage():
		return no("LIMIT", "too many messages in one command")
	}
	u.folder = f.ID
	return nil
}
