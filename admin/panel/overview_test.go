package panel

import "testing"

func TestDiskThatIsFull(t *testing.T) {
	for _, test := range []struct {
		disk disk
		full bool
	}{
		{disk{}, false},
		{disk{Free: 511 << 20, Total: 1 << 30, Percent: 50}, true},
		{disk{Free: 2 << 30, Total: 20 << 30, Percent: 90}, true},
		{disk{Free: 2 << 30, Total: 16 << 30, Percent: 88}, false},
		{disk{Free: 20 << 30, Total: 250 << 30, Percent: 92}, false},
	} {
		if test.disk.full() != test.full {
			t.Errorf("%+v: %v", test.disk, !test.full)
		}
	}
}
