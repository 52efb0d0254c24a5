package records

import (
	"fmt"
	"slices"
	"strings"
)

// judgeDKIM compares keys, not texts: what counts is p=.
func judgeDKIM(q question) verdict {
	have := q.have()
	if have.err != nil {
		return have.trouble()
	}
	want := tags(q.want.Value)
	var same, others []string
	for _, text := range have.values {
		t := tags(text)
		if _, key := t["p"]; !key {
			continue
		}
		if key := unspaced(t["p"]); key == want["p"] && kindOfKey(t) == kindOfKey(want) {
			same = append(same, text)
		} else {
			others = append(others, text)
		}
	}
	switch {
	case len(same) > 0 && len(same)+len(others) > 1:
		// RFC 6376 section 3.6.2.2: the result is undefined.
		return have.verdict(Conflicting, "There is more than one key at this name, and others may pick the wrong one.", "Remove all but this record.")
	case len(same) > 0:
		v := found(have, "The key is published.")
		if flags := strings.Split(unspaced(tags(same[0])["t"]), ":"); slices.Contains(flags, "y") {
			v.advice = "Take t=y out: it tells others that this is only a test."
		}
		return v
	case len(others) == 0:
		return absent(q, have, " DKIM key")
	}
	t := tags(others[0])
	key := unspaced(t["p"])
	switch {
	case key == "":
		return have.verdict(Wrong, "The key there is revoked: its p= is empty.", "Replace it by this record.")
	case strings.HasPrefix(want["p"], key) && key != want["p"]:
		return have.verdict(Wrong, fmt.Sprintf("The key is cut off after %d of %d characters.", len(key), len(want["p"])),
			"Enter the whole value. Where a form takes only 255 characters, split it into several strings in quotes, as `roost dns "+q.Domain+" --zone` prints it.")
	case key == want["p"]:
		return have.verdict(Wrong, fmt.Sprintf("The record says that the key is of the kind %s; it is of the kind %s.", brief(kindOfKey(t)), kindOfKey(want)), "Replace it by this record.")
	case strings.ContainsAny(key, `"\`):
		return have.verdict(Wrong, "There are quotes or backslashes in the middle of the key.", "Enter the value as one text without quotes; the form splits it itself.")
	}
	return have.verdict(Wrong, "Another key is published there.", "Replace it by this record: mail from here is signed with this key, and its signatures fail now.")
}

func kindOfKey(t map[string]string) string {
	if k := t["k"]; k != "" {
		return k
	}
	return "rsa" // RFC 6376 section 3.6.1
}

func unspaced(s string) string { return strings.Join(strings.Fields(s), "") }

// judgeDMARC takes any record that others take: its owner may be further than Roost's
// proposal. A policy of a domain above holds too (RFC 9989 section 4.10).
func judgeDMARC(q question) verdict {
	have := q.have()
	if have.err != nil {
		return have.trouble()
	}
	list := versioned(have.values, "DMARC1")
	switch {
	case len(list) > 1:
		return have.verdict(Conflicting, "There are two DMARC records, and so others use none.", "Remove all but one.")
	case len(list) == 0 && len(have.values) == 0:
		if above, text := q.dmarcAbove(); above != "" {
			v := found(have, "The DMARC policy of %s holds here too.", above)
			v.found = []string{text}
			return v
		}
		return absent(q, have, " DMARC policy")
	case len(list) == 0:
		return absent(q, have, " DMARC policy; it would begin with v=DMARC1")
	}
	t := tags(list[0])
	switch p := strings.ToLower(t["p"]); {
	case p == "none" || p == "quarantine" || p == "reject":
		return found(have, "There is a DMARC policy: p=%s.", p)
	case t["rua"] != "":
		// RFC 9989 section 4.7: taken as p=none.
		v := found(have, "There is a DMARC record without a usable policy; others take it for p=none.")
		v.advice = "Write p=none, p=quarantine or p=reject."
		return v
	}
	return have.verdict(Wrong, "The DMARC record has no usable policy (p=), so others ignore it.", "Replace it by this record, or write p=none, p=quarantine or p=reject in it.")
}

// dmarcAbove finds the policy of a domain above; the record of a public suffix is none.
func (q question) dmarcAbove() (domain, text string) {
	const most = 8 // RFC 9989 section 4.10
	domain = q.Domain
	for range most {
		_, parent, _ := strings.Cut(domain, ".")
		if domain = parent; !strings.Contains(domain, ".") {
			return "", ""
		}
		list := versioned(q.lookup(q, "_dmarc."+domain, "TXT").values, "DMARC1")
		if len(list) == 1 && !strings.EqualFold(tags(list[0])["psd"], "y") {
			return domain, list[0]
		}
	}
	return "", ""
}

func judgeMTASTS(q question) verdict {
	have := q.have()
	if have.err != nil {
		return have.trouble()
	}
	list := versioned(have.values, "STSv1")
	switch {
	case len(list) == 0:
		return absent(q, have, "n MTA-STS record")
	case len(list) > 1:
		// RFC 8461 section 3.1.
		return have.verdict(Conflicting, "There are two MTA-STS records, and so others take it that there is no policy.", "Remove all but this one.")
	case tags(list[0])["id"] != tags(q.want.Value)["id"]:
		return have.verdict(Wrong, "The id is that of another policy, so those who know the other one do not fetch the new one.", "Change the id.")
	}
	return found(have, "The policy is announced.")
}

// judgeTLSRPT takes any address for reports.
func judgeTLSRPT(q question) verdict {
	have := q.have()
	if have.err != nil {
		return have.trouble()
	}
	list := versioned(have.values, "TLSRPTv1")
	switch {
	case len(list) == 0:
		return absent(q, have, " TLSRPT record")
	case len(list) > 1:
		// RFC 8460 section 3.
		return have.verdict(Conflicting, "There are two TLSRPT records, and so others use none.", "Remove all but one.")
	}
	if rua := tags(list[0])["rua"]; !strings.HasPrefix(rua, "mailto:") && !strings.HasPrefix(rua, "https:") {
		return have.verdict(Wrong, "The record does not say where reports go.", "Write rua=mailto: and an address.")
	}
	return found(have, "Reports are asked for.")
}
