package imapd

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"roost/imapd/wire"
	"roost/mailbox"
)

// A response is how a command ends, when not with a plain OK. Commands return
// it as their error, OK too where it carries a response code.
type response struct {
	kind string // OK, NO, BAD or BYE
	code string // response code without brackets (RFC 9051 section 7.1, RFC 5530)
	text string
}

func (r *response) Error() string {
	if r.code == "" {
		return r.kind + " " + r.text
	}
	return r.kind + " [" + r.code + "] " + r.text
}

func ok(code, text string) error { return &response{"OK", code, text} }

func no(code, format string, args ...any) error {
	return &response{"NO", code, fmt.Sprintf(format, args...)}
}

func bad(format string, args ...any) error {
	return &response{"BAD", "", fmt.Sprintf(format, args...)}
}

// bye ends the connection.
func bye(code, format string, args ...any) error {
	return &response{"BYE", code, fmt.Sprintf(format, args...)}
}

// respond turns any error of a command into its response. Every error that is
// not the client's fault is logged here and nowhere else.
func (s *session) respond(c *call, err error) *response {
	var r *response
	var syntax *wire.SyntaxError
	switch {
	case err == nil:
		return &response{"OK", "", c.name + " completed"}
	case errors.As(err, &r):
		return r
	case errors.As(err, &syntax):
		return &response{"BAD", "", syntax.Msg}
	case errors.Is(err, wire.ErrTooBig):
		return &response{"BAD", "TOOBIG", err.Error()} // RFC 7888 section 4
	case errors.Is(err, wire.ErrOutOfStep):
		return &response{"BYE", "", err.Error()}
	}
	for _, known := range []struct {
		err  error
		code string
	}{
		{mailbox.ErrNotFound, "NONEXISTENT"},
		{mailbox.ErrExists, "ALREADYEXISTS"},
		{mailbox.ErrInvalid, "CANNOT"},
		{mailbox.ErrOverQuota, "OVERQUOTA"},
		{mailbox.ErrTooBig, "TOOBIG"},
		{mailbox.ErrLimit, "LIMIT"},
	} {
		if errors.Is(err, known.err) {
			return &response{"NO", known.code, err.Error()}
		}
	}
	s.log.Error("IMAP command failed", "command", c.name, "error", err)
	switch {
	case errors.Is(err, mailbox.ErrFull), errors.Is(err, mailbox.ErrBroken), errors.Is(err, mailbox.ErrClosed):
		return &response{"NO", "UNAVAILABLE", "the server cannot do this at the moment"}
	case errors.Is(err, mailbox.ErrCorrupt):
		return &response{"NO", "CORRUPTION", "the server found damaged data; its owner finds more in the log"}
	}
	return &response{"NO", "SERVERBUG", "the server failed; its owner finds more in the log"}
}

// unlessGone passes over that a mailbox is gone.
func unlessGone(err error) error {
	if errors.Is(err, mailbox.ErrNotFound) {
		return nil
	}
	return err
}

// writeResponse writes a tagged response, or with tag "*" an untagged one.
func (s *session) writeResponse(tag string, r *response) {
	s.enc.Raw(tag).Raw(" ").Raw(r.kind).Raw(" ")
	if r.code != "" {
		s.enc.Raw("[").Raw(r.code).Raw("] ")
	}
	s.enc.Raw(plain(r.text)).Raw("\r\n")
}

// decimal renders a number of a response code.
func decimal[N ~int | ~int64 | ~uint32 | ~uint64](n N) string {
	return strconv.FormatUint(uint64(n), 10)
}

// plain makes s fit for a line of text: clients of IMAP4rev1 expect ASCII
// there, and what a client sent must not begin a line of its own.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if len(s) > 400 {
		s = s[:400]
	}
	return s
}
