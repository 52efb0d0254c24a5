package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"

	"roost/mailbox/sasl"
	"roost/mailbox/sasl/sasltest"
)

// scramLogin plays a client of SCRAM that knows a name and a secret, to the end at
// which the server has proved itself too.
func scramLogin(t *testing.T, s *Store, from, name, secret string) (a Account, only Address, err error) {
	t.Helper()
	addr, _ := netip.ParseAddr(from) // "" is nowhere
	x, err := sasl.Door{SCRAM: &sasl.SCRAM{
		Salt: func(_ context.Context, name string) ([]byte, int, error) { return s.Salt(name) },
		Prove: func(ctx context.Context, name string, p sasl.Proof) ([]byte, error) {
			who, key, err := s.LoginProofToSend(ctx, addr, name, p)
			a, only = who.Account, who.Only
			if err == nil && only == "" {
				if same, _, err := s.LoginProof(ctx, addr, name, p); same.ID != a.ID || err != nil {
					t.Errorf("to read: %+v, %v", same, err)
				}
			} else if err == nil {
				if _, _, err := s.LoginProof(ctx, addr, name, p); !errors.Is(err, ErrDisabled) {
					t.Errorf("to read with one that only sends: %v", err)
				}
			}
			return key, err
		},
	}}.Start("SCRAM-SHA-256")
	if err != nil {
		t.Fatal(err)
	}
	c := &sasltest.Client{Name: name, Password: secret, Nonce: "nonce"}
	challenge, _, err := x.Next(context.Background(), []byte(c.First()))
	if err != nil {
		t.Fatal(err)
	}
	final, err := c.Final(string(challenge))
	if err != nil {
		t.Fatal(err)
	}
	if challenge, _, err = x.Next(context.Background(), []byte(final)); err != nil {
		return Account{}, "", err
	}
	return a, only, c.Verify(string(challenge))
}

