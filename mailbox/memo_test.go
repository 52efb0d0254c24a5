package mailbox

import (
	"fmt"
	"testing"
)

func TestMemoNeverAnswersForAnotherRow(t *testing.T) {
	var m memo[Settings]
	for range 2 { // the second time from memory, as far as it reaches
		for i := range 2 * memoRows {
			want := fmt.Sprintf("h%d.example.org", i)
			v, err := m.parse(fmt.Appendf(nil, `{"hostname":%q}`, want))
			if err != nil || v.Hostname != want {
				t.Fatalf("%q, %v; want %s", v.Hostname, err, want)
			}
			if len(m.read) > memoRows {
				t.Fatalf("%d rows are kept", len(m.read))
			}
		}
	}
	for range 2 {
		if _, err := m.parse([]byte(`{"hostname":`)); err == nil {
			t.Fatal("half a row was read")
		}
	}
}

// What a caller does with what it was given is its own affair.
func TestSettingsAreTheCallersOwn(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := t.Context()
	err := s.ChangeSettings(ctx, func(v *Settings) error {
		v.IPv4 = []string{"192.0.2.1"}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ChangeAccount(ctx, ann.Address, func(a *Account) error {
		a.Hidden = []string{"NOTIFY"}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		v, err := s.Settings()
		if err != nil || v.IPv4[0] != "192.0.2.1" {
			t.Fatalf("%v, %v", v.IPv4, err)
		}
		v.IPv4[0] = "scribbled"
		a, err := s.Account(ann.Address)
		if err != nil || a.Hidden[0] != "NOTIFY" {
			t.Fatalf("%v, %v", a.Hidden, err)
		}
		a.Hidden[0] = "scribbled"
	}
}
