// Package machine finds out about the machine that Roost runs on what decides whether
// mail will work there: its addresses, who holds a port, whether port 25 is open
// outwards, what the addresses are called, whether the clock is right, and how much
// memory there may be. It also tells systemd how a start goes.
//
// It refuses to change anything, to wait for long, and to ask anybody about its own
// address: what it says of the addresses is what the interfaces say.
package machine
