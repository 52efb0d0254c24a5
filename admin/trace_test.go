package admin_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"roost/admin"
	"roost/mailbox"
)

func TestTrace(t *testing.T) {
	o := office(t)
	owner := admin.Caller{Owner: true}
	var lines []mailbox.Line
	for i := range 60 {
		lines = append(lines, mailbox.Line{Event: mailbox.Received, Message: mailbox.BodyID(i + 1), From: fmt.Sprintf("u%d@other.example", i), To: []string{"anna@example.org"}})
	}
	lines = append(lines, mailbox.Line{Event: mailbox.Refused, From: "anna@example.org", Subject: "\x1b[31mred", Reply: "535 5.7.8 Wrong", Detail: []string{"a program wanted to log in to send"}})
	if err := o.Store.Log(t.Context(), lines...); err != nil {
		t.Fatal(err)
	}
	ask := func(text, event string, most int) []admin.Happening {
		t.Helper()
		return do(t, o, owner, "trace", func(args any) { set(args, "Text", text); set(args, "Event", event); set(args, "Most", most) }).([]admin.Happening)
	}
	for _, test := range []struct {
		text, event string
		most        int
		want        int
	}{
		{"", "", 0, 50}, {"", "", 1000, 61}, {"", "refused", 0, 1}, {"ANNA@example.org", "received", 100, 60},
		{"wrong", "", 0, 1}, {"u59@other.example", "", 0, 1}, {"0000000a", "", 0, 1}, {"nothing like it", "", 0, 0},
	} {
		if got := ask(test.text, test.event, test.most); len(got) != test.want {
			t.Errorf("%+v: %d lines", test, len(got))
		}
	}
	all := ask("", "", 0)
	last := all[len(all)-1]
	if last.Said != "535 5.7.8 Wrong; a program wanted to log in to send" || last.Subject != "?[31mred" || last.Message != "" {
		t.Errorf("%+v", last)
	}
	if !slices.IsSortedFunc(all, func(a, b admin.Happening) int { return a.Time.Compare(b.Time) }) || !strings.HasPrefix(all[0].From, "u11@") {
		t.Errorf("begins with %+v", all[0])
	}
	for _, bad := range []func(any){
		func(args any) { set(args, "Event", "eaten") },
		func(args any) { set(args, "Most", 1001) },
		func(args any) { set(args, "Most", -1) },
	} {
		if _, err := try(o, owner, "trace", bad); err == nil || admin.Explain(err).Kind != admin.Invalid {
			t.Error(err)
		}
	}
	if _, err := try(o, admin.Caller{Account: "anna@example.org"}, "trace", nil); err == nil || admin.Explain(err).Kind != admin.Forbidden {
		t.Errorf("anna: %v", err)
	}
}
