package mailbox

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestLoginNames(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	if _, err := s.AddDomain(ctx, "example.net"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateAccount(ctx, NewAccount{Address: "bob@example.net", Password: "other"}); err != nil {
		t.Fatal(err)
	}
	if err := s.SetAlias(ctx, Alias{Address: "office@example.org", To: []Address{"ann@example.org"}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, password, want string
	}{
		{"ann@example.org", "secret", "ann@example.org"},
		{" Ann@Example.ORG ", "secret", "ann@example.org"},
		{"ANN", "secret", "ann@example.org"},
		{"bob@example.net", "other", "bob@example.net"},
		{"bob", "secret", ""}, // two of that name
		{"bob@example.net", "secret", ""},
		{"office@example.org", "secret", ""}, // an alias is no login name
		{"ann@example.org", "Secret", ""},
		{"ann@example.org", "", ""},
		{"nobody@example.org", "secret", ""},
		{"", "", ""},
		{"@", "secret", ""},
	} {
		a, err := s.Login(ctx, netip.Addr{}, c.name, c.password)
		if string(a.Address) != c.want || (c.want == "") != errors.Is(err, ErrLogin) {
			t.Errorf("Login(%q, %q) = %q, %v, want %q", c.name, c.password, a.Address, err, c.want)
		}
	}
	if err := s.SetPassword(ctx, ann.Address, "new one"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Login(ctx, netip.Addr{}, "ann", "secret"); !errors.Is(err, ErrLogin) {
		t.Errorf("the old password still works: %v", err)
	}
	if _, err := s.Login(ctx, netip.Addr{}, "ann", "new one"); err != nil {
		t.Errorf("the new password: %v", err)
	}
}

func TestPasswordInAnotherUnicodeForm(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	if err := s.SetPassword(ctx, ann.Address, "caf\u00e9"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Login(ctx, netip.Addr{}, "ann", "cafe\u0301"); err != nil {
		t.Errorf("composed and decomposed: %v", err)
	}
	if err := s.SetPassword(ctx, ann.Address, ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("empty password: %v", err)
	}
}

func TestDevices(t *testing.T) {
	s, ann, bob := newStore(t, Options{})
	ctx := context.Background()
	d, secret, err := s.AddDevice(ctx, ann.Address, "Ann's phone")
	if err != nil {
		t.Fatal(err)
	}
	if parts := strings.Split(secret, "-"); len(parts) != 6 || len(secret) != 29 {
		t.Errorf("secret %q", secret)
	}
	for _, typed := range []string{secret, strings.ToUpper(secret), strings.ReplaceAll(secret, "-", " "), strings.ReplaceAll(secret, "-", "")} {
		if a, err := s.Login(ctx, netip.Addr{}, "ann", typed); err != nil || a.ID != ann.ID {
			t.Errorf("Login with %q: %v", typed, err)
		}
	}
	if _, err := s.Login(ctx, netip.Addr{}, "bob", secret); !errors.Is(err, ErrLogin) {
		t.Errorf("bob logs in with ann's device: %v", err)
	}
	if _, _, err := s.AddDevice(ctx, ann.Address, "ann's PHONE"); !errors.Is(err, ErrExists) {
		t.Errorf("the same name again: %v", err)
	}
	all, err := s.Devices(ann.Address)
	if err != nil || len(all) != 1 || all[0].ID != d.ID || all[0].LastUsed.IsZero() {
		t.Errorf("devices %+v, %v", all, err)
	}
	if err := s.RemoveDevice(ctx, bob.Address, d.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("bob removes ann's device: %v", err)
	}
	if err := s.RemoveDevice(ctx, ann.Address, d.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Login(ctx, netip.Addr{}, "ann", secret); !errors.Is(err, ErrLogin) {
		t.Errorf("a removed device logs in: %v", err)
	}
}

func TestDeviceLogsInWhileNothingCanBeWritten(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	_, secret, err := s.AddDevice(ctx, ann.Address, "phone")
	if err != nil {
		t.Fatal(err)
	}
	s.broken.Store(true)
	if a, err := s.Login(ctx, netip.Addr{}, "ann", secret); err != nil || a.ID != ann.ID {
		t.Errorf("Login: %v", err)
	}
	s.broken.Store(false)
}

func TestAddresses(t *testing.T) {
	for typed, want := range map[string]Address{
		"Ann@Example.ORG":                        "ann@example.org",
		`"Ann Smith"@example.org`:                "ann smith@example.org",
		`"a\"b"@example.org`:                     `a"b@example.org`,
		"ann@bücher.example":                     "ann@xn--bcher-kva.example",
		"ann@XN--BCHER-KVA.example":              "ann@xn--bcher-kva.example",
		"ann@example.org.":                       "ann@example.org",
		"jürgen@example.org":                     "jürgen@example.org",
		"ann":                                    "",
		"@example.org":                           "",
		"ann@":                                   "",
		"ann@exa mple.org":                       "",
		"ann@a..b":                               "",
		"an\x01n@example.org":                    "",
		strings.Repeat("a", 65) + "@example.org": "",
	} {
		got, err := ParseAddress(typed)
		if got != want || (want == "") != errors.Is(err, ErrInvalid) {
			t.Errorf("ParseAddress(%q) = %q, %v, want %q", typed, got, err, want)
		}
	}
}

func TestDomains(t *testing.T) {
	s, _, _ := newStore(t, Options{})
	ctx := context.Background()
	if _, err := s.AddDomain(ctx, "Example.ORG."); !errors.Is(err, ErrExists) {
		t.Errorf("the same domain again: %v", err)
	}
	if err := s.RemoveDomain(ctx, "example.org"); !errors.Is(err, ErrInvalid) {
		t.Errorf("removing a domain in use: %v", err)
	}
	d, err := s.Domain("example.org")
	if err != nil || len(d.Keys) != 2 {
		t.Fatalf("%+v, %v", d, err)
	}
	for _, k := range d.Keys {
		v, err := k.Record()
		if err != nil || !strings.HasPrefix(v, "v=DKIM1; k="+k.Algorithm+"; p=") {
			t.Errorf("record %q, %v", v, err)
		}
	}
	if _, err := s.CreateAccount(ctx, NewAccount{Address: "x@example.com"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("account in a foreign domain: %v", err)
	}
}
