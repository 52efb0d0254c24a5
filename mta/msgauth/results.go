package msgauth

import "strings"

// Header is the Authentication-Results field for the verdict (RFC 8601), in
// the name of authservID, folded, with its CRLF. All that others wrote is
// quoted, cut or left out, so that it can't be taken for a result of ours; no
// line is longer than 998 octets.
func (v *Verdict) Header(authservID string) string {
	var f field
	f.b.WriteString("Authentication-Results: " + pvalue(authservID))
	if v.IPRev.Result != None {
		f.result("iprev", v.IPRev.Result, v.IPRev.Reason)
		f.property("policy.iprev", v.Client.String())
		f.comment(v.IPRev.Name)
	}
	if !v.Null {
		f.result("spf", v.MailFrom.Result, v.MailFrom.Reason)
		f.property("smtp.mailfrom", v.MailFrom.Domain)
	}
	if v.Hello.Domain != "" || v.Null {
		f.result("spf", v.Hello.Result, v.Hello.Reason)
		f.property("smtp.helo", v.Hello.Domain)
	}
	if len(v.DKIM) == 0 {
		f.result("dkim", None, "")
	}
	for _, s := range v.DKIM {
		f.result("dkim", s.Result, s.Reason)
		if d, ok := domainName(s.Domain); ok {
			f.property("header.d", d)
		}
		if selector, ok := domainName(s.Selector); ok {
			f.property("header.s", selector)
		}
		f.property("header.a", s.Algorithm)
		f.property("header.b", s.Start)
	}
	f.result("dmarc", v.DMARC.Result, v.DMARC.Reason)
	f.property("header.from", v.DMARC.From)
	if v.DMARC.Record != "" {
		f.property("policy.dmarc", string(v.DMARC.Policy))
		f.comment("record of " + v.DMARC.Record)
	}
	return f.b.String() + "\r\n"
}

// field is a header field that is being written.
type field struct {
	b      strings.Builder
	column int
}

// result begins one result on a line of its own.
func (f *field) result(method string, r Result, reason string) {
	s := method + "=" + string(r)
	f.b.WriteString(";\r\n\t" + s)
	f.column = len("        ") + len(s)
	if reason != "" {
		f.word("reason=" + quoted(reason))
	}
}

// property adds a ptype.property to the result; an empty value adds nothing.
func (f *field) property(name, value string) {
	if value != "" {
		f.word(name + "=" + pvalue(value))
	}
}

// comment adds a comment.
func (f *field) comment(s string) {
	if s != "" {
		f.word("(" + escaped(s, `()\`) + ")")
	}
}

func (f *field) word(s string) {
	// RFC 5322 section 2.1.1: at most 78 columns where it can be had.
	if f.column+1+len(s) > 77 {
		f.b.WriteString("\r\n\t ")
		f.column = len("         ")
	} else {
		f.b.WriteByte(' ')
		f.column++
	}
	f.b.WriteString(s)
	f.column += len(s)
}

// maxValue bounds a value, in octets before it is quoted.
const maxValue = 300

// pvalue gives a value as RFC 8601 section 2.2 has it: a token where it is
// one, else quoted.
func pvalue(s string) string {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || strings.IndexByte(`()<>@,;:\"/[]?=`, c) >= 0 {
			return quoted(s)
		}
	}
	if s == "" || len(s) > maxValue {
		return quoted(s)
	}
	return s
}

func quoted(s string) string { return `"` + escaped(s, `"\`) + `"` }

// escaped makes text printable and puts a backslash before each of specials.
func escaped(s, specials string) string {
	var b strings.Builder
	for _, c := range []byte(printable(s, maxValue)) {
		if strings.IndexByte(specials, c) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}
