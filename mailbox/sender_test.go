package mailbox

import (
	"context"
	"errors"
	"net/netip"
	"testing"
)

func TestDeviceThatOnlySends(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	ctx := context.Background()
	setAlias(t, s, "scanner@example.org", "ann@example.org")
	if _, _, err := s.AddSender(ctx, "ann@example.org", "disk", "bob@example.org"); !errors.Is(err, ErrInvalid) {
		t.Errorf("in bob's name: %v", err)
	}
	d, secret, err := s.AddSender(ctx, "ann@example.org", "scanner", "scanner@example.org")
	if err != nil || d.SendAs != "scanner@example.org" {
		t.Fatal(d, err)
	}
	if who, err := s.LoginToSend(ctx, netip.Addr{}, "ann@example.org", secret); err != nil || who.Account.ID != ann.ID || who.Device != d.ID || who.Only != "scanner@example.org" {
		t.Errorf("to send: %v, %v", who, err)
	}
	if a, err := s.Login(ctx, netip.Addr{}, "ann@example.org", secret); !errors.Is(err, ErrDisabled) || a.ID != 0 {
		t.Errorf("to read: %v, %v", a, err)
	}
	if who, err := s.LoginToSend(ctx, netip.Addr{}, "ann@example.org", "secret"); err != nil || who.Account.ID != ann.ID || who.Device != "" || who.Only != "" {
		t.Errorf("ann herself: %v, %v", who, err)
	}
	if all, err := s.Devices("ann@example.org"); err != nil || len(all) != 1 || all[0].SendAs != d.SendAs {
		t.Errorf("%+v, %v", all, err)
	}
}
