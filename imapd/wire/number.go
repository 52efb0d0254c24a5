package wire

import (
	"cmp"
	"math"
	"slices"
	"strconv"
)

// Number64 reads a number that fits a signed 64-bit integer.
func (d *Decoder) Number64() uint64 { return d.number(math.MaxInt64) }

// Number reads a number of 32 bits.
func (d *Decoder) Number() uint32 { return uint32(d.number(math.MaxUint32)) }

// NonZero reads a number of 32 bits that is not 0.
func (d *Decoder) NonZero() uint32 {
	n := d.Number()
	if n == 0 {
		d.Failf("expected a number that is not 0")
	}
	return n
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (d *Decoder) number(limit uint64) uint64 {
	var n uint64
	for digits := 0; ; digits++ {
		c := d.peek()
		if d.err != nil {
			return 0
		}
		if !isDigit(c) {
			if digits == 0 {
				d.Failf("expected a number")
			}
			return n
		}
		d.next()
		if v := uint64(c - '0'); n > (limit-v)/10 {
			d.Failf("a number over %d", limit)
			return 0
		} else {
			n = n*10 + v
		}
	}
}

// A Range is the numbers from First to Last, both included. As a client wrote
// it, 0 stands for "*" and First may be above Last.
type Range struct{ First, Last uint32 }

// A Set is a sequence set (RFC 9051 section 9) as the client wrote it, of
// message sequence numbers or UIDs.
type Set struct {
	Ranges []Range
	Saved  bool // "$", the saved search result of RFC 5182
}

// IsSet reports whether a sequence set begins here.
func (d *Decoder) IsSet() bool {
	c := d.peek()
	return d.err == nil && (isDigit(c) || c == '*' || c == '$')
}

// Set reads a sequence set. The line limit bounds its length.
func (d *Decoder) Set() Set {
	if d.Accept('$') {
		return Set{Saved: true}
	}
	var s Set
	for d.err == nil {
		r := Range{First: d.setNumber()}
		r.Last = r.First
		if d.Accept(':') {
			r.Last = d.setNumber()
		}
		s.Ranges = append(s.Ranges, r)
		if !d.Accept(',') {
			break
		}
	}
	if d.err != nil {
		return Set{}
	}
	return s
}

func (d *Decoder) setNumber() uint32 {
	if d.Accept('*') {
		return 0
	}
	return d.NonZero()
}

// Resolve returns the set with "*" read as last, sorted, without overlaps and
// with First ≤ Last. With a last of 0, an empty mailbox, every range that
// names "*" is empty.
func (s Set) Resolve(last uint32) []Range {
	out := make([]Range, 0, len(s.Ranges))
	for _, r := range s.Ranges {
		if r.First == 0 || r.Last == 0 {
			if last == 0 {
				continue
			}
			r.First, r.Last = cmp.Or(r.First, last), cmp.Or(r.Last, last)
		}
		if r.First > r.Last {
			r.First, r.Last = r.Last, r.First
		}
		out = append(out, r)
	}
	return Merge(out)
}

// Merge sorts ranges that are each in order and joins those that touch, in place.
func Merge(ranges []Range) []Range {
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	out := ranges[:0]
	for _, r := range ranges {
		if n := len(out); n > 0 && uint64(r.First) <= uint64(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// AppendRanges appends ranges in the form of a sequence set: "1:3,7".
func AppendRanges(b []byte, ranges []Range) []byte {
	for i, r := range ranges {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(r.First), 10)
		if r.Last != r.First {
			b = append(b, ':')
			b = strconv.AppendUint(b, uint64(r.Last), 10)
		}
	}
	return b
}

// Ranges gathers numbers that come in ascending order.
func Ranges[N ~uint32](numbers []N) []Range {
	var out []Range
	for _, n := range numbers {
		if k := len(out); k > 0 && out[k-1].Last+1 == uint32(n) {
			out[k-1].Last++
			continue
		}
		out = append(out, Range{uint32(n), uint32(n)})
	}
	return out
}
