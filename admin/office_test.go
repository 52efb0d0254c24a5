package admin_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"roost/admin"
	"roost/mailbox"
)

// set fills in one argument by its field's name.
func set(args any, field string, value any) {
	v := reflect.ValueOf(args).Elem().FieldByName(field)
	v.Set(reflect.ValueOf(value).Convert(v.Type()))
}

func try(o *admin.Office, c admin.Caller, name string, fill func(args any)) (any, error) {
	op, err := admin.Find(name)
	if err != nil {
		return nil, err
	}
	args := op.NewArgs()
	if fill != nil {
		fill(args)
	}
	return o.Do(context.Background(), c, op, args)
}

func do(t *testing.T, o *admin.Office, c admin.Caller, name string, fill func(args any)) any {
	t.Helper()
	result, err := try(o, c, name, fill)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return result
}

func TestWhoMay(t *testing.T) {
	o := office(t)
	owner := admin.Caller{Owner: true}
	for _, addr := range []string{"boss@example.org", "anna@example.org", "bob@example.org"} {
		do(t, o, owner, "account add", func(args any) { set(args, "Address", addr); set(args, "Password", "secret") })
	}
	boss := admin.Caller{Account: "boss@example.org", Admin: true}
	anna := admin.Caller{Account: "anna@example.org"}
	nobody := admin.Caller{}
	about := func(addr string) func(any) {
		return func(args any) { set(args, "Address", addr) }
	}
	for _, test := range []struct {
		who  admin.Caller
		name string
		fill func(any)
		may  bool
	}{
		{boss, "account list", nil, true},
		{boss, "device list", about("anna@example.org"), true},
		{anna, "account list", nil, false},
		{anna, "status", nil, false},
		{anna, "device list", about("anna@example.org"), true},
		{anna, "device list", about(" Anna@EXAMPLE.org"), true},
		{anna, "device list", about("bob@example.org"), false},
		{anna, "device list", about(""), false},
		{anna, "account password", about("anna@example.org"), true},
		{anna, "account password", about("bob@example.org"), false},
		{anna, "account remove", about("anna@example.org"), false},
		{anna, "version", nil, true},
		{nobody, "version", nil, true},
		{nobody, "device list", about(""), false},
		{nobody, "device list", about("anna@example.org"), false},
	} {
		_, err := try(o, test.who, test.name, test.fill)
		forbidden := err != nil && admin.Explain(err).Kind == admin.Forbidden
		if forbidden == test.may {
			t.Errorf("%+v %s: %v, want %v", test.who, test.name, err, test.may)
		}
	}
}

func TestFirstDomainNamesTheServer(t *testing.T) {
	o := office(t)
	if o.Hostname() != "mail.example.org" {
		t.Errorf("after the first domain: %s", o.Hostname())
	}
	do(t, o, admin.Caller{Owner: true}, "domain add", func(args any) { set(args, "Domain", "a.example") })
	if o.Hostname() != "mail.example.org" {
		t.Errorf("after the second domain: %s", o.Hostname())
	}
}

func TestExplain(t *testing.T) {
	codes := map[int]admin.Kind{}
	for _, err := range []error{
		mailbox.ErrInvalid, mailbox.ErrNotFound, mailbox.ErrExists, mailbox.ErrLogin, mailbox.ErrLocked,
		mailbox.ErrFull, mailbox.ErrCorrupt, errors.New("anything else"),
	} {
		e := admin.Explain(errors.Join(err))
		if e.Message != err.Error() || e.Kind.Status() < 400 || e.Kind.ExitCode() < 1 {
			t.Errorf("%v: %+v, status %d, exit code %d", err, e, e.Kind.Status(), e.Kind.ExitCode())
		}
		if other, taken := codes[e.Kind.ExitCode()]; taken {
			t.Errorf("%s and %s have the same exit code", other, e.Kind)
		}
		codes[e.Kind.ExitCode()] = e.Kind
	}
	if admin.Explain(nil) != nil {
		t.Error("no error needs no explanation")
	}
}

func TestNamesOfOperations(t *testing.T) {
	seen := map[string]bool{}
	for _, op := range admin.Ops() {
		if words := len(strings.Fields(op.Name)); words < 1 || words > 2 || seen[op.Name] {
			t.Errorf("%q: one or two words, and only once", op.Name)
		}
		seen[op.Name] = true
		if noun, _, two := strings.Cut(op.Name, " "); two && admin.About(noun) == "" {
			t.Errorf("%q: nobody has said what a %s is", op.Name, noun)
		}
	}
}
