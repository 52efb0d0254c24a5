package message_test

import (
	"slices"
	"strings"
	"testing"

	"roost/mailbox/message"
)

func TestParseAddressList(t *testing.T) {
	mb := func(name, local, domain string) message.Address {
		return message.Address{Name: name, Local: local, Domain: domain}
	}
	begin := func(name string) message.Address { return message.Address{Kind: message.GroupBegin, Name: name} }
	end := message.Address{Kind: message.GroupEnd}
	type list = []message.Address
	for _, c := range []struct {
		in    string
		want  list
		valid bool
	}{
		// RFC 5322 A.1 and A.5, A.6
		{"", nil, true},
		{"John Doe <jdoe@machine.example>", list{mb("John Doe", "jdoe", "machine.example")}, true},
		{`"Joe Q. Public" <john.q.public@example.com>`, list{mb("Joe Q. Public", "john.q.public", "example.com")}, true},
		{`<boss@nil.test>, "Giant; \"Big\" Box" <sysservices@example.net>`,
			list{mb("", "boss", "nil.test"), mb(`Giant; "Big" Box`, "sysservices", "example.net")}, true},
		{"A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
			list{begin("A Group"), mb("Ed Jones", "c", "a.test"), mb("", "joe", "where.test"), mb("John", "jdoe", "one.test"), end}, true},
		{"Undisclosed recipients:;", list{begin("Undisclosed recipients"), end}, true},
		{"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", list{mb("Pete", "pete", "silly.test")}, true},
		{"A Group(Some people)\t :Chris Jones <c@(Chris's host.)public.example>, joe@example.org, John <jdoe@one.test> (my dear friend); (the end of the group)",
			list{begin("A Group"), mb("Chris Jones", "c", "public.example"), mb("", "joe", "example.org"), mb("John", "jdoe", "one.test"), end}, true},
		{"(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", list{begin("Hidden recipients"), end}, true},
		{"Joe Q. Public <john.q.public@example.com>", list{mb("Joe Q. Public", "john.q.public", "example.com")}, true},
		{"Mary Smith <@node.test,@b.test:mary@example.net>, , jdoe@test  . example",
			list{{Name: "Mary Smith", Route: "@node.test,@b.test", Local: "mary", Domain: "example.net"}, mb("", "jdoe", "test.example")}, true},

		{"a@example.com (Full Name)", list{mb("Full Name", "a", "example.com")}, true},
		{`"a b"@example.com, "".x@example.com`, list{mb("", "a b", "example.com"), mb("", ".x", "example.com")}, true},
		{"user@[IPv6:2001:db8::1]", list{mb("", "user", "[IPv6:2001:db8::1]")}, true},
		{"jörg@bücher.example", list{mb("", "jörg", "bücher.example")}, true},
		{"=?utf-8?q?J=C3=B6rg?= <j@example.com>", list{mb("=?utf-8?q?J=C3=B6rg?=", "j", "example.com")}, true},

		// Wrong: shown as well as can be, and told.
		{"=?utf-8?q?Smith,_J?= <j@example.com>", list{mb("=?utf-8?q?Smith,_J?=", "j", "example.com")}, false},
		{"me@example.com <other@example.org>", list{mb("me@example.com", "other", "example.org")}, false},
		{"me@example.com other@example.org", list{mb("", "me", "example.com")}, false},
		{"a@b@c", list{mb("", "a", "b")}, false},
		{"a@b, <c@d", list{mb("", "a", "b"), mb("", "c", "d")}, false},
		{"<a b@c>", list{mb("", "a b", "c")}, false},
		{"a..b@example.com", list{mb("", "a..b", "example.com")}, false},
		{".a@example.com", list{mb("", ".a", "example.com")}, false},
		{"a@.example.com", list{mb("", "a", ".example.com")}, false},
		{"a@example..com", list{mb("", "a", "example..com")}, false},
		{"@example.com", list{mb("", "", "example.com")}, false},
		{"a@", list{mb("", "a", "")}, false},
		{"nobody", list{mb("", "nobody", "")}, false},
		{"two words", list{mb("two words", "", "")}, false},
		{"<>", list{mb("", "", "")}, false},
		{"a@b; c@d", list{mb("", "a", "b"), mb("", "c", "d")}, false},
		{"g: a@b, h: c@d;", list{begin("g"), mb("", "a", "b"), end, begin("h"), mb("", "c", "d"), end}, false},
		{"g: a@b", list{begin("g"), mb("", "a", "b"), end}, false},
		{`"open <a@b>`, list{mb("open", "a", "b")}, false},
		{"(open a@b", nil, false},
		{"[tag] x <a@b>", list{mb("[tag] x", "a", "b")}, false},
		{"a\xff@b", list{mb("", "a\xff", "b")}, false},
		{"<mailto:a@b>", list{mb("", "mailto:a", "b")}, false},
	} {
		got, err := message.ParseAddressList(c.in)
		if !slices.Equal(got, c.want) {
			t.Errorf("%q:\n got %+v\nwant %+v", c.in, got, c.want)
		}
		if (err == nil) != c.valid {
			t.Errorf("%q: error %v", c.in, err)
		}
	}
}

func TestSpec(t *testing.T) {
	for in, want := range map[string]string{
		"a.b@example.com":      "a.b@example.com",
		`"a b"@example.com`:    `"a b"@example.com`,
		`"a\"b\\"@example.com`: `"a\"b\\"@example.com`,
		`"plain"@example.com`:  "plain@example.com",
		`""@example.com`:       `""@example.com`,
	} {
		list, _ := message.ParseAddressList(in)
		if len(list) != 1 || list[0].Spec() != want {
			t.Errorf("%q is %+v, want %q", in, list, want)
		}
	}
}

// TestHostileAddressLists would take minutes if any of these were quadratic.
func TestHostileAddressLists(t *testing.T) {
	for _, s := range []string{`"\`, `\"`, "(", "<", "=?", "=?,", "=?a?q?", ":", ";", "@", "[", "a.", " .a", "a:", "<@a:", "(,", "a@b .", "\\"} {
		value := strings.Repeat(s, 1<<20/len(s))
		list, _ := message.ParseAddressList(value)
		if len(list) > 20_000 {
			t.Errorf("%q: %d entries", s, len(list))
		}
		message.DecodeWords(value)
		p := parse(t, "Content-Type: text/plain; "+value+"\r\n\r\n")
		message.AppendBodyStructure(nil, p, true)
	}
}

func FuzzAddressList(f *testing.F) {
	for _, s := range []string{"", "a@b", `"x" <a@b>, g: c@d;`, "<@a,@b:c@d>", "a (c) @ b . c", `"\"@`, "=?utf-8?q?a?= <", "[", "x@[1", "(", "a@b <c@d>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := message.ParseAddressList(s)
		group := false
		for _, a := range list {
			if a.Kind != message.Mailbox {
				if group != (a.Kind == message.GroupEnd) {
					t.Fatalf("groups do not pair: %+v", list)
				}
				group = !group
				continue
			}
			if err != nil {
				continue
			}
			// What is valid means the same when it is written anew.
			again, err := message.ParseAddressList(a.Spec())
			if err != nil || len(again) != 1 || again[0].Local != a.Local || again[0].Domain != a.Domain {
				t.Fatalf("%q: %+v is written %q and read %+v, %v", s, a, a.Spec(), again, err)
			}
		}
		if group {
			t.Fatalf("group without end: %+v", list)
		}
	})
}
