package records

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Policy is the MTA-STS policy of a domain (RFC 8461 section 3.2), served at
// https://mta-sts.DOMAIN/.well-known/mta-sts.txt.
type Policy struct {
	Mode   string // "enforce", "testing" or "none"
	MX     []string
	MaxAge int // seconds
}

// NewPolicy is the policy for domains whose MX is host. It is in testing mode: senders
// report a certificate that they cannot verify, and deliver all the same.
func NewPolicy(host string) Policy {
	return Policy{Mode: "testing", MX: []string{host}, MaxAge: 7 * 24 * 3600}
}

// String is the policy as served: lines that end in CRLF.
func (p Policy) String() string {
	s := fmt.Sprintf("version: STSv1\r\nmode: %s\r\n", p.Mode)
	for _, mx := range p.MX {
		s += fmt.Sprintf("mx: %s\r\n", mx)
	}
	return s + fmt.Sprintf("max_age: %d\r\n", p.MaxAge)
}

// ID is the id of the policy's TXT record (RFC 8461 section 3.1, at most 32 letters and
// digits). It is made from the policy, so that the two cannot get out of step.
func (p Policy) ID() string {
	sum := sha256.Sum256([]byte(p.String()))
	return hex.EncodeToString(sum[:10])
}
