package wire_test

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"roost/imapd/wire"
)

func decoder(in string, limits wire.Limits) (*wire.Decoder, *int) {
	asked := 0
	return wire.NewDecoder(strings.NewReader(in), limits, func() error { asked++; return nil }), &asked
}

// Each element reads the input and then meets the line's end.
func TestElements(t *testing.T) {
	elements := map[string]func(*wire.Decoder) any{
		"tag":      func(d *wire.Decoder) any { return d.Tag() },
		"atom":     func(d *wire.Decoder) any { return d.Atom() },
		"keyword":  func(d *wire.Decoder) any { return d.Keyword() },
		"astring":  func(d *wire.Decoder) any { return d.AString() },
		"string":   func(d *wire.Decoder) any { return d.String() },
		"nstring":  func(d *wire.Decoder) any { s, ok := d.NString(); return fmt.Sprintln(s, ok) },
		"number":   func(d *wire.Decoder) any { return d.Number() },
		"nonzero":  func(d *wire.Decoder) any { return d.NonZero() },
		"number64": func(d *wire.Decoder) any { return d.Number64() },
		"set":      func(d *wire.Decoder) any { return d.Set() },
		"date":     func(d *wire.Decoder) any { return d.Date().Format(time.DateOnly) },
		"datetime": func(d *wire.Decoder) any { return d.DateTime().Format(time.RFC3339) },
		"flags":    func(d *wire.Decoder) any { return d.Flags() },
		"mailbox":  func(d *wire.Decoder) any { return d.Mailbox(false) },
		"mailbox8": func(d *wire.Decoder) any { return d.Mailbox(true) },
		"pattern":  func(d *wire.Decoder) any { return d.Pattern(false) },
		"section":  func(d *wire.Decoder) any { return d.Section(false) },
		"binary":   func(d *wire.Decoder) any { return d.Section(true) },
		"partial": func(d *wire.Decoder) any {
			if p := d.Partial(); p != nil {
				return *p
			}
			return nil
		},
	}
	bad := errors.New("syntax")
	set := func(r ...wire.Range) wire.Set { return wire.Set{Ranges: r} }
	for _, c := range []struct {
		element, in string
		want        any
	}{
		{"tag", "a.1]", "a.1]"}, {"tag", "+1", bad}, {"tag", "", bad}, {"tag", "a\x00", bad},
		{"atom", "NoOp", "NoOp"}, {"atom", "a(b", bad}, {"atom", "é", bad},
		{"keyword", "noop", "NOOP"},
		{"astring", "a]b", "a]b"}, {"astring", `""`, ""}, {"astring", `"a\\b\"c"`, `a\b"c`}, {"astring", "é", "é"},
		{"astring", `"a\nb"`, bad}, {"astring", "\"a\r\nb\"", bad}, {"astring", `"a`, bad}, {"astring", "{3}\r\na\r\n", "a\r\n"},
		{"astring", "{3+}\r\nabc", "abc"}, {"astring", "{3+}\nabc", "abc"}, {"astring", "{0}\r\n", ""},
		{"astring", "{1}\r\n\x00", bad}, {"astring", "{}\r\n", wire.ErrOutOfStep}, {"astring", "{+}\r\n", wire.ErrOutOfStep},
		{"astring", "{99999999999999999999+}\r\n", wire.ErrOutOfStep}, {"astring", "{9223372036854775807}\r\n", wire.ErrTooBig},
		{"string", "atom", bad}, {"nstring", "nil", " false\n"}, {"nstring", `"NIL"`, "NIL true\n"}, {"nstring", "x", bad},
		{"number", "0", uint32(0)}, {"number", "4294967295", uint32(4294967295)}, {"number", "4294967296", bad}, {"number", "-1", bad},
		{"nonzero", "0", bad}, {"number64", "9223372036854775807", uint64(9223372036854775807)}, {"number64", "9223372036854775808", bad},
		{"set", "1", set(wire.Range{First: 1, Last: 1})}, {"set", "*", set(wire.Range{})},
		{"set", "7:3,*:2,5", set(wire.Range{First: 7, Last: 3}, wire.Range{Last: 2}, wire.Range{First: 5, Last: 5})},
		{"set", "$", wire.Set{Saved: true}}, {"set", "0", bad}, {"set", "1:", bad}, {"set", "1,,2", bad}, {"set", "1:2:3", bad}, {"set", "$,1", bad},
		{"date", "1-Feb-2024", "2024-02-01"}, {"date", `"29-feb-2024"`, "2024-02-29"}, {"date", "30-Feb-2024", bad}, {"date", "1-2-2024", bad},
		{"datetime", `" 1-Feb-2024 15:04:05 +0130"`, "2024-02-01T15:04:05+01:30"}, {"datetime", `"01-Feb-2024 15:04:05 -0800"`, "2024-02-01T15:04:05-08:00"},
		{"datetime", `"1-Feb-2024"`, bad}, {"datetime", `" 1-Feb-2024 25:04:05 +0000"`, bad},
		{"flags", `(\Seen $Junk)`, []imap.Flag{`\Seen`, "$Junk"}}, {"flags", "()", []imap.Flag{}}, {"flags", `(\)`, bad}, {"flags", `(\Seen`, bad}, {"flags", `(a  b)`, bad},
		{"mailbox", "inbox", "INBOX"}, {"mailbox", "iNbOx/Sub", "INBOX/Sub"}, {"mailbox", "inboxes", "inboxes"},
		{"mailbox", "&ZeVnLIqe-/&U,BTFw-", "日本語/台北"}, {"mailbox", "a&-b", "a&b"}, {"mailbox", `"&2D3eAA-"`, "😀"},
		{"mailbox", "a&b", bad}, {"mailbox", "&AGE-", bad}, {"mailbox", "&U,BTFw-&ZeVnLIqe-", bad}, {"mailbox", "&2D0-", bad}, {"mailbox", "&AAA", bad},
		{"mailbox", `"a&b-"`, bad}, {"mailbox8", `"a&b"`, "a&b"}, {"mailbox8", `"Entwürfe"`, "Entwürfe"}, {"mailbox8", "\"\xff\"", bad}, {"mailbox8", "\"a\x7fb\"", bad},
		{"pattern", "%/*", "%/*"}, {"pattern", `""`, ""}, {"pattern", "(", bad},
		{"section", "[]", wire.Section{}}, {"section", "[1.2.mime]", wire.Section{Part: []uint32{1, 2}, Text: "MIME"}},
		{"section", "[HEADER.FIELDS (From \"X-A\")]", wire.Section{Text: "HEADER.FIELDS", Fields: []string{"From", "X-A"}}},
		{"section", "[HEADER.FIELDS ()]", bad}, {"section", "[MIME]", bad}, {"section", "[1.]", bad}, {"section", "[0]", bad}, {"section", "[1..2]", bad}, {"section", "[1TEXT]", bad},
		{"section", "[" + strings.Repeat("1.", 200) + "1]", bad},
		{"binary", "[1.2]", wire.Section{Part: []uint32{1, 2}}}, {"binary", "[1.MIME]", bad},
		{"partial", "<0.5>", wire.Partial{Count: 5}}, {"partial", "<1.0>", bad}, {"partial", "<1>", bad},
	} {
		d, _ := decoder(c.in+"\r\n", wire.BeforeLogin())
		if err := d.Begin(); err != nil && c.in != "" {
			t.Fatal(err)
		}
		got := elements[c.element](d)
		err := d.EndLine()
		var syntax *wire.SyntaxError
		switch want := c.want.(type) {
		case error:
			if want == bad && c.in != "" && !errors.As(err, &syntax) || want != bad && !errors.Is(err, want) || err == nil {
				t.Errorf("%s %q: got %v, error %v, want error %v", c.element, c.in, got, err, want)
			}
		default:
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s %q: got %#v, %v, want %#v", c.element, c.in, got, err, want)
			}
		}
	}
}

