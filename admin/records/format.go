package records

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	// ttl is one hour: a mistake is mended within it.
	ttl = 3600
	// maxString is the length of one character-string (RFC 1035 section 3.3).
	maxString = 255
)

// WriteZone writes the records as a zone file (RFC 1035 section 5), each with its
// reason as a comment.
func WriteZone(w io.Writer, list []Record) error {
	var b strings.Builder
	for i, r := range list {
		if i == 0 || list[i-1].Kind != r.Kind {
			fmt.Fprintf(&b, "; %s\n", r.Why)
		}
		value := r.Value
		if r.Type == "TXT" {
			value = quote(value)
		}
		fmt.Fprintf(&b, "%s.\t%d\tIN\t%s\t%s\n", r.Name, ttl, r.Type, value)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteTable writes the records for reading and for copying into a form: one line per
// record, and below those of one kind their reason.
func WriteTable(w io.Writer, list []Record) error {
	typ, name := len("TYPE"), len("NAME")
	for _, r := range list {
		typ, name = max(typ, len(r.Type)), max(name, len(r.Name))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-*s  %-*s  VALUE\n", typ, "TYPE", name, "NAME")
	for i, r := range list {
		fmt.Fprintf(&b, "%-*s  %-*s  %s\n", typ, r.Type, name, r.Name, r.Value)
		if i+1 == len(list) || list[i+1].Kind != r.Kind {
			fmt.Fprintf(&b, "%*s  # %s\n", typ, "", r.Why)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// quote splits text into character-strings. Resolvers join them again without a space
// (RFC 6376 section 3.6.2.2, RFC 7208 section 3.3).
func quote(text string) string {
	var parts []string
	for {
		n := min(len(text), maxString)
		parts = append(parts, `"`+escape(text[:n])+`"`)
		if text = text[n:]; text == "" {
			return strings.Join(parts, " ")
		}
	}
}

func escape(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\%03d`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// WriteFindings writes what a check found: one line for each, below it what to do where it is
// not as it should be, and what it comes to at the end.
func WriteFindings(w io.Writer, list []Finding) error {
	state, typ := 0, 0
	for _, f := range list {
		state, typ = max(state, len(f.State)), max(typ, len(f.Type))
	}
	var b strings.Builder
	below := func(text string) {
		if text != "" {
			fmt.Fprintf(&b, "%*s  %s\n", state, "", text)
		}
	}
	good, servers, resolver := 0, 0, 0
	for i, f := range list {
		fmt.Fprintf(&b, "%-*s  ", state, f.State)
		if typ > 0 {
			fmt.Fprintf(&b, "%-*s  ", typ, f.Type)
		}
		fmt.Fprintf(&b, "%s\n", f.Name)
		if f.State == Unknown && i+1 < len(list) && list[i+1].State == Unknown && list[i+1].Says == f.Says {
			continue // said once, below the last
		}
		if f.State.Good() {
			good++
		} else {
			below(f.Says)
		}
		if f.Advice != add {
			below(f.Advice)
		}
		below(f.wanted())
		below(f.Pending)
		switch {
		case f.Type == "" || f.Type == "PTR" || f.State == Unknown:
		case f.Source == fromResolver:
			resolver++
		default:
			servers++
		}
	}
	fmt.Fprintf(&b, "\n%d of %d as they should be.\n", good, len(list))
	if resolver > 0 && servers == 0 {
		fmt.Fprintf(&b, "The zone's own servers could not be asked. This is what the resolver says, which may be behind.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// wanted is what should be there, where it is not.
func (f Finding) wanted() string {
	value := f.Value
	if f.Change != "" {
		value = f.Change
	}
	if value == "" || f.State.Good() || f.State == Unknown {
		return ""
	}
	// What is wrong is then something else.
	if f.State == Wrong && slices.Contains(f.Found, value) {
		return ""
	}
	return "wanted: " + value
}
