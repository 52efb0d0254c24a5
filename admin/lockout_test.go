package admin_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"

	"roost/admin"
)

func TestLockouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := office(t)
		owner := admin.Caller{Owner: true}
		for _, from := range []string{"192.0.2.1", "2001:db8::1"} {
			for n := range 10 {
				if _, err := o.Store.Login(t.Context(), netip.MustParseAddr(from), "anna@example.org", fmt.Sprint(n)); err == nil {
					t.Fatal("in")
				}
			}
		}
		shown := func() (text string) {
			for _, l := range do(t, o, owner, "lockout list", nil).([]admin.Lockout) {
				text += fmt.Sprintf("%s %d %s;", l.Address, l.Wrong, l.Until.Sub(l.Since))
			}
			return text
		}
		if got := shown(); got != "2001:db8::/64 10 10m0s;192.0.2.1 10 10m0s;" {
			t.Error(got)
		}
		for _, from := range []string{"2001:db8::/64", "192.0.2.1"} {
			do(t, o, owner, "lockout lift", func(args any) { set(args, "From", from) })
		}
		if got := shown(); got != "" {
			t.Error(got)
		}
		for from, kind := range map[string]admin.Kind{"192.0.2.1": admin.NotFound, "example.org": admin.Invalid} {
			if _, err := try(o, owner, "lockout lift", func(args any) { set(args, "From", from) }); err == nil || admin.Explain(err).Kind != kind {
				t.Errorf("%s: %v", from, err)
			}
		}
	})
}