// Whatever is wrong with a command, the next one is found, and nothing that
// was sent as a literal runs as a command.
func TestDiscardFindsNextCommand(t *testing.T) {
	next := "b NOOP\r\n"
	for name, in := range map[string]string{
		"plain":                      "a BAD arguments (here\r\n",
		"unknown literal":            "a BAD {11+}\r\nx LOGOUT\r\n \r\n",
		"several":                    "a BAD {3+}\r\na\r\n {3+}\r\nb\r\n {0+}\r\n (\r\n",
		"literal8":                   "a BAD ~{3+}\r\na\x00b\r\n",
		"refused by size":            "a LOGIN {20000+}\r\n" + strings.Repeat("x LOGOUT\r\n", 2000) + " {3+}\r\nabc\r\n",
		"refused, synchronising":     "a LOGIN {20000}\r\n",
		"announced, synchronising":   "a BAD {20000}\r\n",
		"string without end":         "a LOGIN \"abc\r\n",
		"long line":                  "a " + strings.Repeat("x", 70000) + "\r\n",
		"long line before a literal": "a " + strings.Repeat("x", 70000) + " {10+}\r\nx LOGOUT\r\n\r\n",
		"too deep":                   "a (((((((((((((((((((((\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			d, asked := decoder(in+next, wire.BeforeLogin())
			if err := d.Begin(); err != nil {
				t.Fatal(err)
			}
			d.Tag()
			d.SP()
			switch d.Keyword() {
			case "LOGIN":
				d.SP()
				d.AString()
				d.SP()
				d.AString()
			case "":
				var nest func()
				nest = func() { d.List(nest) }
				nest()
			}
			if err := d.EndLine(); err == nil {
				t.Fatal("no error")
			}
			if err := d.Discard(); err != nil {
				t.Fatal(err)
			}
			if err := d.Begin(); err != nil {
				t.Fatal(err)
			}
			if tag := d.Tag(); tag != "b" {
				t.Fatalf("next tag %q", tag)
			}
			if *asked != 0 {
				t.Fatal("asked for a literal that is refused")
			}
		})
	}
}

