package msgauth

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"strings"

	"roost/mailbox/message"
)

// Signature is one DKIM-Signature field and what became of it. All but Result
// and Reason is as its author wrote it, and may be anything.
type Signature struct {
	Result    Result // None, Pass, Fail, Policy, Neutral, TempError or PermError
	Domain    string // d=, who vouches
	Selector  string // s=
	Algorithm string // a=
	Start     string // the first eight characters of b=, to tell signatures apart (RFC 6008)
	Testing   bool   // the key is marked as being tested (RFC 6376 section 3.6.1)
	Reason    string // why it is not Pass

	identity string   // i=
	names    []string // h=, lower case
	index    int      // among the fields of the header
	decided  bool     // without verification
}

// keyName is where the key of a signature is published (RFC 6376 section
// 3.6.2.1).
func (s *Signature) keyName() string { return s.Selector + "._domainkey." + s.Domain }

// decide settles what becomes of a signature.
func (s *Signature) decide(r Result, reason string) {
	s.Result, s.Reason, s.decided = r, reason, true
}

// readSignature reads a field, and refuses what needs no key to be refused.
func readSignature(f message.Field, index int) Signature {
	s := Signature{index: index}
	tags, ok := tagList(f.Value())
	s.Domain, s.Selector, s.Algorithm = squeeze(tags["d"]), squeeze(tags["s"]), squeeze(tags["a"])
	s.identity = squeeze(tags["i"])
	b := squeeze(tags["b"])
	s.Start = b[:min(len(b), 8)]
	for name := range strings.SplitSeq(tags["h"], ":") {
		s.names = append(s.names, strings.ToLower(squeeze(name)))
	}
	_, length := tags["l"]
	_, domain := domainName(s.Domain)
	_, selector := domainName(s.Selector)
	switch {
	case !ok:
		s.decide(PermError, "it is no list of tags")
	case !domain || !selector:
		s.decide(PermError, "it names no domain or no selector")
	case length:
		// Whoever holds such a message may add text to it that looks signed
		// (RFC 6376 section 8.2).
		s.decide(Policy, "it leaves the end of the body open (l=)")
	case s.Algorithm == "rsa-sha1":
		s.decide(Policy, "SHA-1 is too weak") // RFC 8301 section 3.1
	case s.Algorithm != "rsa-sha256" && s.Algorithm != "ed25519-sha256":
		s.decide(PermError, "its algorithm is not known")
	case len(s.names) > maxSignedNames:
		s.decide(PermError, "it signs too many fields")
	}
	return s
}

// judgeKey decides on a signature by its key record where that is enough, and
// leaves what is wrong with a record's syntax to the library.
func (s *Signature) judgeKey(record string) {
	tags, ok := tagList(record)
	if !ok {
		return
	}
	for flag := range strings.SplitSeq(tags["t"], ":") {
		switch squeeze(flag) {
		case "y":
			s.Testing = true
		case "s":
			if at := strings.LastIndexByte(s.identity, '@'); s.identity != "" && !strings.EqualFold(s.identity[at+1:], s.Domain) {
				s.decide(PermError, "its key is not for subdomains (t=s)")
			}
		}
	}
	switch bits := rsaBits(tags); {
	case bits == 0:
	case bits < minVerifyBits:
		s.decide(Policy, "its RSA key has less than 1024 bits") // RFC 8301 section 3.2
	case bits > maxVerifyBits:
		s.decide(Policy, "its RSA key has more than 8192 bits")
	}
}

// Verifiers must take RSA keys from 1024 bits on, and know those of 4096 (RFC
// 8301 section 3.2). Above 8192 they cost more time than a stranger may have.
const (
	minVerifyBits = 1024
	maxVerifyBits = 8192
)

// rsaBits is the size of the RSA key in a record, or 0.
func rsaBits(tags map[string]string) int {
	if k := squeeze(tags["k"]); k != "" && k != "rsa" {
		return 0
	}
	der, err := base64.StdEncoding.DecodeString(squeeze(tags["p"]))
	if err != nil {
		return 0
	}
	if any, err := x509.ParsePKIXPublicKey(der); err == nil {
		if key, ok := any.(*rsa.PublicKey); ok {
			return key.N.BitLen()
		}
		return 0
	}
	if key, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return key.N.BitLen()
	}
	return 0
}

// tagList reads a list of tags (RFC 6376 section 3.2). It is false where a
// piece is no tag, or a tag is there twice; the tags before that are given.
func tagList(s string) (map[string]string, bool) {
	tags := map[string]string{}
	for piece := range strings.SplitSeq(s, ";") {
		name, value, ok := strings.Cut(piece, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok {
			if name == "" {
				continue
			}
			return tags, false
		}
		if _, twice := tags[name]; twice {
			return tags, false
		}
		tags[name] = value
	}
	return tags, true
}

// squeeze takes white space out of a tag's value, as folding puts it in.
func squeeze(s string) string {
	if !strings.ContainsAny(s, " \t\r\n") {
		return s
	}
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune(" \t\r\n", c) {
			return -1
		}
		return c
	}, s)
}

// wellFormed says whether every line of a header belongs to a field and ends
// in CRLF, and an empty line ends it all. Verifiers and readers take other
// ones for different messages (RFC 6376 section 8.15). size is the message's.
func wellFormed(h message.Header, size int64) bool {
	raw := h.Raw()
	if h.Truncated() || h.Len() == 0 {
		return false
	}
	fields := 0
	for f := range h.Fields() {
		fields += len(f.Raw)
	}
	end := raw[fields:]
	if len(end) == 0 {
		// No body at all is no fault.
		if int64(len(raw)) != size {
			return false
		}
	} else if string(end) != "\r\n" {
		return false
	}
	ends := bytes.Count(raw, []byte("\r\n"))
	return bytes.HasSuffix(raw, []byte("\r\n")) && bytes.IndexByte(raw, 0) < 0 &&
		bytes.Count(raw, []byte{'\n'}) == ends && bytes.Count(raw, []byte{'\r'}) == ends
}
