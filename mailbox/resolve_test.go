package mailbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// shown writes a route, or why there is none, in one line.
func shown(r Route, err error) string {
	switch {
	case errors.Is(err, ErrForeign):
		return "foreign"
	case errors.Is(err, ErrNotFound):
		return "nobody"
	case errors.Is(err, ErrDisabled):
		return "disabled"
	case errors.Is(err, ErrExpired):
		return "expired"
	case errors.Is(err, ErrLimit):
		return "too many"
	case err != nil:
		return err.Error()
	}
	var names []string
	for _, l := range r.Local {
		name := l.Account.Address.Local()
		if l.Detail != "" {
			name += "[" + l.Detail + "]"
		}
		names = append(names, name)
	}
	for _, o := range r.Outside {
		names = append(names, string(o.To+" by "+o.Alias))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func setAlias(t *testing.T, s *Store, addr Address, to ...Address) {
	t.Helper()
	if err := s.SetAlias(context.Background(), Alias{Address: addr, To: to}); err != nil {
		t.Fatal(err)
	}
}

func changeDomain(t *testing.T, s *Store, name string, f func(*Domain)) {
	t.Helper()
	_, err := s.ChangeDomain(context.Background(), name, func(d *Domain) error { f(d); return nil })
	if err != nil {
		t.Fatal(err)
	}
}

func disable(t *testing.T, s *Store, addr Address, off bool) {
	t.Helper()
	_, err := s.ChangeAccount(context.Background(), addr, func(a *Account) error { a.Disabled = off; return nil })
	if err != nil {
		t.Fatal(err)
	}
}

func TestResolve(t *testing.T) {
	s, _, _ := newStore(t, Options{})
	ctx := context.Background()
	for _, name := range []string{"bücher.example", "plain.example", "dash.example", "catch.example"} {
		if _, err := s.AddDomain(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range []Address{"jean-luc@dash.example", "jürgen@xn--bcher-kva.example", "carl@plain.example", "x y@example.org"} {
		if _, err := s.CreateAccount(ctx, NewAccount{Address: a}); err != nil {
			t.Fatal(err)
		}
	}
	setAlias(t, s, "both@example.org", "ann@example.org", "bob@example.org")
	setAlias(t, s, "all@example.org", "both@example.org", "bob@example.org")
	setAlias(t, s, "loop@example.org", "all@example.org")
	setAlias(t, s, "both@example.org", "loop@example.org", "bob@example.org")
	setAlias(t, s, "info+news@example.org", "bob@example.org")
	setAlias(t, s, "sales@example.org", "ann@example.org", "Sales.Team@example.com", "both@example.org")
	setAlias(t, s, "tagged@example.org", "ann+lists@example.org")
	setAlias(t, s, "desk@example.org", "postmaster@example.org")
	setAlias(t, s, "abuse@plain.example", "carl@plain.example")
	none, several := "", "-=+"
	changeDomain(t, s, "plain.example", func(d *Domain) { d.Separators = &none })
	changeDomain(t, s, "dash.example", func(d *Domain) { d.Separators = &several })
	changeDomain(t, s, "catch.example", func(d *Domain) { d.CatchAll = "tagged@example.org" })
	for typed, want := range map[string]string{
		"ann@example.org":              "ann",
		"ANN@EXAMPLE.org":              "ann",
		`"ann"@example.org`:            "ann",
		"ann+Shop@example.org":         "ann[shop]",
		"bob+info+news@example.org":    "bob[info+news]",
		"info+news@example.org":        "bob",
		"info+news+x@example.org":      "bob[x]",
		"info@example.org":             "nobody",
		"+ann@example.org":             "nobody",
		`"x y"@example.org`:            "x y",
		"all@example.org":              "bob",
		"tagged@example.org":           "ann[lists]",
		"tagged+x@example.org":         "ann[lists]",
		"all+x@example.org":            "bob[x]",
		"sales@example.org":            "Sales.Team@example.com by sales@example.org, ann, bob",
		"desk@example.org":             "ann",
		"postmaster@example.org":       "ann",
		"Abuse@example.org":            "ann",
		"abuse+x@example.org":          "nobody",
		"abuse@plain.example":          "carl",
		"postmaster@plain.example":     "ann",
		"carl@plain.example":           "carl",
		"carl+x@plain.example":         "nobody",
		"jean-luc@dash.example":        "jean-luc",
		"jean-luc-shop@dash.example":   "jean-luc[shop]",
		"jean-luc=a-b@dash.example":    "jean-luc[a-b]",
		"jean-lucas@dash.example":      "nobody",
		"jürgen@bücher.example":        "jürgen",
		"ju\u0308rgen@BÜCHER.example":  "jürgen",
		"JÜRGEN@xn--bcher-kva.example": "jürgen",
		"whoever@catch.example":        "ann[lists]",
		"postmaster@catch.example":     "ann",
		"ann@example.com":              "foreign",
		"nobody@example.org":           "nobody",
		"postmaster@not.example.org":   "foreign",
	} {
		addr, err := ParseAddress(typed)
		if err != nil {
			t.Fatal(err)
		}
		if got := shown(s.Resolve(addr)); got != want {
			t.Errorf("Resolve(%s) = %q, want %q", typed, got, want)
		}
	}
	if got := shown(s.Resolve(Postmaster)); got != "ann" {
		t.Errorf("bare postmaster: %s", got)
	}
}

func TestDisabledAccountsAndDomains(t *testing.T) {
	s, _, _ := newStore(t, Options{})
	ctx := context.Background()
	if _, err := s.AddDomain(ctx, "example.net"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateAccount(ctx, NewAccount{Address: "carl@example.net", Password: "secret"}); err != nil {
		t.Fatal(err)
	}
	setAlias(t, s, "both@example.org", "ann@example.org", "bob@example.org")
	setAlias(t, s, "info@example.org", "carl@example.net", "bob@example.org")
	disable(t, s, "bob@example.org", true)
	changeDomain(t, s, "example.net", func(d *Domain) { d.Disabled = true })
	for addr, want := range map[Address]string{
		"bob@example.org":        "disabled",
		"bob+x@example.org":      "disabled",
		"both@example.org":       "ann",
		"info@example.org":       "disabled",
		"carl@example.net":       "disabled",
		"nobody@example.net":     "disabled",
		"postmaster@example.net": "ann",
	} {
		if got := shown(s.Resolve(addr)); got != want {
			t.Errorf("Resolve(%s) = %q, want %q", addr, got, want)
		}
	}
	for name, kind := range map[string]error{"bob@example.org": ErrDisabled, "carl@example.net": ErrDisabled, "ann@example.org": nil} {
		if _, err := s.Login(ctx, netip.Addr{}, name, "secret"); !errors.Is(err, kind) {
			t.Errorf("Login(%s): %v, want %v", name, err, kind)
		}
		if _, err := s.Login(ctx, netip.Addr{}, name, "guess"); !errors.Is(err, ErrLogin) {
			t.Errorf("Login(%s) with a wrong password: %v", name, err)
		}
	}
	_, secret, err := s.AddDevice(ctx, "bob@example.org", "phone")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Login(ctx, netip.Addr{}, "bob", secret); !errors.Is(err, ErrDisabled) {
		t.Errorf("a device of a disabled account: %v", err)
	}
	disable(t, s, "bob@example.org", false)
	if got := shown(s.Resolve("bob@example.org")); got != "bob" {
		t.Errorf("enabled again: %s", got)
	}
}

func TestAliasUntilADate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ann, _ := newStore(t, Options{})
		end := time.Now().Add(time.Hour)
		err := s.SetAlias(context.Background(), Alias{Address: "fair@example.org", To: []Address{"ann@example.org"}, Expires: end})
		if err != nil {
			t.Fatal(err)
		}
		changeDomain(t, s, "example.org", func(d *Domain) { d.CatchAll = "bob@example.org" })
		setAlias(t, s, "wide@example.org", "fair@example.org", "bob@example.org")
		if got := shown(s.Resolve("fair+x@example.org")) + "; " + shown(s.Resolve("wide@example.org")); got != "ann[x]; ann, bob" {
			t.Errorf("before: %s", got)
		}
		time.Sleep(time.Hour)
		if got := shown(s.Resolve("fair+x@example.org")) + "; " + shown(s.Resolve("wide@example.org")); got != "expired; bob" {
			t.Errorf("after: %s", got)
		}
		if may, err := s.MaySendAs(ann.ID, "fair@example.org"); may || err != nil {
			t.Errorf("ann may still send as it: %v, %v", may, err)
		}
	})
}

func TestPostmasterReachesSomebodyAlways(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	err := s.SetAlias(ctx, Alias{Address: "postmaster@example.org", To: []Address{"bob@example.org"}, Expires: time.Now().Add(-time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []Address{"postmaster@example.org", "abuse@example.org", Postmaster} {
		r, err := s.Resolve(addr)
		if got := shown(r, err); got != "ann" || !r.Role {
			t.Errorf("%s: %s, %v", addr, got, r.Role)
		}
	}
	// A store as it never comes about by our own operations.
	err = s.update(ctx, func(tx *tx) error {
		row, err := tx.account(ann.ID)
		if err != nil {
			return err
		}
		row.Disabled = true
		return tx.putJSON(bAccounts, be32(uint32(ann.ID)), row)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := shown(s.Resolve(Postmaster)); got != "ann" {
		t.Errorf("no administrator is enabled: %s", got)
	}
}

func TestAliasesThatLeadToVeryMany(t *testing.T) {
	s, _, _ := newStore(t, Options{})
	for i := range 6 {
		var to []Address
		for j := range 200 {
			to = append(to, Address(fmt.Sprintf("%d-%d@example.com", i, j)))
		}
		if i < 5 {
			to[0] = "ann@example.org"
		}
		setAlias(t, s, Address(fmt.Sprintf("list%d@example.org", i)), to...)
	}
	setAlias(t, s, "some@example.org", "list0@example.org", "list1@example.org")
	setAlias(t, s, "most@example.org", "list0@example.org", "list1@example.org", "list2@example.org", "list3@example.org", "list4@example.org", "list5@example.org")
	if r, err := s.Resolve("some@example.org"); err != nil || len(r.Outside) != 398 || len(r.Local) != 1 {
		t.Errorf("some: %d outside, %d here, %v", len(r.Outside), len(r.Local), err)
	}
	if got := shown(s.Resolve("most@example.org")); got != "too many" {
		t.Errorf("most: %s", got)
	}
}

func TestAliasTargets(t *testing.T) {
	s, _, _ := newStore(t, Options{})
	for _, c := range []struct {
		addr Address
		to   []Address
		want error
	}{
		{"a@example.org", []Address{"ann@example.org"}, nil},
		{"a@example.org", []Address{"Someone@example.com"}, nil},
		{"a@example.org", []Address{"ann+x@example.org"}, nil},
		{"a@example.org", []Address{"abuse@example.org"}, nil},
		{"a@example.org", []Address{"nobody@example.org"}, ErrNotFound},
		{"a@example.org", []Address{"a@example.org"}, ErrInvalid},
		{"a@example.org", nil, ErrInvalid},
		{"ann@example.org", []Address{"bob@example.org"}, ErrExists},
		{"a@example.com", []Address{"bob@example.org"}, ErrNotFound},
	} {
		if err := s.SetAlias(context.Background(), Alias{Address: c.addr, To: c.to}); !errors.Is(err, c.want) {
			t.Errorf("SetAlias(%s, %s) = %v, want %v", c.addr, c.to, err, c.want)
		}
	}
}

func TestMaySendAs(t *testing.T) {
	s, ann, bob := newStore(t, Options{})
	ctx := context.Background()
	if _, err := s.AddDomain(ctx, "catch.example"); err != nil {
		t.Fatal(err)
	}
	setAlias(t, s, "office@example.org", "ann@example.org", "else@example.com")
	setAlias(t, s, "team@example.org", "office@example.org", "bob@example.org")
	changeDomain(t, s, "catch.example", func(d *Domain) { d.CatchAll = "bob@example.org" })
	for _, c := range []struct {
		id   AccountID
		addr Address
		want bool
	}{
		{ann.ID, "ann@example.org", true},
		{ann.ID, "ann+x@example.org", true},
		{ann.ID, "office@example.org", true},
		{ann.ID, "team@example.org", true},
		{bob.ID, "team@example.org", true},
		{bob.ID, "office@example.org", false},
		{ann.ID, "bob@example.org", false},
		{ann.ID, "nobody@example.org", false},
		{ann.ID, "ann@example.com", false},
		{ann.ID, "postmaster@example.org", true}, // its mail comes to her
		{bob.ID, "postmaster@example.org", false},
		{bob.ID, "shop@catch.example", true},
		{ann.ID, "shop@catch.example", false},
	} {
		if got, err := s.MaySendAs(c.id, c.addr); got != c.want || err != nil {
			t.Errorf("MaySendAs(%d, %s) = %v, %v", c.id, c.addr, got, err)
		}
	}
	if got, err := s.Senders(ann.ID); err != nil || fmt.Sprint(got) != "[ann@example.org office@example.org team@example.org]" {
		t.Errorf("Senders = %v, %v", got, err)
	}
}

func TestTheLastAdministratorStays(t *testing.T) {
	s, ann, bob := newStore(t, Options{})
	ctx := context.Background()
	change := func(addr Address, f func(*Account)) error {
		_, err := s.ChangeAccount(ctx, addr, func(a *Account) error { f(a); return nil })
		return err
	}
	if err := change(ann.Address, func(a *Account) { a.Disabled = true }); !errors.Is(err, ErrInvalid) {
		t.Errorf("disabled: %v", err)
	}
	if err := change(ann.Address, func(a *Account) { a.Admin = false }); !errors.Is(err, ErrInvalid) {
		t.Errorf("demoted: %v", err)
	}
	if err := s.RemoveAccount(ctx, ann.Address); !errors.Is(err, ErrInvalid) {
		t.Errorf("removed: %v", err)
	}
	if _, err := s.ChangeDomain(ctx, "example.org", func(d *Domain) error { d.Disabled = true; return nil }); !errors.Is(err, ErrInvalid) {
		t.Errorf("the domain disabled: %v", err)
	}
	if err := change(bob.Address, func(a *Account) { a.Admin = true }); err != nil {
		t.Fatal(err)
	}
	if err := change(ann.Address, func(a *Account) { a.Disabled, a.ID, a.Address = true, 77, "x@y.z" }); err != nil {
		t.Fatal(err)
	}
	if a, err := s.Account(ann.Address); err != nil || !a.Disabled || a.ID != ann.ID {
		t.Errorf("%+v, %v", a, err)
	}
	if err := change(bob.Address, func(a *Account) { a.Admin = false }); !errors.Is(err, ErrInvalid) {
		t.Errorf("the other one is disabled, and the last demoted: %v", err)
	}
}

func TestSeparators(t *testing.T) {
	s, _, _ := newStore(t, Options{})
	for _, set := range []string{"a", ".", "@", " ", "ß", "+\n"} {
		_, err := s.ChangeDomain(context.Background(), "example.org", func(d *Domain) error { d.Separators = &set; return nil })
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", set, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{"ann@example.org", `"a b"@x.y`, `"\"a\""@x.y`, "JÜRGEN@BÜCHER.example", "İ@x.y", "a@[1.2.3.4]", "a@b@c.d", "ﬁ@ﬁ.example"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Error(err)
			}
			return
		}
		again, err := ParseAddress(string(a))
		if err != nil || again != a {
			t.Errorf("%q is %q, and that is %q, %v", text, a, again, err)
		}
	})
}
