package sasl_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"roost/mailbox/sasl"
)

var errWrong = errors.New("wrong")

func door(_ context.Context, name, password string) error {
	if name == "me@example.org" && password == "päss" {
		return nil
	}
	return errWrong
}

func TestExchange(t *testing.T) {
	none := "\x01" // no initial response
	tests := []struct {
		name, mechanism string
		responses       []string
		challenges      []string
		err             error
	}{
		{"plain", "PLAIN", []string{"\x00me@example.org\x00päss"}, nil, nil},
		{"plain asked", "plain", []string{none, "\x00me@example.org\x00päss"}, []string{""}, nil},
		{"plain as oneself", "PLAIN", []string{"ME@example.org\x00me@example.org\x00päss"}, nil, nil},
		{"plain as another", "PLAIN", []string{"you@example.org\x00me@example.org\x00päss"}, nil, sasl.ErrOtherIdentity},
		{"plain wrong", "PLAIN", []string{"\x00me@example.org\x00pass"}, nil, errWrong},
		{"plain empty", "PLAIN", []string{""}, nil, sasl.ErrMalformed},
		{"plain without a password", "PLAIN", []string{"\x00me@example.org\x00"}, nil, sasl.ErrMalformed},
		{"plain of four", "PLAIN", []string{"\x00me@example.org\x00päss\x00"}, nil, sasl.ErrMalformed},
		{"plain not UTF-8", "PLAIN", []string{"\x00me\xff\x00x"}, nil, sasl.ErrMalformed},
		{"plain long", "PLAIN", []string{"\x00me\x00" + strings.Repeat("x", 1025)}, nil, sasl.ErrMalformed},
		{"login", "LOGIN", []string{none, "me@example.org", "päss"}, []string{"Username:", "Password:"}, nil},
		{"login with the name first", "Login", []string{"me@example.org", "päss"}, []string{"Password:"}, nil},
		{"login wrong", "LOGIN", []string{none, "me@example.org", "x"}, []string{"Username:", "Password:"}, errWrong},
		{"login without a name", "LOGIN", []string{none, ""}, []string{"Username:"}, sasl.ErrMalformed},
		{"login without a password", "LOGIN", []string{none, "me", ""}, []string{"Username:", "Password:"}, sasl.ErrMalformed},
		{"unknown", "CRAM-MD5", nil, nil, sasl.ErrUnknownMechanism},
		{"not offered", "SCRAM-SHA-256", nil, nil, sasl.ErrUnknownMechanism},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x, err := sasl.Door{Login: door}.Start(tt.mechanism)
			var challenges []string
			done := false
			for _, r := range tt.responses {
				if err != nil || done {
					t.Fatal("it ended before", r)
				}
				response := []byte(r)
				if r == none {
					response = nil
				}
				var c []byte
				if c, done, err = x.Next(t.Context(), response); err == nil && !done {
					challenges = append(challenges, string(c))
				}
			}
			if !errors.Is(err, tt.err) || done != (tt.err == nil) {
				t.Errorf("done %v, err %v, want %v", done, err, tt.err)
			}
			if strings.Join(challenges, "|") != strings.Join(tt.challenges, "|") {
				t.Errorf("challenges %q, want %q", challenges, tt.challenges)
			}
		})
	}
}

// FuzzExchange holds that no response logs in but the right name and password.
func FuzzExchange(f *testing.F) {
	f.Add("PLAIN", []byte("\x00me@example.org\x00päss"), []byte{})
	f.Add("LOGIN", []byte("me@example.org"), []byte("päss"))
	f.Fuzz(func(t *testing.T, mechanism string, first, second []byte) {
		x, err := sasl.Door{Login: door}.Start(mechanism)
		if err != nil {
			return
		}
		for _, r := range [][]byte{first, second} {
			_, done, err := x.Next(t.Context(), r)
			if done && (err != nil || !bytes.Contains(append(first, second...), []byte("päss"))) {
				t.Fatalf("%s %q %q: %v", mechanism, first, second, err)
			}
			if err != nil || done {
				return
			}
		}
	})
}
