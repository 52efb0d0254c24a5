package msgauth

import "strings"

// DMARCPolicy is what the owner of a domain asks to be done with mail in its
// name that nothing confirms (RFC 9989 section 4.7).
type DMARCPolicy string

// The policies, mildest first.
const (
	PolicyNone       DMARCPolicy = "none"
	PolicyQuarantine DMARCPolicy = "quarantine"
	PolicyReject     DMARCPolicy = "reject"
)

// milder is the policy one level below.
func (p DMARCPolicy) milder() DMARCPolicy {
	if p == PolicyReject {
		return PolicyQuarantine
	}
	return PolicyNone
}

// stricter says whether p asks for more than q.
func (p DMARCPolicy) stricter(q DMARCPolicy) bool {
	return p == PolicyReject && q != PolicyReject || p == PolicyQuarantine && q == PolicyNone
}

// record is a DMARC policy record.
type record struct {
	p, sp, np    DMARCPolicy // "" where the tag is missing
	adkim, aspf  bool        // strict
	psd          byte        // 'y', 'n' or 'u'
	testing      bool        // t=y
	reports      bool        // rua holds something like a URI
	broken       bool        // p is missing or wrong, or sp or np is wrong
	old          bool        // nothing in it is newer than RFC 7489
	pctZero      bool        // pct=0, which RFC 7489 had for t=y
	testingGiven bool
}

// parseRecord reads a TXT record. It is false for one that is none of DMARC:
// v=DMARC1 must be its first tag, in just these letters. What else is wrong in
// it counts as not said (RFC 9989 section 4.8).
//
// Of the tags that only RFC 7489 knows, pct=0 is read as t=y, which took its
// place; other percentages, rf and ri are not heeded.
func parseRecord(s string) (*record, bool) {
	first, rest, _ := strings.Cut(s, ";")
	name, version, _ := strings.Cut(first, "=")
	if !strings.EqualFold(blanksOff(name), "v") || blanksOff(version) != "DMARC1" {
		return nil, false
	}
	r := &record{psd: 'u', old: true}
	seen := map[string]bool{}
	for piece := range strings.SplitSeq(rest, ";") {
		name, value, ok := strings.Cut(piece, "=")
		name, value = strings.ToLower(blanksOff(name)), blanksOff(value)
		if !ok || seen[name] {
			continue
		}
		// The names come from a stranger's record of up to 64 KB; only those
		// that mean something are remembered.
		if r.set(name, value) {
			seen[name] = true
		}
	}
	r.broken = r.broken || r.p == ""
	if !r.testingGiven {
		r.testing = r.pctZero
	}
	return r, true
}

// set takes one tag in. It is false for those that mean nothing here.
func (r *record) set(name, value string) bool {
	switch name {
	case "p":
		r.p = r.policy(value)
	case "sp":
		r.sp = r.policy(value)
	case "np":
		r.np, r.old = r.policy(value), false
	case "adkim":
		r.adkim = strings.EqualFold(value, "s")
	case "aspf":
		r.aspf = strings.EqualFold(value, "s")
	case "psd":
		r.old = false
		if v := strings.ToLower(value); v == "y" || v == "n" {
			r.psd = v[0]
		}
	case "t":
		r.old, r.testingGiven = false, true
		r.testing = strings.EqualFold(value, "y")
	case "pct":
		r.pctZero = value == "0"
	case "rua":
		for uri := range strings.SplitSeq(value, ",") {
			scheme, to, ok := strings.Cut(blanksOff(uri), ":")
			r.reports = r.reports || ok && scheme != "" && to != ""
		}
	default:
		return false
	}
	return true
}

func (r *record) policy(value string) DMARCPolicy {
	switch p := DMARCPolicy(strings.ToLower(value)); p {
	case PolicyNone, PolicyQuarantine, PolicyReject:
		return p
	}
	r.broken = true
	return ""
}

func blanksOff(s string) string { return strings.Trim(s, " \t") }
