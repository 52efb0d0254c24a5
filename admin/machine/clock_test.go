package machine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// ntpStamp is how a server writes a time.
func ntpStamp(t time.Time) uint64 {
	seconds := uint64(t.Unix()+2208988800) & (1<<32 - 1)
	return seconds<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}

// ntpAnswer answers a request as a server whose clock shows now.
func ntpAnswer(request []byte, now time.Time) []byte {
	p := make([]byte, packetSize)
	p[0], p[1] = 4<<3|4, 2
	copy(p[24:32], request[40:48])
	binary.BigEndian.PutUint64(p[32:], ntpStamp(now))
	binary.BigEndian.PutUint64(p[40:], ntpStamp(now))
	return p
}

// ntpServer is a server on a pipe. Answer makes its datagrams from the request.
func ntpServer(answer func(request []byte) [][]byte) Dial {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			request := make([]byte, 512)
			for {
				n, err := server.Read(request)
				if err != nil {
					return
				}
				for _, p := range answer(request[:n]) {
					if _, err := server.Write(p); err != nil {
						return
					}
				}
			}
		}()
		return client, nil
	}
}

func TestClockError(t *testing.T) {
	for _, wrong := range []time.Duration{0, 90 * time.Second, -3 * time.Hour, 24 * 365 * 10 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			ahead, err := ClockError(t.Context(), ntpServer(func(request []byte) [][]byte {
				return [][]byte{
					ntpAnswer(make([]byte, 48), time.Now()), // from somebody who did not see the request
					[]byte("noise"),
					ntpAnswer(request, time.Now().Add(-wrong)),
				}
			}), "clock.example:123")
			if err != nil || (ahead-wrong).Abs() > time.Microsecond {
				t.Errorf("ahead by %v: %v, %v", wrong, ahead, err)
			}
		})
	}
}

func TestClockThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var asked atomic.Int32
		_, err := ClockError(t.Context(), ntpServer(func([]byte) [][]byte { asked.Add(1); return nil }), "clock.example:123")
		if !errors.Is(err, os.ErrDeadlineExceeded) || asked.Load() != 2 || time.Since(begin) != 2*askAgain {
			t.Errorf("%v after %v and %d datagrams", err, time.Since(begin), asked.Load())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := ClockError(ctx, ntpServer(func([]byte) [][]byte { return nil }), "clock.example:123"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a second's time: %v", err)
		}
	})
}

func TestClockAnswersThatAreNone(t *testing.T) {
	request := make([]byte, packetSize)
	copy(request[40:], "a cookie")
	now := time.Now()
	for want, spoil := range map[string]func(p []byte) []byte{
		"octets":             func(p []byte) []byte { return p[:47] },
		"another question":   func(p []byte) []byte { p[24]++; return p },
		"mode 3":             func(p []byte) []byte { p[0] = 4<<3 | 3; return p },
		"version 1":          func(p []byte) []byte { p[0] = 1<<3 | 4; return p },
		"leap indicator 3":   func(p []byte) []byte { p[0] |= 0xc0; return p },
		"stratum 0":          func(p []byte) []byte { p[1] = 0; return p },
		"stratum 16":         func(p []byte) []byte { p[1] = 16; return p },
		"without the time":   func(p []byte) []byte { clear(p[40:]); return p },
		"without the time ":  func(p []byte) []byte { clear(p[32:40]); return p },
		"an NTP answer of 0": func(p []byte) []byte { return nil },
	} {
		_, err := parseClock(spoil(ntpAnswer(request, now)), request[40:48], now, now)
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// The seconds of NTP begin anew on 7 February 2036, 06:28:16 UTC.
func TestNTPTimeAfterTheTurn(t *testing.T) {
	for _, want := range []time.Time{
		time.Date(2036, 2, 7, 6, 28, 15, 0, time.UTC),
		time.Date(2036, 2, 7, 6, 28, 16, 5e8, time.UTC),
		time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	} {
		if got := ntpTime(binary.BigEndian.AppendUint64(nil, ntpStamp(want))).UTC(); !got.Equal(want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

func FuzzParseClock(f *testing.F) {
	request := make([]byte, packetSize)
	f.Add(ntpAnswer(request, time.Now()), request[40:48])
	f.Add([]byte{}, []byte("a cookie"))
	f.Fuzz(func(t *testing.T, p, cookie []byte) {
		now := time.Now()
		_, err := parseClock(p, cookie, now, now)
		if err == nil && (len(p) < packetSize || !bytes.Equal(p[24:32], cookie)) {
			t.Errorf("%x was taken for the answer to %x", p, cookie)
		}
	})
}
