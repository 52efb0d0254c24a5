package admin

import (
	"context"
	"net/netip"
	"time"

	"roost/mailbox"
)

// Lockout is an address that may not log in for a time, as the office shows it.
type Lockout struct {
	Address string    `json:"address" table:"ADDRESS"`
	Wrong   int       `json:"wrong" table:"WRONG PASSWORDS"`
	Since   time.Time `json:"since" table:"SINCE"`
	Until   time.Time `json:"until" table:"UNTIL"`
}

func shownLockout(b mailbox.Block) Lockout {
	return Lockout{b.Network(), b.Wrong, b.Since.UTC(), b.Until.UTC()}
}

func lockoutList(_ context.Context, o *Office, _ *struct{}) ([]Lockout, error) {
	var list []Lockout
	for _, b := range o.Store.Blocks() {
		list = append(list, shownLockout(b))
	}
	return list, nil
}

type lockoutArgs struct {
	From string `json:"from" arg:"" help:"The IP address, or the network as it is listed."`
}

func lockoutLift(ctx context.Context, o *Office, a *lockoutArgs) (Done, error) {
	from, err := netip.ParseAddr(a.From)
	if err != nil {
		network, nerr := netip.ParsePrefix(a.From)
		if nerr != nil {
			return Done{}, errorf(Invalid, "%q is not an IP address", a.From)
		}
		from = network.Addr()
	}
	return done("%s may log in again.", a.From), o.Store.LiftBlock(ctx, from)
}
