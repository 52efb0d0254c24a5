package admin

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"roost/mailbox"
)

// Device is an app password as the office shows it.
type Device struct {
	ID       string    `json:"id" table:"ID"`
	Name     string    `json:"name" table:"NAME"`
	Created  time.Time `json:"created" table:"SINCE"`
	LastUsed time.Time `json:"last_used,omitzero" table:"LAST USED"` // to the hour
	SendAs   string    `json:"send_as,omitempty" table:"ONLY SENDS AS"`
	Frozen   string    `json:"frozen,omitempty" table:"SENDING FROZEN"` // why
}

type deviceArgs struct {
	accountArgs
	Device string `json:"device" arg:"" help:"The name of the device, such as \"Anna's phone\"; to remove one also its id."`
}

type deviceAddArgs struct {
	deviceArgs
	SendOnly bool   `json:"send_only" name:"send-only" help:"It may send, in one name alone, and not read: for a scanner or a disk."`
	From     string `json:"from" placeholder:"ADDRESS" help:"With --send-only: the name. Without it that of the account."`
}

// DeviceAdded is the result of "device add".
type DeviceAdded struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Login    string `json:"login"`
	Password string `json:"password"`
}

// Text shows the password.
func (d DeviceAdded) Text(w io.Writer, _ any) error {
	_, err := fmt.Fprintf(w, "%s added. Its password, shown only now, for the login name %s:\n%s\n", d.Name, d.Login, d.Password)
	return err
}

func deviceAdd(ctx context.Context, o *Office, a *deviceAddArgs) (DeviceAdded, error) {
	addr, err := mailbox.ParseAddress(a.Address)
	if err != nil {
		return DeviceAdded{}, err
	}
	if !a.SendOnly {
		if a.From != "" {
			return DeviceAdded{}, errorf(Invalid, "--from is for a device that only sends: --send-only")
		}
		d, secret, err := o.Store.AddDevice(ctx, addr, a.Device)
		return DeviceAdded{d.ID, d.Name, string(addr), secret}, err
	}
	as := addr
	if a.From != "" {
		if as, err = mailbox.ParseAddress(a.From); err != nil {
			return DeviceAdded{}, err
		}
	}
	d, secret, err := o.Store.AddSender(ctx, addr, a.Device, as)
	return DeviceAdded{d.ID, d.Name, string(addr), secret}, err
}

func deviceList(_ context.Context, o *Office, a *accountArgs) ([]Device, error) {
	addr, err := mailbox.ParseAddress(a.Address)
	if err != nil {
		return nil, err
	}
	all, err := o.Store.Devices(addr)
	if err != nil {
		return nil, err
	}
	account, err := o.Store.Account(addr)
	if err != nil {
		return nil, err
	}
	cold, err := o.Store.Frozen(account.ID)
	var list []Device
	for _, d := range all {
		shown := Device{ID: d.ID, Name: d.Name, Created: d.Created, LastUsed: d.LastUsed, SendAs: string(d.SendAs)}
		for _, f := range cold {
			if f.Device == d.ID {
				shown.Frozen = f.Why
			}
		}
		list = append(list, shown)
	}
	return list, err
}

func deviceRemove(ctx context.Context, o *Office, a *deviceArgs) (Done, error) {
	addr, err := mailbox.ParseAddress(a.Address)
	if err != nil {
		return Done{}, err
	}
	all, err := o.Store.Devices(addr)
	if err != nil {
		return Done{}, err
	}
	for _, d := range all {
		if d.ID == a.Device || strings.EqualFold(d.Name, strings.TrimSpace(a.Device)) {
			return done("%s of %s removed.", d.Name, addr), o.Store.RemoveDevice(ctx, addr, d.ID)
		}
	}
	return Done{}, errorf(NotFound, "%s has no device %s", addr, a.Device)
}
