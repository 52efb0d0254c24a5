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
