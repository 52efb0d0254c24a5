package admin_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"

	"roost/admin"
	"roost/mailbox"
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

// TestLockoutsWithoutAServer: a command that opens the store itself lists and lifts what a server
// that has ended blocked.
func TestLockoutsWithoutAServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		with := func(f func(*admin.Office)) {
			store, err := mailbox.Open(dir, mailbox.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := store.Close(); err != nil {
					t.Error(err)
				}
			}()
			f(&admin.Office{Store: store})
		}
		owner := admin.Caller{Owner: true}
		with(func(o *admin.Office) {
			for n := range 10 {
				if _, err := o.Store.Login(t.Context(), netip.MustParseAddr("192.0.2.1"), "anna@example.org", fmt.Sprint(n)); err == nil {
					t.Fatal("in")
				}
			}
		})
		with(func(o *admin.Office) {
			list := do(t, o, owner, "lockout list", nil).([]admin.Lockout)
			if len(list) != 1 || list[0].Address != "192.0.2.1" || list[0].Wrong != 10 {
				t.Errorf("%+v", list)
			}
			do(t, o, owner, "lockout lift", func(args any) { set(args, "From", "192.0.2.1") })
		})
		with(func(o *admin.Office) {
			if list := do(t, o, owner, "lockout list", nil).([]admin.Lockout); len(list) != 0 {
				t.Errorf("%+v", list)
			}
		})
	})
}
