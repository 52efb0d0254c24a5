package machine

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Dial opens a connection as net.Dialer's DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Door is a TCP port that Roost wants to listen on.
type Door struct {
	Name    string // "smtp", "https" …
	Address string // host:port
}

// Port is the port's number, or all that is known of the address.
func (d Door) Port() string {
	if _, port, err := net.SplitHostPort(d.Address); err == nil {
		return port
	}
	return d.Address
}

// Taken is a door that another program holds.
type Taken struct {
	Door
	Holder Program
}

// Questions are what Look asks, and whom. A zero field is not asked.
type Questions struct {
	Addresses func() (Addresses, error)
	// Names asks what an address is called in the DNS; none is an empty answer.
	Names func(ctx context.Context, a netip.Addr) ([]string, error)
	Dial  Dial   // for the two below
	Mail  string // host:port of a mail server far away that anybody may greet
	Clock string // host:port of an NTP server
}

// Facts are what Look found.
type Facts struct {
	Addresses   Addresses
	AddressesOf error // why the addresses are not known
	Names       []Name
	Mail        Answer
	Clock       Answer
	Ahead       time.Duration // of this clock; negative when it is behind
}

// Name is what the DNS calls an address.
type Name struct {
	Address netip.Addr
	Names   []string
	Err     error // the DNS did not answer
}

// Answer tells whether somebody far away answered.
type Answer struct {
	Asked string // host:port; empty when not asked
	Err   error
}

// patience is how long each question may take, so that one unanswered does not keep the
// answers to the others from who waits.
const patience = 4 * time.Second

// Look asks everything at once and returns within about four seconds.
func Look(ctx context.Context, q Questions) Facts {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var f Facts
	var asking sync.WaitGroup
	if q.Mail != "" {
		f.Mail.Asked = q.Mail
		asking.Go(func() { f.Mail.Err = greet(ctx, q.Dial, q.Mail) })
	}
	if q.Clock != "" {
		f.Clock.Asked = q.Clock
		asking.Go(func() { f.Ahead, f.Clock.Err = ClockError(ctx, q.Dial, q.Clock) })
	}
	if q.Addresses != nil {
		f.Addresses, f.AddressesOf = q.Addresses()
	}
	if q.Names != nil {
		f.Names = make([]Name, len(f.Addresses.Public))
		for i, a := range f.Addresses.Public {
			asking.Go(func() {
				names, err := q.Names(ctx, a)
				f.Names[i] = Name{a, names, err}
			})
		}
	}
	asking.Wait()
	return f
}

// greet waits for the 220 of a mail server. That something accepts the connection is not
// enough: some networks answer for everybody.
func greet(ctx context.Context, dial Dial, address string) error {
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	line, err := bufio.NewReader(io.LimitReader(conn, 512)).ReadString('\n')
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%s was reached but said nothing: %w", address, err)
	}
	if !strings.HasPrefix(line, "220") {
		return fmt.Errorf("%s does not greet like a mail server: %q", address, strings.TrimSpace(line))
	}
	_, _ = conn.Write([]byte("QUIT\r\n"))
	return nil
}
