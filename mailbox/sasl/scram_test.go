package sasl

import (
	"context"
	"errors"
	"strings"
	"testing"

	"roost/mailbox/sasl/sasltest"
)

var (
	errWrong = errors.New("wrong")
	salt     = []byte{0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81}
)

// register knows the secret "pencil" of "user" and "a,b=c", and others of theirs
// that are tried before it.
func register(t testing.TB, b Binding) *SCRAM {
	t.Helper()
	type keys struct{ stored, server []byte }
	var all []keys
	for _, secret := range []string{"pen", "crayon", "pencil"} {
		stored, server, err := Keys(secret, salt, 4096)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, keys{stored, server})
	}
	return &SCRAM{
		Salt: func(context.Context, string) ([]byte, int, error) { return salt, 4096, nil },
		Prove: func(_ context.Context, name string, p Proof) ([]byte, error) {
			for _, k := range all {
				if (name == "user" || name == "a,b=c") && p.Fits(k.stored) {
					return k.server, nil
				}
			}
			return nil, errWrong
		},
		Binding: b,
	}
}

// RFC 7677 section 3.
func TestScramOfTheRFC(t *testing.T) {
	x := newScram(register(t, nil), false)
	x.nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	for _, step := range []struct{ response, challenge string }{
		{"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"},
		{"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	} {
		challenge, done, err := x.Next(t.Context(), []byte(step.response))
		if string(challenge) != step.challenge || done || err != nil {
			t.Fatalf("%q: %q, %v, %v", step.response, challenge, done, err)
		}
	}
	if challenge, done, err := x.Next(t.Context(), []byte{}); challenge != nil || !done || err != nil {
		t.Errorf("at the end: %q, %v, %v", challenge, done, err)
	}
}

func TestScram(t *testing.T) {
	exporter := Binding{"tls-exporter": []byte("the channel")}
	type client = sasltest.Client
	tests := []struct {
		name      string
		mechanism string
		offered   Binding
		client    client
		alter     func(string) string // of client-final-message
		err       error
	}{
		{"plain", "SCRAM-SHA-256", nil, client{}, nil, nil},
		{"in small letters", "scram-sha-256", nil, client{}, nil, nil},
		{"the first secret of three", "SCRAM-SHA-256", nil, client{Password: "pen"}, nil, nil},
		{"a name with a comma and an equals sign", "SCRAM-SHA-256", nil, client{Name: "a,b=c"}, nil, nil},
		{"a client that could bind, without an offer", "SCRAM-SHA-256", nil, client{Flag: "y"}, nil, nil},
		{"a client that can't bind, with an offer", "SCRAM-SHA-256", exporter, client{Flag: "n"}, nil, nil},
		{"bound", "SCRAM-SHA-256-PLUS", exporter, client{Flag: "p=tls-exporter", Binding: []byte("the channel")}, nil, nil},
		{"as oneself", "SCRAM-SHA-256", nil, client{As: "USER"}, nil, nil},

		{"as another", "SCRAM-SHA-256", nil, client{As: "other"}, nil, ErrOtherIdentity},
		{"wrong", "SCRAM-SHA-256", nil, client{Password: "pencils"}, nil, errWrong},
		{"unknown", "SCRAM-SHA-256", nil, client{Name: "nobody"}, nil, errWrong},
		{"the offer taken away on the way", "SCRAM-SHA-256", exporter, client{Flag: "y"}, nil, ErrBinding},
		{"another channel", "SCRAM-SHA-256-PLUS", exporter, client{Flag: "p=tls-exporter", Binding: []byte("another channel")}, nil, ErrBinding},
		{"no channel", "SCRAM-SHA-256-PLUS", exporter, client{Flag: "p=tls-exporter"}, nil, ErrBinding},
		{"another type", "SCRAM-SHA-256-PLUS", exporter, client{Flag: "p=tls-unique", Binding: []byte("the channel")}, nil, ErrBinding},
		{"no type", "SCRAM-SHA-256-PLUS", exporter, client{Flag: "p="}, nil, ErrBinding},
		{"PLUS without binding", "SCRAM-SHA-256-PLUS", exporter, client{Flag: "n"}, nil, ErrMalformed},
		{"PLUS with y", "SCRAM-SHA-256-PLUS", exporter, client{Flag: "y"}, nil, ErrMalformed},
		{"binding without PLUS", "SCRAM-SHA-256", exporter, client{Flag: "p=tls-exporter", Binding: []byte("the channel")}, nil, ErrMalformed},
		{"PLUS that is not offered", "SCRAM-SHA-256-PLUS", nil, client{Flag: "p=tls-exporter"}, nil, ErrUnknownMechanism},
		{"another flag", "SCRAM-SHA-256", nil, client{Flag: "x"}, nil, ErrMalformed},
		{"no nonce", "SCRAM-SHA-256", nil, client{Nonce: " "}, nil, ErrMalformed},
		{"a long nonce", "SCRAM-SHA-256", nil, client{Nonce: strings.Repeat("x", 513)}, nil, ErrMalformed},
		{"a long name", "SCRAM-SHA-256", nil, client{Name: strings.Repeat("x", 1025)}, nil, ErrMalformed},
		{"a long message", "SCRAM-SHA-256", nil, client{}, func(s string) string { return s + strings.Repeat("=", 4096) }, ErrMalformed},
		{"a name that is not UTF-8", "SCRAM-SHA-256", nil, client{Name: "us\xff"}, nil, ErrMalformed},
		{"a name with a NUL", "SCRAM-SHA-256", nil, client{Name: "user\x00"}, nil, ErrMalformed},
		{"another nonce", "SCRAM-SHA-256", nil, client{}, func(s string) string { return strings.Replace(s, "r=", "r=x", 1) }, ErrMalformed},
		{"a header that was changed", "SCRAM-SHA-256", nil, client{}, func(s string) string { return strings.Replace(s, "c=biws", "c=eSws", 1) }, ErrBinding},
		{"no proof", "SCRAM-SHA-256", nil, client{}, func(s string) string { s, _, _ = strings.Cut(s, ",p="); return s }, ErrMalformed},
		{"a short proof", "SCRAM-SHA-256", nil, client{}, func(s string) string { s, _, _ = strings.Cut(s, ",p="); return s + ",p=QUJD" }, ErrMalformed},
		{"an extension that nobody signed", "SCRAM-SHA-256", nil, client{}, func(s string) string { return strings.Replace(s, ",p=", ",x=1,p=", 1) }, errWrong},
		{"nothing", "SCRAM-SHA-256", nil, client{}, func(string) string { return "" }, ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.client
			if c.Name == "" {
				c.Name = "user"
			}
			if c.Password == "" {
				c.Password = "pencil"
			}
			if c.Nonce == "" {
				c.Nonce = "fyko+d2lbbFgONRv9qkxdawL"
			}
			err := exchange(t, Door{SCRAM: register(t, tt.offered)}, tt.mechanism, &c, tt.alter)
			if !errors.Is(err, tt.err) {
				t.Errorf("%v, want %v", err, tt.err)
			}
		})
	}
}

