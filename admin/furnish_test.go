package admin_test

import (
	"context"
	"net/netip"
	"testing"

	"roost/admin"
	"roost/mailbox"
)

func TestFurnish(t *testing.T) {
	ctx := context.Background()
	store, err := mailbox.Open(t.TempDir(), mailbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	o := &admin.Office{Store: store}
	if err := o.RefuseFurnished(ctx); err != nil {
		t.Errorf("an empty store: %v", err)
	}
	if err := o.Furnish(ctx); err != nil {
		t.Fatal(err)
	}
	me, err := store.Login(ctx, netip.Addr{}, "me@roost.localhost", "roost")
	if err != nil || !me.Admin {
		t.Errorf("%+v, %v", me, err)
	}
	you, err := store.Login(ctx, netip.Addr{}, "you@roost.localhost", "roost")
	if err != nil || you.Admin {
		t.Errorf("%+v, %v", you, err)
	}
	if o.Hostname() != "roost.localhost" {
		t.Errorf("the host is %s", o.Hostname())
	}
	if err := o.RefuseFurnished(ctx); err == nil {
		t.Error("passwords that everybody knows are taken out into the world")
	}

	// What a person changes afterwards stays.
	if err := store.RemoveAccount(ctx, "you@roost.localhost"); err != nil {
		t.Fatal(err)
	}
	if err := store.SetPassword(ctx, "me@roost.localhost", "another"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.AddDomain(ctx, "a.example"); err != nil {
		t.Fatal(err)
	}
	if err := o.Furnish(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Login(ctx, netip.Addr{}, "me@roost.localhost", "another"); err != nil {
		t.Error(err)
	}
	if all, err := store.Accounts(); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	if err := o.RefuseFurnished(ctx); err != nil {
		t.Errorf("with passwords of one's own: %v", err)
	}
	if err := office(t).Furnish(ctx); err == nil {
		t.Error("roost local moved into the data of a server")
	}
}
