package admin_test

import (
	"strings"
	"testing"

	"roost/admin"
)

func TestReceptionLimits(t *testing.T) {
	o := office(t)
	owner := admin.Caller{Owner: true}
	for _, c := range []struct{ messages, recipients, want string }{
		{"", "10", "messages in an hour from one address: at most 600\nrecipients in an hour from one address: at most 10\n"},
		{"none", "default", "messages in an hour from one address: no limit\nrecipients in an hour from one address: at most 3000\n"},
		{"7", "", "messages in an hour from one address: at most 7\nrecipients in an hour from one address: at most 3000\n"},
	} {
		do(t, o, owner, "reception set", func(args any) { set(args, "Messages", c.messages); set(args, "Recipients", c.recipients) })
		var b strings.Builder
		if err := do(t, o, owner, "reception show", nil).(admin.Reception).Text(&b, nil); err != nil || b.String() != c.want {
			t.Errorf("%q, %v; want %q", b.String(), err, c.want)
		}
	}
	for _, messages := range []string{"", "0", "few"} {
		if _, err := try(o, owner, "reception set", func(args any) { set(args, "Messages", messages) }); err == nil || admin.Explain(err).Kind != admin.Invalid {
			t.Errorf("%q: %v", messages, err)
		}
	}
}
