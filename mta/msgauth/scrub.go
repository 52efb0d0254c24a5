package msgauth

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// Scrubber reads a message and leaves out of its header every
// Authentication-Results field that claims to be ours, and every VerdictField:
// only what we add ourselves may carry our name (RFC 8601 section 5). Everything else passes as
// it came, in bounded memory. Fields of other authors stay: they are no claim
// of ours, and may be signed.
type Scrubber struct {
	r       *bufio.Reader
	id      string
	removed int

	out   []byte // to be handed on
	held  []byte // a field of which it is not known yet whose it is
	look  int    // how long held must be to be looked at again
	state scrubState
	fresh bool // at the begin of a line
	body  bool
	err   error
}

// VerdictField is the name of the field in which Roost tells what it decided about
// a message and why.
const VerdictField = "Roost-Verdict"

type scrubState int

const (
	passing scrubState = iota
	holding
	dropping
)

// maxHeld bounds what a field may have before the name of its author.
const maxHeld = 16 << 10

// NewScrubber returns a Scrubber that reads r, in the name of authservID.
func NewScrubber(r io.Reader, authservID string) *Scrubber {
	return &Scrubber{r: bufio.NewReader(r), id: serviceName(authservID), fresh: true}
}

// Removed is how many fields were left out so far.
func (s *Scrubber) Removed() int { return s.removed }

// Read reads the message without the forged fields.
func (s *Scrubber) Read(p []byte) (int, error) {
	for len(s.out) == 0 && !s.body && s.err == nil {
		s.step()
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case len(s.out) > 0:
		n := copy(p, s.out)
		if s.out = s.out[n:]; len(s.out) == 0 {
			s.out = nil // it may lie in the reader's buffer
		}
		return n, nil
	case s.err != nil:
		return 0, s.err
	}
	return s.r.Read(p)
}

// step takes in a line of the header, or a piece of a long one. The piece is
// the reader's and lasts until the next step, which comes after all of out.
func (s *Scrubber) step() {
	piece, err := s.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		err = nil
	}
	starts := s.fresh && len(piece) > 0
	s.fresh = bytes.HasSuffix(piece, []byte{'\n'})
	switch {
	case starts && s.fresh && len(bytes.TrimRight(piece, "\r\n")) == 0:
		s.finish()
		s.state, s.body = passing, true
	case starts && piece[0] != ' ' && piece[0] != '\t':
		s.finish()
		s.state = passing
		if mayBeResults(piece) {
			s.state = holding
		} else if fieldName(piece) == strings.ToLower(VerdictField) {
			s.state = dropping
			s.removed++
		}
	}
	switch s.state {
	case passing:
		s.emit(piece)
	case holding:
		s.held = append(s.held, piece...)
		s.consider()
	}
	if err != nil {
		s.finish()
		s.err = err
	}
}

// emit hands a piece on. What is in out already is ours, not the reader's.
func (s *Scrubber) emit(b []byte) {
	if len(s.out) == 0 {
		s.out = b
	} else {
		s.out = append(s.out, b...)
	}
}

// consider decides on a held field as soon as its author is known. It looks
// again only when there is twice as much to see.
func (s *Scrubber) consider() {
	if len(s.held) < s.look {
		return
	}
	s.look = 2 * len(s.held)
	if name, known := resultsAuthor(s.held, false); known {
		s.settle(name)
	} else if len(s.held) > maxHeld {
		s.settle(s.id)
	}
}

// finish decides on a held field that has ended.
func (s *Scrubber) finish() {
	if s.state == holding {
		name, _ := resultsAuthor(s.held, true)
		s.settle(name)
	}
}

// settle lets a held field pass or drops it.
func (s *Scrubber) settle(name string) {
	if serviceName(name) == s.id {
		s.removed++
		s.state = dropping
	} else {
		s.out = append(s.out, s.held...)
		s.state = passing
	}
	s.held, s.look = nil, 0
}

const resultsField = "authentication-results"

// mayBeResults says whether a line begins an Authentication-Results field,
// white space before its colon not yet being read (RFC 5322 section 4.5).
func mayBeResults(line []byte) bool {
	n := len(resultsField)
	return len(line) > n && strings.EqualFold(string(line[:n]), resultsField) && strings.IndexByte(": \t", line[n]) >= 0
}

// resultsAuthor is the authserv-id of a field (RFC 8601 section 2.2): what
// comes first after comments, a token or quoted. It is not known while the
// field may go on, where ended is false. "" is a field without.
func resultsAuthor(field []byte, ended bool) (name string, known bool) {
	rest := bytes.TrimLeft(field[len(resultsField):], " \t")
	if len(rest) == 0 {
		return "", ended
	}
	if rest[0] != ':' {
		return "", true // no field at all
	}
	rest, known = skipComments(rest[1:], ended)
	if !known {
		return "", false
	}
	if len(rest) > 0 && rest[0] == '"' {
		return unquote(rest[1:], ended)
	}
	// Some readers stop at a "/", which RFC 5451 had a version behind.
	end := bytes.IndexFunc(rest, func(c rune) bool {
		return c <= ' ' || strings.ContainsRune(`()<>@,;:\"/[]?=`, c)
	})
	if end < 0 {
		return string(rest), ended
	}
	return string(rest[:end]), true
}

// skipComments skips white space and comments, which nest. Where it is not
// known what comes behind them, it is false.
func skipComments(b []byte, ended bool) ([]byte, bool) {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '(':
			depth++
		case depth == 0 && strings.IndexByte(" \t\r\n", c) < 0:
			return b[i:], true
		case c == ')':
			depth--
		case c == '\\':
			i++
		}
	}
	return nil, ended
}

func unquote(b []byte, ended bool) (string, bool) {
	var name []byte
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return string(name), true
		case c == '\r' || c == '\n': // folding
		case c == '\\' && i+1 < len(b):
			i++
			name = append(name, b[i])
		default:
			name = append(name, c)
		}
	}
	return string(name), ended
}

// serviceName brings an authserv-id into the form in which it is compared.
func serviceName(s string) string {
	s = strings.TrimSpace(s)
	if d, ok := domainName(s); ok {
		return d
	}
	return strings.ToLower(s)
}
