package msgauth

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"roost/mailbox/message"
	"roost/mta/dns"

	"github.com/emersion/go-msgauth/dkim"
)

// Limits of what is verified for one message. go-msgauth's time grows with
// the square of the lines of a field and of the empty lines in a row in the
// body, which it also keeps in memory for each signature, and with the product
// of the fields and the names that are signed.
const (
	maxSignatures   = 10
	maxSignedNames  = 200       // in h= of one signature
	maxSignedFields = 1000      // that any signature names
	maxSignedOctets = 256 << 10 // of those fields
	maxFieldLines   = 2000
	maxHashed       = 256 << 20 // octets of body, once for each signature
	maxBlank        = 256 << 10 // octets of line ends in a row, white space not counted
)

// verification is the work on the signatures of one message.
type verification struct {
	header message.Header
	mail   Mail
	list   []Signature
	keys   map[string]key // by keyName
}

// key is what the look-up of a key gave.
type key struct {
	records []string
	err     error
}

// verifyDKIM verifies the topmost signatures and counts the others. Keys are
// looked up as long as lookups lasts.
func verifyDKIM(ctx, lookups context.Context, r *dns.Resolver, header message.Header, m Mail) (list []Signature, unread int) {
	v := &verification{header: header, mail: m}
	unread = v.collect()
	if len(v.list) == 0 {
		return nil, 0
	}
	if !wellFormed(header, m.Size) {
		for i := range v.list {
			v.list[i].decide(PermError, "the header of the message is malformed")
		}
		return v.list, unread
	}
	v.lookUp(lookups, r)
	v.verify(ctx)
	for i := range v.list {
		// Mail that is signed to try a key out is to be taken as unsigned.
		if s := &v.list[i]; s.Testing && s.Result == Pass {
			s.Result, s.Reason = Neutral, "it is valid, but its key is being tested (t=y)"
		}
	}
	return v.list, unread
}

// collect reads the signatures that will be looked at.
func (v *verification) collect() (unread int) {
	limit := maxSignatures
	if v.mail.Size > 0 {
		limit = int(max(1, min(maxSignatures, maxHashed/v.mail.Size)))
	}
	index := -1
	for f := range v.header.Fields() {
		index++
		switch {
		case !strings.EqualFold(f.Name(), "DKIM-Signature"):
		case len(v.list) == limit:
			unread++
		default:
			v.list = append(v.list, readSignature(f, index))
		}
	}
	return unread
}

// lookUp looks all keys up at once and decides on what they show.
func (v *verification) lookUp(ctx context.Context, r *dns.Resolver) {
	found := map[string]*key{}
	var wait sync.WaitGroup
	for _, s := range v.list {
		name := s.keyName()
		if s.decided || found[name] != nil {
			continue
		}
		k := new(key)
		found[name] = k
		wait.Go(func() {
			// RFC 8616 section 4 has U-labels in d= and s=.
			ascii, _ := domainName(name)
			a, err := r.TXT(ctx, ascii)
			*k = key{keyRecords(a.Records), err}
		})
	}
	wait.Wait()
	v.keys = map[string]key{}
	for name, k := range found {
		v.keys[name] = *k
	}
	for i := range v.list {
		s := &v.list[i]
		if s.decided {
			continue
		}
		switch k := v.keys[s.keyName()]; {
		case errors.Is(k.err, dns.ErrNotFound) || k.err == nil && len(k.records) == 0:
			s.decide(PermError, "no key at "+s.keyName())
		case k.err != nil:
			s.decide(TempError, trouble(k.err))
		case len(k.records) == 1:
			if s.judgeKey(k.records[0]); s.decided {
				delete(v.keys, s.keyName())
			}
		}
	}
}

// keyRecords leaves out texts that are no keys, which a wildcard may have
// put beside one.
func keyRecords(texts []string) []string {
	return slices.DeleteFunc(texts, func(s string) bool {
		tags, _ := tagList(s)
		_, ok := tags["p"]
		return !ok
	})
}

// verify has the library verify what is not decided yet.
func (v *verification) verify(ctx context.Context) {
	if !slices.ContainsFunc(v.list, func(s Signature) bool { return !s.decided }) {
		return
	}
	header, shown, ok := v.signedHeader()
	if !ok {
		for i := range v.list {
			if !v.list[i].decided {
				v.list[i].decide(PermError, "it signs more of the header than is looked at")
			}
		}
		return
	}
	start := int64(len(v.header.Raw()))
	body := &bodyReader{ctx: ctx, r: io.NewSectionReader(v.mail.Message, start, v.mail.Size-start)}
	results, err := dkim.VerifyWithOptions(io.MultiReader(bytes.NewReader(header), body), &dkim.VerifyOptions{
		MaxVerifications: maxSignatures,
		LookupTXT: func(name string) ([]string, error) {
			k := v.keys[name]
			return k.records, k.err
		},
	})
	for i, s := range shown {
		switch {
		case s.decided:
		case body.err == errBlank:
			s.decide(PermError, errBlank.Error())
		case body.err != nil:
			s.decide(TempError, "the time is up")
		case err != nil || len(results) != len(shown):
			s.decide(PermError, "it could not be verified")
		case results[i].Err == nil:
			s.decide(Pass, "")
		case dkim.IsTempFail(results[i].Err):
			s.decide(TempError, libraryReason(results[i].Err))
		case dkim.IsPermFail(results[i].Err):
			s.decide(PermError, libraryReason(results[i].Err))
		default:
			s.decide(Fail, libraryReason(results[i].Err))
		}
	}
}

// libraryReason takes the library's name out of its words.
func libraryReason(err error) string {
	return strings.ReplaceAll(err.Error(), "dkim: ", "")
}

// signedHeader is the part of the header that the signatures are about, in its
// order: the signatures themselves, which are shown, and every field that one
// of them names. It is false where that is more than may be.
func (v *verification) signedHeader() (header []byte, shown []*Signature, ok bool) {
	wanted := map[string]bool{}
	ours := map[int]bool{}
	for i := range v.list {
		s := &v.list[i]
		if len(s.names) > maxSignedNames {
			continue
		}
		shown = append(shown, s)
		ours[s.index] = true
		for _, name := range s.names {
			wanted[name] = true
		}
	}
	index, count := -1, 0
	for f := range v.header.Fields() {
		index++
		name := strings.ToLower(f.Name())
		if !ours[index] && (name == "dkim-signature" || !wanted[name]) {
			continue
		}
		header = append(header, f.Raw...)
		if count++; count > maxSignedFields || len(header) > maxSignedOctets || bytes.Count(f.Raw, []byte("\n")) > maxFieldLines {
			return nil, nil, false
		}
	}
	return append(header, "\r\n"...), shown, true
}

// errBlank: a body that there is no reason to write.
var errBlank = errors.New("the message has more empty lines than are looked at")

// bodyReader ends a body early when its context ends, its reader fails or it is
// not fit for the library, and keeps why: the library leaves goroutines behind
// when a reader fails.
type bodyReader struct {
	ctx   context.Context
	r     io.Reader
	blank int // line ends since there was a word
	err   error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	if b.err == nil {
		b.err = b.ctx.Err()
	}
	if b.err != nil {
		return 0, io.EOF
	}
	n, err := b.r.Read(p)
	for _, c := range p[:n] {
		switch c {
		case '\r', '\n':
			b.blank++
		case ' ', '\t':
		default:
			b.blank = 0
		}
		if b.blank > maxBlank {
			b.err = errBlank
			return 0, io.EOF
		}
	}
	if err != nil && err != io.EOF {
		b.err, err = err, io.EOF
	}
	return n, err
}
