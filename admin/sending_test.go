package admin_test

import (
	"strings"
	"testing"

	"roost/admin"
	"roost/mailbox"
)

// withAnna is an office with the account anna@example.org.
func withAnna(t *testing.T) *admin.Office {
	t.Helper()
	o := office(t)
	if _, err := o.Store.CreateAccount(t.Context(), mailbox.NewAccount{Address: "anna@example.org"}); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestSendingLimits(t *testing.T) {
	o := withAnna(t)
	owner := admin.Caller{Owner: true}
	show := func(account string) (text string) {
		var b strings.Builder
		s := do(t, o, owner, "sending show", func(args any) { set(args, "Account", account) }).(admin.Sending)
		if err := s.Text(&b, nil); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	limit := func(account, messages, recipients string) {
		t.Helper()
		do(t, o, owner, "sending set", func(args any) {
			set(args, "Account", account)
			set(args, "Messages", messages)
			set(args, "Recipients", recipients)
		})
	}
	for _, c := range []struct{ account, messages, recipients, all, anna string }{
		{"", "", "10", "messages in 24 hours: at most 1000\nnew recipients in 24 hours: at most 10\n", "messages sent: 0 (at most 1000)\nnew recipients: 0 (at most 10)\n"},
		{"anna@example.org", "none", "5", "messages in 24 hours: at most 1000\nnew recipients in 24 hours: at most 10\n", "messages sent: 0 (no limit)\nnew recipients: 0 (at most 5)\n"},
		{"", "7", "none", "messages in 24 hours: at most 7\nnew recipients in 24 hours: no limit\n", "messages sent: 0 (no limit)\nnew recipients: 0 (at most 5)\n"},
		{"anna@example.org", "default", "", "messages in 24 hours: at most 7\nnew recipients in 24 hours: no limit\n", "messages sent: 0 (at most 7)\nnew recipients: 0 (at most 5)\n"},
	} {
		limit(c.account, c.messages, c.recipients)
		if got := show(""); got != c.all {
			t.Errorf("for all: %q, want %q", got, c.all)
		}
		if got := show("anna@example.org"); got != c.anna {
			t.Errorf("anna: %q, want %q", got, c.anna)
		}
	}
	for _, bad := range []string{"0", "-1", "many", "1000001"} {
		if _, err := try(o, owner, "sending set", func(args any) { set(args, "Messages", bad) }); err == nil || admin.Explain(err).Kind != admin.Invalid {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := try(o, owner, "sending set", nil); err == nil || admin.Explain(err).Kind != admin.Invalid {
		t.Errorf("nothing to set: %v", err)
	}
}

func TestUnfreeze(t *testing.T) {
	o := withAnna(t)
	anna := admin.Caller{Account: "anna@example.org"}
	a, err := o.Store.Account("anna@example.org")
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := o.Store.AddDevice(t.Context(), a.Address, "Old laptop")
	if err != nil {
		t.Fatal(err)
	}
	for _, device := range []string{"", d.ID} {
		spool := o.Store.NewSpool(0)
		defer spool.Close()
		_, err := o.Store.Freeze(t.Context(), mailbox.Submitter{Account: a, Device: device}, &mailbox.Burst{},
			&mailbox.Intake{Body: spool, Place: []mailbox.Placement{{Account: a.ID}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	frozen := func() (text string) {
		for _, f := range do(t, o, anna, "sending show", func(args any) { set(args, "Account", "anna@example.org") }).(admin.Sending).Frozen {
			text += f.Name + ";"
		}
		return text
	}
	if got := frozen(); got != "the account's own password;Old laptop;" {
		t.Error(got)
	}
	if all := do(t, o, anna, "device list", func(args any) { set(args, "Address", "anna@example.org") }).([]admin.Device); len(all) != 1 || all[0].Frozen == "" {
		t.Errorf("%+v", all)
	}
	status := do(t, o, admin.Caller{Owner: true}, "status", nil).(admin.Status)
	if len(status.Frozen) != 2 || !strings.HasPrefix(status.Frozen[1].String(), "Sending is frozen for Old laptop of anna@example.org since ") {
		t.Errorf("status: %+v", status.Frozen)
	}
	for _, device := range []string{"old laptop", ""} {
		do(t, o, anna, "device unfreeze", func(args any) { set(args, "Address", "anna@example.org"); set(args, "Device", device) })
		if _, err := try(o, anna, "device unfreeze", func(args any) { set(args, "Address", "anna@example.org"); set(args, "Device", device) }); err == nil || admin.Explain(err).Kind != admin.NotFound {
			t.Errorf("again: %v", err)
		}
	}
	if got := frozen(); got != "" {
		t.Error(got)
	}
	bob := admin.Caller{Account: "bob@example.org"}
	if _, err := try(o, bob, "sending show", func(args any) { set(args, "Account", "anna@example.org") }); err == nil || admin.Explain(err).Kind != admin.Forbidden {
		t.Errorf("bob: %v", err)
	}
	if _, err := try(o, anna, "sending set", func(args any) { set(args, "Account", "anna@example.org"); set(args, "Messages", "none") }); err == nil || admin.Explain(err).Kind != admin.Forbidden {
		t.Errorf("anna sets her own limits: %v", err)
	}
	if _, err := try(o, anna, "sending show", nil); err == nil || admin.Explain(err).Kind != admin.Forbidden {
		t.Errorf("anna sees what holds for all: %v", err)
	}
}
