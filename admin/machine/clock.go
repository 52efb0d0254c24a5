package machine

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	packetSize = 48 // RFC 5905 section 7.3, without extensions
	// A datagram may be lost, so a second one is sent after this.
	askAgain = 1500 * time.Millisecond
	// Strangers may send datagrams, too; so many are looked at.
	maxDatagrams = 16
)

// ClockError asks an NTP server (host:port) for the time, by SNTP (RFC 5905 section 14),
// and returns how far this machine's clock is ahead of it; negative when behind. It sends
// at most two datagrams and gives up with ctx. Nobody signs the answer: it is good for
// telling a person, not for setting a clock.
func ClockError(ctx context.Context, dial Dial, server string) (time.Duration, error) {
	conn, err := dial(ctx, "udp", server)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for range 2 {
		var ahead time.Duration
		if ahead, err = askClock(conn); err == nil {
			return ahead, nil
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
	return 0, err
}

func askClock(conn net.Conn) (time.Duration, error) {
	request := make([]byte, packetSize)
	request[0] = 4<<3 | 3 // version 4, client
	// The answer repeats this field. A random one proves that it answers us, and does not
	// tell our clock to the network.
	cookie := request[40:48]
	rand.Read(cookie)
	sent := time.Now()
	conn.SetDeadline(sent.Add(askAgain))
	if _, err := conn.Write(request); err != nil {
		return 0, err
	}
	var last error
	for range maxDatagrams {
		answer := make([]byte, 512)
		n, err := conn.Read(answer)
		if err != nil {
			if last != nil {
				err = last
			}
			return 0, err
		}
		ahead, err := parseClock(answer[:n], cookie, sent, time.Now())
		if err == nil {
			return ahead, nil
		}
		last = err
	}
	return 0, last
}

// parseClock reads an SNTP answer to a request with that cookie.
func parseClock(p, cookie []byte, sent, got time.Time) (ahead time.Duration, err error) {
	if len(p) < packetSize {
		return 0, fmt.Errorf("an NTP answer of %d octets", len(p))
	}
	leap, version, mode, stratum := p[0]>>6, p[0]>>3&7, p[0]&7, p[1]
	switch {
	case !bytes.Equal(p[24:32], cookie):
		return 0, errors.New("an NTP answer to another question")
	case mode != 4 || version < 3 || version > 4:
		return 0, fmt.Errorf("not an NTP server's answer: mode %d, version %d", mode, version)
	case leap == 3 || stratum == 0 || stratum > 15:
		return 0, fmt.Errorf("an NTP server that does not know the time: leap indicator %d, stratum %d", leap, stratum)
	case binary.BigEndian.Uint64(p[32:]) == 0 || binary.BigEndian.Uint64(p[40:]) == 0:
		return 0, errors.New("an NTP answer without the time")
	}
	received, answered := ntpTime(p[32:40]), ntpTime(p[40:48])
	// RFC 5905 section 8: the way there and the way back are taken to be equally long.
	return (sent.Sub(received) + got.Sub(answered)) / 2, nil
}

// ntpTime reads 32 bits of seconds and 32 of a fraction. The seconds began in 1900, and
// again in 2036; the highest bit tells which (RFC 4330 section 3).
func ntpTime(b []byte) time.Time {
	const from1900 = 2208988800 // to 1970, in seconds
	seconds := int64(binary.BigEndian.Uint32(b))
	if seconds < 1<<31 {
		seconds += 1 << 32
	}
	fraction := uint64(binary.BigEndian.Uint32(b[4:]))
	return time.Unix(seconds-from1900, int64(fraction*uint64(time.Second)>>32))
}
