package imapd

import "strconv"

// partial brings PARTIAL (RFC 9394): a page of a result, counted from its
// beginning or its end.
func partial() extension {
	return extension{
		name: "PARTIAL",
		narrow: []fetchModifier{{"PARTIAL", func(s *session, n *narrowing) {
			s.dec.SP()
			n.partial = s.portion()
		}}},
	}
}

// A portion is a page of a result: from First to Last, counted from 1, or with
// fromEnd from the end.
type portion struct {
	first, last uint32
	fromEnd     bool
}

// portion reads n:m or -n:-m.
func (s *session) portion() *portion {
	p := &portion{fromEnd: s.dec.Accept('-')}
	p.first = s.dec.NonZero()
	s.dec.Expect(':')
	if p.fromEnd {
		s.dec.Expect('-')
	}
	if p.last = s.dec.NonZero(); p.first > p.last {
		p.first, p.last = p.last, p.first
	}
	return p
}

// of returns the bounds of the page in a result of n messages.
func (p *portion) of(n int) (lo, hi int) {
	lo = min(int(p.first)-1, n)
	hi = min(int(p.last), n)
	if p.fromEnd {
		return n - hi, n - lo
	}
	return lo, hi
}

// String is the page as a response names it.
func (p *portion) String() string {
	sign := ""
	if p.fromEnd {
		sign = "-"
	}
	return sign + strconv.FormatUint(uint64(p.first), 10) + ":" + sign + strconv.FormatUint(uint64(p.last), 10)
}
