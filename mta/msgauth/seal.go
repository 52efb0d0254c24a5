package msgauth

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"slices"
	"strconv"
	"strings"
	"time"
)

// seal is a message in the canonical forms that all its signatures share: the
// body is read and hashed once, however many keys there are.
type seal struct {
	domain string
	list   []string // for h=
	fields []byte   // those that are signed, in canonical form and in the order of list
	body   []byte   // its hash
	time   int64
}

// sign gives the DKIM-Signature field for a key (RFC 6376 section 3.5).
func (s *seal) sign(selector string, key crypto.Signer) ([]byte, error) {
	name, opts := "rsa", crypto.SHA256
	if _, ok := key.(ed25519.PrivateKey); ok {
		name, opts = "ed25519", 0 // RFC 8463 section 3: the hash is what is signed
	}
	var b []byte
	b = append(b, "DKIM-Signature: v=1; a="+name+"-sha256; c=relaxed/relaxed;\r\n\td="+s.domain+"; s="+selector+"; t="...)
	b = strconv.AppendInt(b, s.time, 10)
	b = append(b, ";\r\n\th="...)
	b = appendFolded(b, strings.Join(s.list, ":"), ':')
	b = append(b, ";\r\n\tbh="...)
	b = base64.StdEncoding.AppendEncode(b, s.body)
	b = append(b, ";\r\n\tb="...)

	// Section 3.7: the field itself comes last, with an empty b= and no line end.
	h := sha256.New()
	h.Write(s.fields)
	h.Write(bytes.TrimSuffix(appendRelaxed(nil, b), []byte("\r\n")))
	signature, err := key.Sign(rand.Reader, h.Sum(nil), opts)
	if err != nil {
		return nil, err
	}
	b = appendFolded(b, base64.StdEncoding.EncodeToString(signature), 0)
	return append(b, "\r\n"...), nil
}

// foldAt is how long a line may be before it is folded.
const foldAt = 72

// appendFolded appends a value and folds it, behind a separator if there is one.
func appendFolded(b []byte, value string, separator byte) []byte {
	for len(value) > foldAt {
		at := foldAt
		if separator != 0 {
			if at = strings.LastIndexByte(value[:foldAt], separator) + 1; at == 0 {
				break
			}
		}
		b = append(append(b, value[:at]...), "\r\n\t "...)
		value = value[at:]
	}
	return append(b, value...)
}

// appendRelaxed appends a field in the relaxed form (RFC 6376 section 3.4.2).
func appendRelaxed(b, field []byte) []byte {
	name, value, _ := bytes.Cut(field, []byte(":"))
	b = append(b, bytes.ToLower(bytes.TrimRight(name, " \t"))...)
	b = append(b, ':')
	start, space := len(b), false
	for _, c := range value {
		switch c {
		case ' ', '\t', '\r', '\n':
			space = true
		default:
			if space && len(b) > start {
				b = append(b, ' ')
			}
			b, space = append(b, c), false
		}
	}
	return append(b, "\r\n"...)
}

// picked gives the fields that a list names, each one time for each time it is
// there, from the last to the first (RFC 6376 section 5.4.2), in the relaxed form.
// The header has every field on one line.
func picked(header []byte, list []string) []byte {
	at := map[string][][]byte{}
	for line := range bytes.Lines(header) {
		if name := fieldName(line); name != "" {
			at[name] = append(at[name], line)
		}
	}
	out := make([]byte, 0, len(header))
	for _, name := range list {
		name = strings.ToLower(name)
		if have := at[name]; len(have) > 0 {
			out = appendRelaxed(out, have[len(have)-1])
			at[name] = have[:len(have)-1]
		}
	}
	return out
}

// relaxedBody hashes a body in the relaxed form (RFC 6376 section 3.4.4), in
// memory that does not grow with it.
type relaxedBody struct {
	hash  hash.Hash
	out   []byte
	lines int  // line ends that count only if something follows
	space bool // white space that counts only if something follows on its line
	some  bool // something was written
	cr    bool // the last octet was a CR
}

func newRelaxedBody() *relaxedBody { return &relaxedBody{hash: sha256.New()} }

func (r *relaxedBody) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		c := rest[0]
		if c == '\n' {
			r.lines++
			r.space, r.cr, rest = false, false, rest[1:]
			continue
		}
		if r.cr { // not at the end of a line: an octet like others
			r.put('\r')
			r.cr = false
		}
		switch c {
		case '\r':
			r.cr, rest = true, rest[1:]
			continue
		case ' ', '\t':
			r.space, rest = true, rest[1:]
			continue
		}
		n := slices.IndexFunc(rest, func(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' })
		if n < 0 {
			n = len(rest)
		}
		r.put(rest[:n]...)
		rest = rest[n:]
	}
	return len(p), nil
}

func (r *relaxedBody) put(text ...byte) {
	for ; r.lines > 0; r.lines-- {
		r.append('\r', '\n')
	}
	if r.space {
		r.append(' ')
	}
	r.append(text...)
	r.space, r.some = false, true
}

func (r *relaxedBody) append(b ...byte) {
	if len(r.out)+len(b) > 4096 {
		r.hash.Write(r.out)
		r.out = r.out[:0]
	}
	r.out = append(r.out, b...)
}

// sum ends the body. One that is not empty ends with CRLF.
func (r *relaxedBody) sum() []byte {
	if r.cr {
		r.put('\r')
	}
	if r.some {
		r.append('\r', '\n')
	}
	r.hash.Write(r.out)
	return r.hash.Sum(nil)
}

func newSeal(domain string, list []string, header, body []byte) *seal {
	return &seal{domain, list, picked(header, list), body, time.Now().Unix()}
}
