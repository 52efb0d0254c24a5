package smtp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Enhanced is an enhanced status code (RFC 3463): class, subject, detail. The
// zero value means that there is none.
type Enhanced [3]int

// String gives the dotted form, such as "5.1.1", or "" for none.
func (e Enhanced) String() string {
	if e == (Enhanced{}) {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", e[0], e[1], e[2])
}

// Reply is what a server answers (RFC 5321 4.2), and an error, so that a
// Session can return it. Text may hold several lines, separated by "\n".
type Reply struct {
	Code     int
	Enhanced Enhanced
	Text     string
}

// Error gives the reply in one line, as a log or a person wants it.
func (r Reply) Error() string {
	text := strings.ReplaceAll(r.Text, "\n", " ")
	if e := r.Enhanced.String(); e != "" {
		return strings.TrimRight(strconv.Itoa(r.Code)+" "+e+" "+text, " ")
	}
	return strings.TrimRight(strconv.Itoa(r.Code)+" "+text, " ")
}

// Positive says whether the reply is a 2xx or 3xx one.
func (r Reply) Positive() bool { return r.Code >= 200 && r.Code < 400 }

// Temporary says whether the reply is a 4xx one: the same may work later.
func (r Reply) Temporary() bool { return r.Code >= 400 && r.Code < 500 }

// Permanent says whether the reply is a 5xx one.
func (r Reply) Permanent() bool { return r.Code >= 500 && r.Code < 600 }

// ReplyFor gives the reply that an error is told with: the Reply in its chain,
// or 451 4.3.0 for any other error, whose text stays in the log.
func ReplyFor(err error) Reply {
	var r Reply
	if errors.As(err, &r) {
		return r
	}
	return Reply{451, Enhanced{4, 3, 0}, "A problem on this side; try again later"}
}

// append renders the reply as it goes over the wire, with the enhanced code on
// every line (RFC 2034 4).
func (r Reply) append(b []byte) []byte {
	enhanced := r.Enhanced.String()
	text := strings.TrimRight(r.Text, "\n")
	for more := true; more; {
		var line string
		line, text, more = strings.Cut(text, "\n")
		b = strconv.AppendInt(b, int64(r.Code), 10)
		sep := byte(' ')
		if more {
			sep = '-'
		}
		b = append(b, sep)
		if enhanced != "" {
			b = append(b, enhanced...)
			b = append(b, ' ')
		}
		b = append(b, printable(line, maxReplyText)...)
		b = append(b, '\r', '\n')
	}
	return b
}

// maxReplyText keeps a reply line of ours within the 512 octets of RFC 5321
// 4.5.3.1.5.
const maxReplyText = 480

// printable makes text from a stranger fit for one line: control characters
// and invalid UTF-8 become "?", and it is cut at limit bytes.
func printable(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
	}
	s = strings.ToValidUTF8(s, "?")
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

// parseEnhanced cuts an enhanced status code off the front of a reply's text,
// where it has one whose class fits the code.
func parseEnhanced(code int, text string) (Enhanced, string) {
	word, rest, _ := strings.Cut(text, " ")
	parts := strings.Split(word, ".")
	if len(parts) != 3 {
		return Enhanced{}, text
	}
	var e Enhanced
	for i, p := range parts {
		if len(p) == 0 || len(p) > 3 {
			return Enhanced{}, text
		}
		for _, c := range []byte(p) {
			if c < '0' || c > '9' {
				return Enhanced{}, text
			}
			e[i] = e[i]*10 + int(c-'0')
		}
	}
	if e[0] != code/100 {
		return Enhanced{}, text
	}
	return e, rest
}

// Limits of a reply. RFC 5321 4.5.3.1.5 has 512 octets a line; servers that
// send a page with every refusal are the reason for more.
const (
	maxReplyLine  = 4096
	maxReplyLines = 200
)

// readReply reads a reply of one or more lines. Lines that end in LF alone are
// taken: there is nothing to smuggle in this direction.
func readReply(r *bufio.Reader, t *Transcript) (Reply, error) {
	var reply Reply
	var text []string
	for range maxReplyLines {
		slice, err := r.ReadSlice('\n')
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if errors.Is(err, bufio.ErrBufferFull) || len(slice) > maxReplyLine {
			return Reply{}, fmt.Errorf("%w: a line without an end", ErrProtocol)
		}
		if err != nil {
			return Reply{}, err
		}
		line := strings.TrimRight(string(slice), "\r\n")
		t.Add(FromServer, line)
		code, sep, rest, ok := splitReply(line)
		if !ok || reply.Code != 0 && reply.Code != code {
			return Reply{}, fmt.Errorf("%w: %q", ErrProtocol, printable(line, 80))
		}
		enhanced, rest := parseEnhanced(code, rest)
		if reply.Code == 0 {
			reply.Code, reply.Enhanced = code, enhanced
		}
		text = append(text, printable(rest, maxReplyLine))
		if sep == ' ' {
			reply.Text = strings.Join(text, "\n")
			return reply, nil
		}
	}
	return Reply{}, fmt.Errorf("%w: a reply without an end", ErrProtocol)
}

func splitReply(line string) (code int, sep byte, text string, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' {
		return 0, 0, "", false
	}
	for _, c := range []byte(line[:3]) {
		if c < '0' || c > '9' {
			return 0, 0, "", false
		}
		code = code*10 + int(c-'0')
	}
	if len(line) == 3 {
		return code, ' ', "", true
	}
	sep = line[3]
	return code, sep, line[4:], sep == ' ' || sep == '-'
}
