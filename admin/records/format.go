package records

import (
	"fmt"
	"io"
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
	indent := strings.Repeat(" ", state+2)
	good := 0
	for _, f := range list {
		fmt.Fprintf(&b, "%-*s  ", state, f.State)
		if typ > 0 {
			fmt.Fprintf(&b, "%-*s  ", typ, f.Type)
		}
		fmt.Fprintf(&b, "%s\n", f.Name)
		if f.State.Good() {
			good++
		} else {
			fmt.Fprintf(&b, "%s%s\n", indent, f.Says)
		}
		if f.Advice != "" {
			fmt.Fprintf(&b, "%s%s\n", indent, f.Advice)
		}
		if value := f.wanted(); value != "" {
			fmt.Fprintf(&b, "%s%s\n", indent, value)
		}
		if f.Pending != "" {
			fmt.Fprintf(&b, "%s%s\n", indent, f.Pending)
		}
	}
	fmt.Fprintf(&b, "\n%d of %d as they should be.\n", good, len(list))
	_, err := io.WriteString(w, b.String())
	return err
}

// wanted is the value to enter, where there is something to enter.
func (f Finding) wanted() string {
	switch {
	case f.Change != "":
		return f.Change
	case f.State == Missing || f.State == Wrong || f.State == Conflicting:
		return f.Value
	}
	return ""
}
