package queue

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		age      time.Duration
		attempts int
		from, to time.Duration // of the pause
		last     bool
	}{
		{0, 1, 4*time.Minute + 30*time.Second, 5*time.Minute + 30*time.Second, false},
		{time.Hour, 0, 4*time.Minute + 30*time.Second, 5*time.Minute + 30*time.Second, false},
		{time.Hour, 6, 216 * time.Minute, 264 * time.Minute, false},
		{time.Hour, 1000, 216 * time.Minute, 264 * time.Minute, false},
		{maxAge - time.Minute, 40, time.Minute, time.Minute, false},
		{maxAge, 40, 216 * time.Minute, 264 * time.Minute, true},
		{2 * maxAge, 1, 4*time.Minute + 30*time.Second, 5*time.Minute + 30*time.Second, true},
	} {
		for range 100 {
			created := now.Add(-test.age)
			if pause := nextDue(now, created, test.attempts).Sub(now); pause < test.from || pause > test.to {
				t.Fatalf("after %d attempts at age %v: pause %v", test.attempts, test.age, pause)
			}
			if tooOld(now, created) != test.last {
				t.Fatalf("at age %v: last is %v", test.age, !test.last)
			}
		}
	}
}
