package admin_test

import (
	"io"
	"slices"
	"strings"
	"testing"

	"roost/admin"
	"roost/admin/records"
	"roost/mta/dns/dnstest"
)

func TestBlockLists(t *testing.T) {
	o := office(t)
	zone := dnstest.New(t, `
2.0.0.127.bl.example. A 127.0.0.2
2.0.0.127.second.example. A 127.0.0.2
*.all.example. A 127.0.0.2
*.open.example. A 127.255.255.254
`)
	o.Checks = records.Options{Resolver: zone.Addr()}
	owner := admin.Caller{Owner: true}
	text := func(result any) string {
		var b strings.Builder
		if err := result.(interface{ Text(io.Writer, any) error }).Text(&b, nil); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	set := func(then string, lists ...string) (any, error) {
		return try(o, owner, "blocklist set", func(args any) { set(args, "Lists", lists); set(args, "Then", then) })
	}
	show := func() admin.BlockLists { return do(t, o, owner, "blocklist show", nil).(admin.BlockLists) }
	if b := show(); len(b.Lists) != 0 || b.Then != "junk" || text(b) != "No block list is asked.\n" {
		t.Errorf("at first: %+v", b)
	}
	for _, c := range []struct {
		then  string
		lists []string
		fails string // what the error has; empty: it is set
	}{
		{"", nil, "say which lists"},
		{"perhaps", []string{"bl.example"}, `"perhaps" is neither junk nor refuse`},
		{"", []string{"no list"}, `"no list" is no name of a block list`},
		{"", []string{"bl.example", "nothing.example"}, "nothing.example is not taken: its test entry, 127.0.0.2, is not there"},
		{"", []string{"all.example"}, "all.example is not taken: it lists everything"},
		{"", []string{"open.example"}, "open.example is not taken: it answers 127.255.255.254: the question came through a resolver that many share"},
		{"", slices.Repeat([]string{"a.example", "b.example", "c.example"}, 1), "is not taken"},
		{"refuse", []string{"BL.example.", "second.example", "bl.example"}, ""},
	} {
		_, err := set(c.then, c.lists...)
		if (c.fails == "") != (err == nil) || err != nil && (admin.Explain(err).Kind != admin.Invalid || !strings.Contains(err.Error(), c.fails)) {
			t.Errorf("%v: %v", c, err)
		}
		if b := show(); c.fails != "" && len(b.Lists) != 0 {
			t.Errorf("%v sets %v", c, b)
		}
	}
	if b := show(); !slices.Equal(b.Lists, []string{"bl.example", "second.example"}) || b.Then != "refuse" ||
		text(b) != "bl.example\nsecond.example\nMail from an address that a list has is refused, unless something else speaks for it.\n" {
		t.Errorf("set: %+v", b)
	}
	if _, err := set("junk"); err != nil {
		t.Error(err)
	}
	if b := show(); b.Then != "junk" || len(b.Lists) != 2 {
		t.Errorf("only what becomes of mail was changed: %+v", b)
	}

	check := do(t, o, owner, "blocklist check", nil).(admin.TriedLists)
	if got := text(check); got != "bl.example works\nsecond.example works\n" || check.Failure() != nil {
		t.Errorf("%q, %v", got, check.Failure())
	}
	zone.Remove("2.0.0.127.second.example.")
	check = do(t, o, owner, "blocklist check", nil).(admin.TriedLists)
	if got := text(check); !strings.HasPrefix(got, "bl.example works\nsecond.example: its test entry") || check.Failure() == nil {
		t.Errorf("%q, %v", got, check.Failure())
	}
	if _, err := set("", "none"); err != nil || len(show().Lists) != 0 {
		t.Errorf("none: %v, %v", show(), err)
	}
	if _, err := try(o, admin.Caller{Account: "anna@example.org"}, "blocklist set", nil); err == nil || admin.Explain(err).Kind != admin.Forbidden {
		t.Errorf("anybody may: %v", err)
	}
}