func TestOutOfStep(t *testing.T) {
	limits := wire.BeforeLogin()
	for name, in := range map[string]string{
		"no number":           "a BAD {+}\r\nx LOGOUT\r\n",
		"huge":                "a BAD {99999999999999999999+}\r\nx LOGOUT\r\n",
		"over the budget":     "a BAD {70000+}\r\nx LOGOUT\r\n",
		"endless line":        "a BAD " + strings.Repeat("x", limits.Line+int(limits.Discard)) + "\r\n",
		"limit in the header": "a LOGIN " + strings.Repeat("x", limits.Line-12) + " {3+}\r\nabc\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			d, _ := decoder(in+"b NOOP\r\n", limits)
			d.Begin()
			d.Tag()
			d.SP()
			if d.Keyword() == "LOGIN" {
				d.SP()
				d.AString()
				d.SP()
				d.AString()
			}
			err := d.EndLine()
			if !errors.Is(err, wire.ErrOutOfStep) {
				err = d.Discard()
			}
			if !errors.Is(err, wire.ErrOutOfStep) {
				t.Fatalf("error %v", err)
			}
		})
	}
}

func TestStreamedLiteral(t *testing.T) {
	body := strings.Repeat("line\r\n", 50000)
	for _, plus := range []string{"", "+"} {
		d, asked := decoder(fmt.Sprintf("a X {%d%s}\r\n%s (b)\r\nb NOOP\r\n", len(body), plus, body), wire.BeforeLogin())
		d.Begin()
		d.Tag()
		d.SP()
		d.Keyword()
		d.SP()
		l := d.Announced()
		if l == nil || l.Size != int64(len(body)) || l.Sync != (plus == "") || l.Accept() != nil {
			t.Fatalf("literal %+v, %v", l, d.Err())
		}
		got, err := io.ReadAll(l)
		if err != nil || string(got) != body {
			t.Fatalf("read %d octets, %v", len(got), err)
		}
		d.SP()
		d.List(func() { d.Atom() })
		if err := d.EndLine(); err != nil {
			t.Fatal(err)
		}
		if want := len("+") - len(plus); *asked != want {
			t.Errorf("asked %d times, want %d", *asked, want)
		}
	}
}

// A reader of a literal that stops early, as a full disk makes it, leaves the
// rest to Discard.
func TestAbandonedLiteral(t *testing.T) {
	d, _ := decoder("a {10}\r\n0123456789 more {3+}\r\nabc\r\nb NOOP\r\n", wire.BeforeLogin())
	d.Begin()
	d.Tag()
	d.SP()
	l := d.Announced()
	l.Accept()
	io.ReadFull(l, make([]byte, 4))
	d.Failf("no room")
	if err := d.Discard(); err != nil {
		t.Fatal(err)
	}
	if d.Begin(); d.Tag() != "b" {
		t.Fatal("not at the next command")
	}
}

func TestResolve(t *testing.T) {
	for _, c := range []struct {
		set  string
		last uint32
		want string
	}{
		{"1:3,2:5,7", 9, "1:5,7"}, {"*", 9, "9"}, {"20:*", 9, "9:20"}, {"*:3", 9, "3:9"}, {"9,1,5", 9, "1,5,9"},
		{"*", 0, ""}, {"1:*", 0, ""}, {"4294967295,1:*", 4294967295, "1:4294967295"}, {"5:3", 9, "3:5"}, {"1:2,3:4", 9, "1:4"},
	} {
		d, _ := decoder(c.set+"\r\n", wire.BeforeLogin())
		d.Begin()
		if got := string(wire.AppendRanges(nil, d.Set().Resolve(c.last))); got != c.want {
			t.Errorf("%s of %d: %q, want %q", c.set, c.last, got, c.want)
		}
	}
}

