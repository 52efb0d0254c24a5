package wire_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"roost/imapd/wire"
)

func TestEncoder(t *testing.T) {
	var buffers wire.Buffers
	write := func(utf8 bool, f func(e *wire.Encoder)) string {
		var out bytes.Buffer
		e := wire.NewEncoder(&out, &buffers)
		e.UTF8 = utf8
		f(e)
		if err := e.Flush(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	str := func(s string) func(*wire.Encoder) { return func(e *wire.Encoder) { e.String(s) } }
	for _, c := range []struct {
		utf8 bool
		f    func(*wire.Encoder)
		want string
	}{
		{false, str(""), `""`}, {false, str(`a"b\c`), `"a\"b\\c"`}, {false, str("a\r\nb"), "{4}\r\na\r\nb"},
		{false, str("é"), "{2}\r\né"}, {true, str("é"), `"é"`}, {true, str("\xff"), "{1}\r\n\xff"},
		{false, str(strings.Repeat("x", 2000)), "{2000}\r\n" + strings.Repeat("x", 2000)},
		{false, func(e *wire.Encoder) { e.Mailbox("日本語 & co") }, `"&ZeVnLIqe- &- co"`},
		{true, func(e *wire.Encoder) { e.Mailbox("日本語 & co") }, `"日本語 & co"`},
		{false, func(e *wire.Encoder) { e.Ranges([]wire.Range{{1, 3}, {5, 5}}) }, "1:3,5"},
		{false, func(e *wire.Encoder) {
			e.Time(time.Date(2024, 2, 1, 15, 4, 5, 0, time.FixedZone("", -5400)))
		}, `" 1-Feb-2024 15:04:05 -0130"`},
		{false, func(e *wire.Encoder) {
			e.Append(func(b []byte) []byte {
				return wire.Section{Part: []uint32{1, 2}, Text: "HEADER.FIELDS", Fields: []string{"From", "X Y"}}.Append(b)
			})
		}, `[1.2.HEADER.FIELDS (From "X Y")]`},
	} {
		if got := write(c.utf8, c.f); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// Dates come out as package time writes them.
func TestEncoderTime(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var buffers wire.Buffers
	for range 20_000 {
		at := time.Unix(r.Int64N(300_000_000_000)-40_000_000_000, 0).In(time.FixedZone("", r.IntN(40*3600)-20*3600))
		var out strings.Builder
		e := wire.NewEncoder(&out, &buffers)
		e.Time(at)
		e.Flush()
		if want := at.Format(`"` + wire.DateTimeLayout + `"`); out.String() != want {
			t.Fatalf("%s instead of %s", out.String(), want)
		}
	}
}

// What is longer than a record of TLS goes out in full ones, whatever the pieces.
func TestEncoderFillsRecords(t *testing.T) {
	var buffers wire.Buffers
	var sizes []int
	var out bytes.Buffer
	e := wire.NewEncoder(writerFunc(func(p []byte) (int, error) {
		sizes = append(sizes, len(p))
		return out.Write(p)
	}), &buffers)
	var want strings.Builder
	for i := range 500 {
		piece := strings.Repeat(string(rune('a'+i%26)), 1+i*7%900)
		want.WriteString(piece)
		e.Raw(piece)
	}
	e.Flush()
	if out.String() != want.String() {
		t.Error("something else came out")
	}
	for _, n := range sizes[:len(sizes)-1] {
		if n%(16<<10) != 0 {
			t.Errorf("a write of %d octets", n)
		}
	}
}

// A literal of any size passes through a buffer of a few KB.
func TestEncoderStreamsLiterals(t *testing.T) {
	const size = 5 << 20
	var buffers wire.Buffers
	largest, total := 0, 0
	w := writerFunc(func(p []byte) (int, error) {
		largest, total = max(largest, len(p)), total+len(p)
		return len(p), nil
	})
	e := wire.NewEncoder(w, &buffers)
	e.Raw("* 1 FETCH (BODY[] ")
	if err := e.Literal("", size, strings.NewReader(strings.Repeat("x", size))); err != nil {
		t.Fatal(err)
	}
	e.Raw(")\r\n")
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
	if want := size + len("* 1 FETCH (BODY[] {5242880}\r\n)\r\n"); total != want || largest > 32<<10 {
		t.Fatalf("wrote %d octets, want %d, %d at a time", total, want, largest)
	}
}

// After a short literal nothing more may be written: the client counts octets.
func TestEncoderStopsAfterShortLiteral(t *testing.T) {
	var buffers wire.Buffers
	for name, r := range map[string]io.Reader{
		"short": strings.NewReader("abc"), "failing": iotest.ErrReader(errors.New("bad sector")),
	} {
		var out bytes.Buffer
		e := wire.NewEncoder(&out, &buffers)
		if e.Literal("", 10, r) == nil {
			t.Fatalf("%s: no error", name)
		}
		e.Raw("a OK done\r\n")
		if e.Flush() == nil || strings.Contains(out.String(), "OK") {
			t.Fatalf("%s: wrote %q", name, out.String())
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
