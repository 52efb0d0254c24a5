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
// An address that another forwarder has rewritten does not grow with each of us: it
// becomes one that names the first of them and keeps what he wrote, whose proof
// and day he alone can tell. A notification goes from us to him at once, whoever
// was in between:
//
//	SRS0=his=day=sender.example=joe@first.example
//	SRS1=proof=first.example==his=day=sender.example=joe@ours.example
//
// There is no RFC. The form is that of Mail::SRS 0.31, its authors' own program, with
// the guarded scheme (perldoc Mail::SRS, Mail::SRS::Guarded), which all others follow:
// the separator is "=", but behind the tag others may write "+" or "-", which is kept
// behind SRS1; the day is two characters of base32 (RFC 4648 section 6), the days since
// 1970 modulo 1024, and good for 21 days; case counts nowhere, as some hosts change it
// on the way. What a proof is made of is everybody's own affair: theirs are four
// characters of base64, which lose a bit each where case is lost, ours six of base32.
// A local part may get longer than the 64 octets of RFC 5321 4.5.3.1.1; the scheme has
// no other way, and nearly nobody minds.
const (
	srsFirst = "SRS0"
	srsLater = "SRS1"
	srsDays  = 21   // in which a notification may come
	srsCycle = 1024 // days until the two characters of the day come again
	srsProof = 6    // characters: 30 bits, to be guessed over SMTP alone

	// maxRewritten bounds the path in octets (RFC 5321 4.5.3.1.3, without its
	// brackets). One that would be longer is the null one, and nobody is told.
	maxRewritten = 254
)

var srsAlphabet = base32.StdEncoding.WithPadding(base32.NoPadding)

// srs rewrites with a key.
type srs []byte

// isSRS says whether a path may be one that we rewrote.
func isSRS(p smtp.Path) bool {
	return p.Domain != "" && (tagged(p.Local, srsFirst) || tagged(p.Local, srsLater)) && p.Local[len(srsFirst)] == '='
}

// tagged says whether a local part begins with a tag of the scheme and one of its
// separators.
func tagged(local, tag string) bool {
	n := len(tag)
	return len(local) > n+1 && strings.EqualFold(local[:n], tag) && strings.IndexByte("=+-", local[n]) >= 0
}

// firstHop gives the path of the forwarder who was the first to rewrite, if p was
// rewritten.
func firstHop(p smtp.Path) (smtp.Path, bool) {
	if tagged(p.Local, srsFirst) {
		return p, p.Domain != ""
	}
	if !tagged(p.Local, srsLater) {
		return smtp.Path{}, false
	}
	_, rest, _ := strings.Cut(p.Local[len(srsLater)+1:], "=")
	host, kept, _ := strings.Cut(rest, "=")
	first := smtp.Path{Local: srsFirst + kept, Domain: host}
	return first, smtp.ValidDomain(host) && tagged(first.Local, srsFirst)
}

// rewrite gives the reverse-path in a domain of ours that stands for from. The null
// path stands for itself, and so does one of our own that has come back, and any of the
// same domain, for which we may send already.
func (key srs) rewrite(from smtp.Path, domain string, now time.Time) smtp.Path {
	if from.Domain == "" {
		return smtp.Path{}
	}
	if strings.EqualFold(from.Domain, domain) {
		return from
	}
	p := smtp.Path{Domain: domain}
	if first, ok := firstHop(from); !ok {
		rest := day(now) + "=" + from.Domain + "=" + from.Local
		p.Local = srsFirst + "=" + key.proof(rest) + "=" + rest
	} else if _, ours := key.original(first, now); ours {
		p.Local = first.Local
	} else {
		rest := first.Domain + "=" + first.Local[len(srsFirst):]
		p.Local = srsLater + "=" + key.proof(srsLater+"="+rest) + "=" + rest
	}
	if len(p.String()) > maxRewritten {
		return smtp.Path{}
	}
	return p
}

// original gives the path that was rewritten, or that of the first forwarder; false:
// not by us, or not lately.
func (key srs) original(p smtp.Path, now time.Time) (smtp.Path, bool) {
	if !isSRS(p) {
		return smtp.Path{}, false
	}
	proof, rest, ok := strings.Cut(p.Local[len(srsFirst)+1:], "=")
	later := tagged(p.Local, srsLater)
	proved := rest
	if later {
		// No proof of the one kind is good for the other.
		proved = srsLater + "=" + rest
	}
	if !ok || !hmac.Equal([]byte(strings.ToUpper(proof)), []byte(key.proof(proved))) {
		return smtp.Path{}, false
	}
	if later {
		return firstHop(p)
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