// exchange plays a client's part.
func exchange(t testing.TB, d Door, mechanism string, c *sasltest.Client, alter func(string) string) error {
	x, err := d.Start(mechanism)
	if err != nil {
		return err
	}
	if challenge, done, err := x.Next(t.Context(), nil); len(challenge) > 0 || done || err != nil {
		t.Fatalf("a client that waits for its turn: %q, %v, %v", challenge, done, err)
	}
	challenge, done, err := x.Next(t.Context(), []byte(c.First()))
	if err != nil {
		return err
	}
	final, err := c.Final(string(challenge))
	if err != nil || done {
		t.Fatal(err, done)
	}
	if alter != nil {
		final = alter(final)
	}
	if challenge, done, err = x.Next(t.Context(), []byte(final)); err != nil {
		return err
	}
	if err := c.Verify(string(challenge)); err != nil || done {
		t.Fatal(err, done)
	}
	if _, done, err = x.Next(t.Context(), []byte{}); !done || err != nil {
		t.Fatal(done, err)
	}
	return nil
}

func TestScramMalformed(t *testing.T) {
	for _, first := range []string{
		"", "n", "n,", "n,,", "n,,n=user", "n,,r=nonce,n=user", "n,,m=must,n=user,r=nonce", "n,,n=,r=nonce", "n,,n=us=er,r=nonce",
		"n,,n=us=2c,r=nonce", "n,,n=user,r=", "n,,n=user,r=n\xc3\xa4", "n,b=user,n=user,r=nonce", "n,a=us=er,n=user,r=nonce", "p,,n=user,r=nonce",
	} {
		x := newScram(register(t, nil), false)
		if challenge, done, err := x.Next(t.Context(), []byte(first)); !errors.Is(err, ErrMalformed) || done || challenge != nil {
			t.Errorf("%q: %q, %v, %v", first, challenge, done, err)
		}
	}
	x := newScram(register(t, nil), false)
	if challenge, _, err := x.Next(t.Context(), []byte("n,,n=user,r=nonce,x=an extension")); err != nil || !strings.HasPrefix(string(challenge), "r=nonce") {
		t.Errorf("an extension that may be ignored: %q, %v", challenge, err)
	}
}

func TestMechanisms(t *testing.T) {
	for want, d := range map[string]Door{
		"PLAIN LOGIN":                                  {},
		"SCRAM-SHA-256 PLAIN LOGIN":                    {SCRAM: &SCRAM{}},
		"SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN": {SCRAM: &SCRAM{Binding: Binding{"tls-exporter": {1}}}},
	} {
		if got := strings.Join(d.Mechanisms(), " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// FuzzScram holds that nothing logs in but a proof, whatever the client says.
func FuzzScram(f *testing.F) {
	f.Add("n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "c=biws,r=rOprNGfwEbeRWgbNEkqOx,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", false)
	f.Add("p=tls-exporter,a=user,n=us=2Cer=3D,r=x,e=1", "c=cD10bHMtZXhwb3J0ZXIsLA==,r=xx,e=1,p=", true)
	s := register(f, Binding{"tls-exporter": []byte("the channel")})
	f.Fuzz(func(t *testing.T, first, final string, plus bool) {
		x := newScram(s, plus)
		x.nonce = "x"
		for _, r := range []string{first, final, ""} {
			challenge, done, err := x.Next(t.Context(), []byte(r))
			if done || strings.HasPrefix(string(challenge), "v=") {
				t.Fatalf("%q, %q: in", first, final)
			}
			if err != nil {
				return
			}
		}
	})
}