func TestProofs(t *testing.T) {
	s, ann, bob := newStore(t, Options{})
	ctx := context.Background()
	_, phone, err := s.AddDevice(ctx, ann.Address, "phone")
	d, laptop, err2 := s.AddDevice(ctx, ann.Address, "laptop")
	_, scanner, err3 := s.AddSender(ctx, ann.Address, "scanner", ann.Address)
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, secret string
		only         Address
		in           bool
	}{
		{"ann@example.org", phone, "", true},
		{" Ann@Example.Org ", laptop, "", true},
		{"ann", phone, "", true},
		{"ann", scanner, ann.Address, true},
		{"ann", "secret", "", false}, // of which no keys are kept
		{"ann", phone + "x", "", false},
		{"bob", phone, "", false},
		{"nobody@example.org", phone, "", false},
	} {
		a, only, err := scramLogin(t, s, "", c.name, c.secret)
		if c.in && (err != nil || a.ID != ann.ID || only != c.only) || !c.in && !errors.Is(err, ErrLogin) {
			t.Errorf("%s with %s: %+v, %s, %v", c.name, c.secret, a, only, err)
		}
	}
	if devices, err := s.Devices(ann.Address); err != nil || devices[0].LastUsed.IsZero() {
		t.Errorf("%+v, %v", devices, err)
	}
	if err := s.RemoveDevice(ctx, ann.Address, d.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := scramLogin(t, s, "", "ann", laptop); !errors.Is(err, ErrLogin) {
		t.Errorf("a device that was removed: %v", err)
	}
	_, secret, err := s.AddDevice(ctx, bob.Address, "phone")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ChangeAccount(ctx, bob.Address, func(a *Account) error { a.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, _, err := scramLogin(t, s, "", "bob", secret); !errors.Is(err, ErrDisabled) {
		t.Errorf("disabled: %v", err)
	}
}

func TestWhereProofsAreTaken(t *testing.T) {
	s, ann, bob := newStore(t, Options{})
	ctx := context.Background()
	change := func(who Address, f func(*Account)) {
		t.Helper()
		if _, err := s.ChangeAccount(ctx, who, func(a *Account) error { f(a); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, want bool) {
		t.Helper()
		if got, err := s.TakesProofs(); got != want || err != nil {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	want("two passwords of their own", false)
	change(ann.Address, func(a *Account) { a.AppOnly = true })
	want("one", false)
	change(bob.Address, func(a *Account) { a.Disabled = true })
	want("one of somebody disabled", true)
	change(bob.Address, func(a *Account) { a.Disabled, a.AppOnly = false, true })
	want("none", true)
	if _, err := s.CreateAccount(ctx, NewAccount{Address: "robot@example.org"}); err != nil {
		t.Fatal(err)
	}
	want("one who never had a password", true)
	if err := s.SetPassword(ctx, "robot@example.org", "metal"); err != nil {
		t.Fatal(err)
	}
	want("until they have", false)

	empty := openStore(t, t.TempDir(), Options{})
	if got, err := empty.TakesProofs(); got || err != nil {
		t.Errorf("nobody: %v, %v", got, err)
	}
}

// TestAppPasswordsOnly: the account's own password opens the panel and nothing else,
// and who has it is told.
func TestAppPasswordsOnly(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	_, phone, err := s.AddDevice(ctx, ann.Address, "phone")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ChangeAccount(ctx, ann.Address, func(a *Account) error { a.AppOnly = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Login(ctx, netip.Addr{}, "ann", "secret"); !errors.Is(err, ErrDisabled) || err.Error() != "this password of ann@example.org opens the panel only: make an app password there for this program" {
		t.Errorf("to read: %v", err)
	}
	if _, err := s.LoginToSend(ctx, netip.Addr{}, "ann", "secret"); !errors.Is(err, ErrDisabled) {
		t.Errorf("to send: %v", err)
	}
	if _, err := s.Login(ctx, netip.Addr{}, "ann", "guess"); !errors.Is(err, ErrLogin) {
		t.Errorf("a wrong one: %v", err)
	}
	if _, err := s.Login(ctx, netip.Addr{}, "ann", phone); err != nil {
		t.Errorf("an app password: %v", err)
	}
	if _, err := s.LoginPerson(ctx, netip.Addr{}, "ann", "secret"); err != nil {
		t.Errorf("at the panel: %v", err)
	}
}

// TestSaltForNobody: who asks for a salt does not learn whether a name is somebody's.
func TestSaltForNobody(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	ctx := context.Background()
	_, err := s.AddDomain(ctx, "example.org")
	if err == nil {
		_, err = s.CreateAccount(ctx, NewAccount{Address: "ann@example.org"})
	}
	if err != nil {
		t.Fatal(err)
	}
	salt := func(name string) []byte {
		t.Helper()
		salt, n, err := s.Salt(name)
		if len(salt) != 16 || n != 4096 || err != nil {
			t.Errorf("%s: %x, %d, %v", name, salt, n, err)
		}
		return salt
	}
	first, real := salt("nobody@example.org"), salt("ann@example.org")
	if bytes.Equal(first, real) || bytes.Equal(first, salt("nobody@example.net")) || bytes.Equal(salt("nobody"), salt("nobody2")) {
		t.Error("two names have one salt")
	}
	for _, name := range []string{"nobody@example.org", " Nobody@EXAMPLE.org "} {
		if !bytes.Equal(first, salt(name)) {
			t.Errorf("%q: another salt", name)
		}
	}
	salt("")
	closeStore(t, s)
	s = openStore(t, dir, Options{})
	if !bytes.Equal(first, salt("nobody@example.org")) || !bytes.Equal(real, salt("ann")) {
		t.Error("other salts after a restart")
	}
}

// TestWrongProofs of one name count once, as a program that knows an old secret
// makes another one each time; those of many names are guesses.
func TestWrongProofs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ann, _ := newStore(t, Options{})
		_, secret, err := s.AddDevice(context.Background(), ann.Address, "phone")
		if err != nil {
			t.Fatal(err)
		}
		const from = "192.0.2.1"
		for range 60 {
			if _, _, err := scramLogin(t, s, from, "ann", "old"); !errors.Is(err, ErrLogin) {
				t.Fatal(err)
			}
		}
		if len(s.Blocks()) != 0 {
			t.Fatal("locked out by an old secret")
		}
		for n := range 9 {
			if _, _, err := scramLogin(t, s, from, fmt.Sprint("name", n), "old"); !errors.Is(err, ErrLogin) {
				t.Fatal(err)
			}
		}
		for n := range 10 {
			if _, _, err := scramLogin(t, s, from, fmt.Sprint("another", n), "old"); !errors.Is(err, ErrLogin) && !errors.Is(err, ErrBlocked) {
				t.Fatal(err)
			}
		}
		if _, _, err := scramLogin(t, s, from, "ann", secret); !errors.Is(err, ErrBlocked) {
			t.Errorf("after the names: %v", err)
		}
		if _, _, err := scramLogin(t, s, "192.0.2.2", "ann", secret); err != nil {
			t.Errorf("from elsewhere: %v", err)
		}
	})
}
