package smtp

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
)

// chunkReader reads a message that comes by BDAT (RFC 3030): octets that are
// counted, in one or more chunks, each with its own answer. It asks for the
// next chunk itself, in the midst of the session's Data, and holds the text to
// the same rules as a dataReader.
type chunkReader struct {
	c    *Conn
	do   func(verb, arg string) error // answers a command between two chunks
	left int64                        // octets of the chunk that are still to come
	last bool                         // it is the last chunk
	size int64
	line int
	cr   bool   // the octet before was a CR
	tail string // the end of a last line that came without one
	bad  error  // what the message is refused with
	err  error  // what it ended with; io.EOF after the last chunk

	// The command that gave up the message, to be done after it.
	verb, arg string
}

// errGivenUp ends a message by BDAT whose client thought better of it.
var errGivenUp = errors.New("smtp: the client gave up the message")

// doChunk takes a whole message, from its first BDAT on.
func (c *Conn) doChunk(ctx context.Context, arg string) error {
	left, last, err := parseChunk(arg)
	if err != nil {
		// How much follows is not known, and none of it may be a command.
		c.say(ReplyFor(err))
		return errClose
	}
	b := &chunkReader{c: c, left: left, last: last, do: func(verb, arg string) error { return c.do(ctx, verb, arg) }}
	if !c.mail || c.recipients == 0 {
		if err := b.discard(); err != nil {
			return err
		}
		if c.mail {
			return errNobody
		}
		return errSequence
	}
	c.chunks = true
	b.announce()
	c.begin(true)
	id, err := c.session.Data(ctx, b)
	if err == nil && b.err != io.EOF {
		err = errors.New("smtp: the session took a part of the message for all of it")
	}
	c.transcript.Add(FromClient, "("+strconv.FormatInt(b.size, 10)+" octets of message)")
	c.reset(ctx)
	switch {
	case errors.Is(b.err, errGivenUp):
		return c.do(ctx, b.verb, b.arg)
	case b.err != nil && b.err != io.EOF:
		return b.err
	case b.bad != nil:
		err = b.bad
	}
	if broke := b.discard(); broke != nil {
		return broke
	}
	if err != nil {
		return err
	}
	c.idling, c.offences = 0, 0
	return Reply{250, Enhanced{2, 0, 0}, id}
}

// parseChunk reads the argument of BDAT.
func parseChunk(arg string) (size int64, last bool, err error) {
	number, rest, more := strings.Cut(arg, " ")
	bad := Reply{501, Enhanced{5, 5, 4}, "Syntax: BDAT octets [LAST]"}
	if number == "" || len(number) > 18 {
		return 0, false, bad
	}
	for _, c := range []byte(number) {
		if c < '0' || c > '9' {
			return 0, false, bad
		}
		size = size*10 + int64(c-'0')
	}
	if more && !strings.EqualFold(strings.TrimSpace(rest), "LAST") {
		return 0, false, bad
	}
	return size, more, nil
}

// Read gives bytes of the message.
func (b *chunkReader) Read(p []byte) (int, error) {
	for {
		switch {
		case b.bad != nil:
			return 0, b.bad
		case b.err != nil:
			return 0, b.err
		case len(p) == 0:
			return 0, nil
		case b.left == 0 && b.last:
			return b.end(p)
		case b.left == 0:
			b.err = b.next()
		default:
			n, err := b.c.r.Read(p[:min(int64(len(p)), b.left)])
			b.left -= int64(n)
			b.check(p[:n])
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				b.err = broken(err)
			}
			if n > 0 && b.bad == nil {
				return n, b.err
			}
		}
	}
}

// end closes the last line, which DATA would have done.
func (b *chunkReader) end(p []byte) (int, error) {
	switch {
	case b.cr:
		b.bad = errBareEnding
		return 0, b.bad
	case b.line > 0:
		b.line, b.tail = 0, "\r\n"
	}
	n := copy(p, b.tail)
	if b.tail = b.tail[n:]; n == 0 {
		b.err = io.EOF
	}
	return n, b.err
}

// check holds octets to the rules of a message.
func (b *chunkReader) check(p []byte) {
	b.size += int64(len(p))
	for _, c := range p {
		b.line++
		switch {
		case (c == '\n') != b.cr:
			b.refuse(errBareEnding)
		case c == '\n':
			b.line = 0
		case b.line > maxTextLine-2 && c != '\r':
			b.refuse(errTextLine)
		}
		b.cr = c == '\r'
	}
}

// announce refuses a chunk that will be too much before it comes.
func (b *chunkReader) announce() {
	if b.left > b.c.server.opt.MaxSize()-b.size {
		b.refuse(errTooLarge)
	}
}

func (b *chunkReader) refuse(err error) {
	if b.bad == nil {
		b.bad = err
	}
}

// next answers for a chunk and reads commands up to the next one. Others that
// leave the message alone are answered; those that end it are kept for later.
func (b *chunkReader) next() error {
	c := b.c
	pace := c.paused()
	c.say(Reply{250, Enhanced{2, 0, 0}, strconv.FormatInt(b.size, 10) + " octets so far"})
	for {
		verb, arg, err := c.readCommand()
		switch {
		case err != nil:
		case verb == "BDAT":
			if b.left, b.last, err = parseChunk(arg); err != nil {
				c.say(ReplyFor(err))
				return errClose
			}
			if b.left == 0 && !b.last {
				if c.idling++; c.idling > maxIdling {
					c.say(errIdling)
					return errClose
				}
			}
			b.announce()
			c.resume(pace)
			return nil
		case verb == "RSET" && arg == "", verb == "EHLO", verb == "HELO", verb == "QUIT":
			b.verb, b.arg = verb, arg
			return errGivenUp
		default:
			err = b.do(verb, arg)
		}
		if err := c.answer(verb, err); err != nil {
			if errors.Is(err, errClose) || errors.Is(err, errBroken) {
				return err
			}
			return broken(err)
		}
	}
}

// discard reads the rest of a chunk of a message that is not taken (RFC 3030
// 4.1), if that is not too much. An error ends the connection.
func (b *chunkReader) discard() error {
	if b.left > 2*b.c.server.opt.MaxSize() {
		b.c.say(errTooLarge)
		return errClose
	}
	b.c.begin(true)
	for b.left > 0 {
		n, err := b.c.r.Discard(int(min(b.left, 32<<10)))
		b.left -= int64(n)
		if err != nil {
			return broken(err)
		}
	}
	return nil
}
