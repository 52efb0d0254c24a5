package inbound

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"time"

	"roost/mta/smtp"
)

// Mail that is forwarded elsewhere leaves with a reverse-path of ours, as SPF
// would deny that we send in the name of somebody else's domain. The Sender
// Rewriting Scheme puts the old address into the new one, with the day and a
// proof that we made it, so that notifications find their way back:
//
//	SRS0=proof=day=sender.example=joe@ours.example
//
// The scheme's own reader ignores case, as some hosts change it on the way.
const (
	srsPrefix = "SRS0="
	srsDays   = 21   // in which a notification may come
	srsCycle  = 1024 // days until the two characters of the day come again
	srsProof  = 6    // characters: 30 bits, to be guessed over SMTP alone

	// maxRewritten bounds the path in octets (RFC 5321 4.5.3.1.3, without its
	// brackets). One that would be longer is the null one, and nobody is told.
	maxRewritten = 254
)

var srsAlphabet = base32.StdEncoding.WithPadding(base32.NoPadding)

// srs rewrites with a key.
type srs []byte

func isSRS(p smtp.Path) bool {
	return p.Domain != "" && len(p.Local) > len(srsPrefix) && strings.EqualFold(p.Local[:len(srsPrefix)], srsPrefix)
}

// rewrite gives the reverse-path in a domain of ours that stands for from. The null
// path stands for itself.
func (key srs) rewrite(from smtp.Path, domain string, now time.Time) smtp.Path {
	if from.Domain == "" {
		return smtp.Path{}
	}
	rest := day(now) + "=" + from.Domain + "=" + from.Local
	p := smtp.Path{Local: srsPrefix + key.proof(rest) + "=" + rest, Domain: domain}
	if len(p.String()) > maxRewritten {
		return smtp.Path{}
	}
	return p
}

// original gives the path that was rewritten; false: not by us, or not lately.
func (key srs) original(p smtp.Path, now time.Time) (smtp.Path, bool) {
	proof, rest, ok := strings.Cut(p.Local[len(srsPrefix):], "=")
	if !ok || !hmac.Equal([]byte(strings.ToUpper(proof)), []byte(key.proof(rest))) {
		return smtp.Path{}, false
	}
	stamp, address, _ := strings.Cut(rest, "=")
	domain, local, ok := strings.Cut(address, "=")
	for age := range srsDays + 1 {
		if strings.EqualFold(stamp, day(now.AddDate(0, 0, -age))) {
			return smtp.Path{Local: local, Domain: domain}, ok
		}
	}
	return smtp.Path{}, false
}

func (key srs) proof(rest string) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(strings.ToLower(rest)))
	return srsAlphabet.EncodeToString(m.Sum(nil))[:srsProof]
}

// day is a date as two characters.
func day(t time.Time) string {
	const characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	n := t.Unix() / (24 * 60 * 60) % srsCycle
	return string([]byte{characters[n/32], characters[n%32]})
}