// A line has 64 KB with its end and not an octet more, before login and after; what
// is in literals does not count.
func TestLongestLine(t *testing.T) {
	for name, limits := range map[string]wire.Limits{"before": wire.BeforeLogin(), "after": wire.AfterLogin()} {
		for _, over := range []int{0, 1} {
			text := strings.Repeat("x", 64<<10-len("a X {5+}\r\n \r\n")+over)
			d, _ := decoder("a X {5+}\r\nabcde "+text+"\r\nb NOOP\r\n", limits)
			d.Begin()
			d.Tag()
			d.SP()
			d.Keyword()
			d.SP()
			d.AString()
			d.SP()
			got := d.AString()
			err := d.EndLine()
			if over == 0 && (err != nil || got != text) {
				t.Errorf("%s login, 64 KB: %d octets, %v", name, len(got), err)
			}
			if over == 1 && !errors.Is(err, wire.ErrTooBig) {
				t.Errorf("%s login, an octet more: %v", name, err)
			}
			if err := d.Discard(); err != nil {
				t.Fatal(err)
			}
			if d.Begin(); d.Tag() != "b" {
				t.Errorf("%s login, %d over: out of step", name, over)
			}
		}
	}
}

// A set of 64,000 octets, in the worst order, is read and sorted in reasonable time.
func TestLargeSet(t *testing.T) {
	var b strings.Builder
	for n := 99998; b.Len() < 64000; n -= 2 {
		fmt.Fprintf(&b, "%d,", n)
	}
	d, _ := decoder("a "+strings.TrimSuffix(b.String(), ",")+"\r\n", wire.AfterLogin())
	d.Begin()
	d.Tag()
	d.SP()
	s := d.Set()
	if err := d.EndLine(); err != nil {
		t.Fatal(err)
	}
	if got := s.Resolve(1); len(got) != strings.Count(b.String(), ",") {
		t.Fatalf("%d ranges", len(got))
	}
}

func FuzzDecoder(f *testing.F) {
	for _, s := range []string{
		"a LOGIN {3+}\r\nabc \"d\\\"\"\r\n", "a FETCH 1:*,$ (BODY.PEEK[1.2.HEADER.FIELDS (A {1}\r\nB)]<0.5>)\r\n",
		"a APPEND &ZeVnLIqe- (\\Seen) \" 1-Feb-2024 15:04:05 +0130\" ~{5+}\r\nabcde\r\n", "a SEARCH SINCE 1-Feb-2024 (OR (NOT 5) *)\r\n",
		"a {1}\r\n{1}\r\n",
	} {
		f.Add([]byte(s), []byte("tsks(afx"))
	}
	limits := wire.Limits{Line: 4096, Literal: 256, Literals: 512, Discard: 8192, Depth: 5, Items: 20}
	f.Fuzz(func(t *testing.T, in, script []byte) {
		script = script[:min(len(script), 32)]
		d, _ := decoder(string(in), limits)
		for range 20 {
			if d.Begin() != nil {
				return
			}
			for _, c := range script {
				switch c {
				case 't':
					d.Tag()
				case 's':
					d.SP()
				case 'k':
					d.Keyword()
				case 'a':
					if len(d.AString()) > max(int(limits.Literal), limits.Line) {
						t.Fatal("a string over the limit")
					}
				case 'n':
					d.NString()
				case 'x':
					for _, r := range d.Set().Resolve(7) {
						if r.First == 0 || r.First > r.Last {
							t.Fatalf("range %v", r)
						}
					}
				case '(':
					d.List(func() { d.Flag() })
				case 'f':
					s := d.Section(false)
					again, _ := decoder(string(s.Append(nil))+"\r\n", limits)
					again.Begin()
					if got := again.Section(false); d.Err() == nil && (again.EndLine() != nil || !reflect.DeepEqual(got, s)) {
						t.Fatalf("section %#v reads back as %#v, %v", s, got, again.Err())
					}
				case 'm':
					if name := d.Mailbox(false); name != "" {
						if back, err := wire.DecodeMailbox(wire.EncodeUTF7(name), false); err != nil || back != name {
							t.Fatalf("mailbox %q reads back as %q, %v", name, back, err)
						}
					}
				case 'd':
					d.DateTime()
				case 'l':
					if l := d.Announced(); l != nil && l.Size < 100 && l.Accept() == nil {
						io.Copy(io.Discard, l)
					}
				}
			}
			if err := d.EndLine(); err != nil && d.Discard() != nil {
				return
			}
		}
	})
}
