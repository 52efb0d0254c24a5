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

// appending brings APPEND (RFC 9051 section 6.3.12), with the UTF8 form of
// RFC 6855 section 4.
func appending() extension {
	return extension{commands: []command{{name: "APPEND", in: loggedIn, run: runAppend}}}
}

// runAppend streams the message into a spool. What can be refused is refused
// before the client sends the message, if it waits to be asked.
func runAppend(ctx context.Context, s *session, _ *call) error {
	p := mailbox.Placement{Account: s.account.ID}
	s.dec.SP()
	name := s.mailboxName()
	s.dec.SP()
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
		p.Folder, err = s.appendTarget(name, literal)
	}
	if err != nil {
		literal.Refuse(&wire.SyntaxError{Msg: err.Error()})
		return err
	}

	spool := s.srv.opts.Store.NewSpool(literal.Size)
	defer spool.Close()
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
	if err := s.dec.EndLine(); err != nil {
		return err
	}
	done, err := s.srv.opts.Store.Accept(ctx, mailbox.Intake{Body: spool, Place: []mailbox.Placement{p}})
	if errors.Is(err, mailbox.ErrNotFound) {
		return no("TRYCREATE", "%v", err)
	}
	if err != nil {
		return err
	}
	placed := done.Placed[0]
	return ok("APPENDUID "+decimal(placed.UIDValidity)+" "+decimal(placed.UID), "APPEND completed")
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

func (s *session) appendTarget(name string, literal *wire.Literal) (mailbox.FolderID, error) {
	store := s.srv.opts.Store
	f, err := store.FolderNamed(s.account.ID, name)
	switch {
	case errors.Is(err, mailbox.ErrNotFound):
		return 0, no("TRYCREATE", "%v", err)
	case err != nil:
		return 0, err
	case literal.Size > store.MaxMessage():
		return 0, no("TOOBIG", "a message may have %d octets", store.MaxMessage())
	case literal.Size == 0:
		return 0, no("", "a message of no octets")
	}
	return f.ID, nil
}
