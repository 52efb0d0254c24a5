package mailbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is not mail comes from the snapshot, as it was then; of what came after it,
// only mail and what waits to be sent is in the packs.
func TestRescueBringsTheRestFromTheSnapshot(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	decide := func(when string) {
		err := errors.Join(
			s.Annotate(ctx, ann.ID, InboxID, []Annotation{{"/private/" + when, []byte("x")}}),
			s.SetRule(ctx, Rule{Account: ann.ID, Sender: when + ".example"}),
			s.ChangeSettings(ctx, func(v *Settings) error { v.Hostname = when + ".example.org"; return nil }))
		if err != nil {
			t.Fatal(err)
		}
		setAlias(t, s, Address(when+"@example.org"), "ann@example.org")
		submit(t, s, ann, when+".example")
	}
	for n := range 4 {
		accept(t, s, hello(n), Placement{Account: ann.ID})
	}
	expungeAll(t, s, ann.ID, InboxID, 1)
	decide("before")
	if err := s.takeSnapshot(ctx); err != nil {
		t.Fatal(err)
	}
	decide("after")
	expungeAll(t, s, ann.ID, InboxID, 2)
	accept(t, s, hello(9), Placement{Account: ann.ID})

	dir := crash(t, s)
	if err := os.Truncate(filepath.Join(dir, dbName), 4096); err != nil {
		t.Fatal(err)
	}
	rescueStore(t, dir)
	r := openStore(t, dir, Options{})
	var got []string
	add := func(what string, all ...string) { got = append(got, what+": "+strings.Join(all, " ")) }
	each := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	notes, err := r.Annotations(ann.ID, InboxID)
	each(err)
	for _, a := range notes {
		add("annotation", a.Entry)
	}
	rules, err := r.Rules()
	each(err)
	for _, v := range rules {
		add("rule", v.Sender)
	}
	aliases, err := r.Aliases()
	each(err)
	for _, a := range aliases {
		add("alias", string(a.Address))
	}
	v, err := r.Settings()
	each(err)
	add("host", v.Hostname)
	outbox, err := r.Outbox()
	each(err)
	for _, o := range outbox {
		add("waits", o.Domain, fmt.Sprint(o.Held))
	}
	kept, err := r.Undeletable(ann.ID, 10)
	each(err)
	for _, m := range kept {
		add("kept", m.Subject)
	}
	snap, err := r.Snapshot(ann.ID, InboxID)
	each(err)
	for _, e := range snap.Entries {
		add("mail", readAll(t, r, ann.ID, InboxID, e.UID))
	}
	want := []string{
		"annotation: /private/before", "rule: before.example", "alias: before@example.org", "host: before.example.org",
		"waits: before.example true", "waits: after.example true", "kept: hello 0",
		"mail: " + hello(1), "mail: " + hello(2), "mail: " + hello(3), "mail: " + hello(9),
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("it has\n%q\nwant\n%q", got, want)
	}
}
