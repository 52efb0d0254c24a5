package admin_test

import (
	"errors"
	"slices"
	"testing"

	"roost/admin"
	"roost/mailbox"
)

func TestAddressesAreSet(t *testing.T) {
	o := office(t)
	owner := admin.Caller{Owner: true}
	for _, addr := range []string{"boss@example.org", "anna@example.org"} {
		do(t, o, owner, "account add", func(args any) { set(args, "Address", addr); set(args, "Password", "secret") })
	}
	kind := func(err error) admin.Kind {
		if err == nil {
			return ""
		}
		return admin.Explain(err).Kind
	}
	type pairs map[string]any
	for _, c := range []struct {
		op   string
		args pairs
		want admin.Kind
	}{
		{"alias add", pairs{"Address": "fair@example.org", "To": []string{"anna@example.org"}, "Expires": "2020-01-31"}, ""},
		{"alias add", pairs{"Address": "fair@example.org", "To": []string{"anna@example.org"}}, admin.Exists},
		{"alias add", pairs{"Address": "x@example.org", "To": []string{"anna@example.org"}, "Expires": "tomorrow"}, admin.Invalid},
		{"alias add", pairs{"Address": "x@example.org", "To": []string{"Anna@example.com"}}, ""},
		{"alias set", pairs{"Address": "none@example.org"}, admin.NotFound},
		{"domain set", pairs{"Domain": "example.org", "CatchAll": "fair@example.org", "Separators": "-"}, ""},
		{"domain set", pairs{"Domain": "example.org", "CatchAll": "who@example.org"}, admin.NotFound},
		{"domain set", pairs{"Domain": "example.org", "Separators": "x"}, admin.Invalid},
		{"domain set", pairs{"Domain": "example.com"}, admin.NotFound},
		{"domain disable", pairs{"Domain": "example.org"}, admin.Invalid},
		{"account disable", pairs{"Address": "boss@example.org"}, admin.Invalid},
		{"account promote", pairs{"Address": "anna@example.org"}, ""},
		{"account disable", pairs{"Address": "boss@example.org"}, ""},
		{"account demote", pairs{"Address": "anna@example.org"}, admin.Invalid},
		{"account enable", pairs{"Address": "boss@example.org"}, ""},
		{"account demote", pairs{"Address": "anna@example.org"}, ""},
		{"account restrict", pairs{"Address": "anna@example.org"}, ""},
		{"account restrict", pairs{"Address": "nobody@example.org"}, admin.NotFound},
		{"account hide", pairs{"Address": "anna@example.org", "Capabilities": []string{"qresync", "CONDSTORE"}}, ""},
		{"account hide", pairs{"Address": "anna@example.org", "Capabilities": []string{"two words"}}, admin.Invalid},
		{"account hide", pairs{"Address": "nobody@example.org", "Capabilities": []string{"IDLE"}}, admin.NotFound},
	} {
		_, err := try(o, owner, c.op, func(args any) {
			for field, value := range c.args {
				set(args, field, value)
			}
		})
		if kind(err) != c.want {
			t.Errorf("%s %v: %v, want %q", c.op, c.args, err, c.want)
		}
	}
	if a, err := o.Store.Account("anna@example.org"); err != nil || !slices.Equal(a.Hidden, []string{"QRESYNC", "CONDSTORE"}) {
		t.Errorf("hidden: %v, %v", a.Hidden, err)
	}
	if a, err := o.Store.Account("anna@example.org"); err != nil || !a.AppOnly {
		t.Errorf("app passwords only: %+v, %v", a, err)
	}
	do(t, o, owner, "account relax", func(args any) { set(args, "Address", "anna@example.org") })
	if a, err := o.Store.Account("anna@example.org"); err != nil || a.AppOnly {
		t.Errorf("any password: %+v, %v", a, err)
	}
	do(t, o, owner, "account hide", func(args any) { set(args, "Address", "anna@example.org"); set(args, "Capabilities", []string{"none"}) })
	if a, err := o.Store.Account("anna@example.org"); err != nil || len(a.Hidden) > 0 {
		t.Errorf("hidden after none: %v, %v", a.Hidden, err)
	}
	if err := resolves(o, "fair@example.org"); !errors.Is(err, mailbox.ErrExpired) {
		t.Errorf("an alias after its last day: %v", err)
	}
	do(t, o, owner, "alias set", func(args any) { set(args, "Address", "fair@example.org"); set(args, "Expires", "never") })
	if err := resolves(o, "whoever@example.org"); err != nil {
		t.Errorf("by the catch-all: %v", err)
	}
	if err := resolves(o, "anna-x@example.org"); err != nil {
		t.Errorf("a subaddress: %v", err)
	}
	do(t, o, owner, "domain set", func(args any) {
		set(args, "Domain", "example.org")
		set(args, "CatchAll", "none")
		set(args, "Separators", "none")
	})
	for _, addr := range []mailbox.Address{"whoever@example.org", "anna-x@example.org"} {
		if err := resolves(o, addr); !errors.Is(err, mailbox.ErrNotFound) {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func resolves(o *admin.Office, addr mailbox.Address) error {
	_, err := o.Store.Resolve(addr)
	return err
}
