// Package signature tells which texts can't contain a string, without looking
// into them.
//
// A signature stands for a text by the trigrams in it, all runs of three bytes:
// each sets one bit. A string can only be in the text if the bits of all its
// trigrams are set. The bits are four times as many as there are different
// trigrams, so that by chance less than a quarter of them is set. Trigrams that
// most messages have are left out on both sides.
//
// The package knows nothing of mail, of letters or of storage. It never says of
// a text that contains a string that it does not; strings shorter than three
// bytes it can say nothing about.
package signature

// Version is the first byte of every signature that this package makes.
const Version = 1

const (
	bitsPerTrigram = 4
	// maxBits bounds a signature to 32 KB. Texts with more than a quarter of
	// that many trigrams get one that rules out less.
	maxBits = 32 << 13
	minBits = 64
)

// Builder makes the signature of a text that is written to it. The zero value
// is ready. It is an io.Writer that never fails.
type Builder struct {
	last uint32 // the bytes before, up to two
	have int    // how many of them

	// The different trigrams, by open addressing; 0 is a free place.
	table []uint32
	n     int

	bits []byte // of the largest signature, once there are too many trigrams
}

// Write adds text. A trigram may be split between writes.
func (b *Builder) Write(p []byte) (int, error) {
	last, have := b.last, b.have
	for _, c := range p {
		last = last<<8 | uint32(c)
		if have < 2 {
			have++
			continue
		}
		t := last & 0xFFFFFF
		if h := hash(t); !isCommon(h) && !b.has(t+1, h) {
			b.add(t, h)
		}
	}
	b.last, b.have = last, have
	return len(p), nil
}

// Break begins another text: no trigram reaches across.
func (b *Builder) Break() { b.have = 0 }

// keep is the size of a table that Reset keeps.
const keep = 16 << 10

// Reset forgets everything, and keeps most of the memory.
func (b *Builder) Reset() {
	if len(b.table) > keep {
		b.table = nil
	}
	clear(b.table)
	b.have, b.n, b.bits = 0, 0, nil
}

// has tells whether v, with the hash h, is in the table.
func (b *Builder) has(v, h uint32) bool {
	mask := uint32(len(b.table) - 1)
	for i := h & mask; i < uint32(len(b.table)) && b.table[i] != 0; i = (i + 1) & mask {
		if b.table[i] == v {
			return true
		}
	}
	return false
}

// add notes a trigram, with the hash h, that is not in the table.
func (b *Builder) add(t, h uint32) {
	if b.bits != nil {
		set(b.bits, maxBits, h)
		return
	}
	if 2*b.n >= len(b.table) {
		b.grow()
	}
	b.insert(t+1, h)
	if b.n++; b.n*bitsPerTrigram > maxBits {
		b.overflow()
	}
}

func (b *Builder) insert(v, h uint32) {
	mask := uint32(len(b.table) - 1)
	i := h & mask
	for b.table[i] != 0 {
		i = (i + 1) & mask
	}
	b.table[i] = v
}

func (b *Builder) grow() {
	old := b.table
	b.table = make([]uint32, max(1024, 2*len(old)))
	for _, v := range old {
		if v != 0 {
			b.insert(v, hash(v-1))
		}
	}
}

// overflow goes over to setting bits directly.
func (b *Builder) overflow() {
	b.bits = make([]byte, maxBits/8)
	for _, v := range b.table {
		if v != 0 {
			set(b.bits, maxBits, hash(v-1))
		}
	}
}

// Append appends the signature of what was written.
func (b *Builder) Append(sig []byte) []byte {
	sig = append(sig, Version)
	if b.bits != nil {
		return append(sig, b.bits...)
	}
	n := max(minBits, (b.n*bitsPerTrigram+7)&^7)
	start := len(sig)
	sig = append(sig, make([]byte, n/8)...)
	for _, v := range b.table {
		if v != 0 {
			set(sig[start:], uint32(n), hash(v-1))
		}
	}
	return sig
}

// hash spreads trigrams evenly (the finaliser of MurmurHash3).
func hash(t uint32) uint32 {
	t ^= t >> 16
	t *= 0x85ebca6b
	t ^= t >> 13
	t *= 0xc2b2ae35
	return t ^ t>>16
}

// commons has a bit for each hash, cut to 16 bits, of a common trigram. The few
// others with such a hash are left out too.
var commons = func() (bits [1 << 13]byte) {
	for i := 0; i+3 <= len(common); i += 3 {
		h := hash(trigram(common[i:])) >> 16
		bits[h>>3] |= 1 << (h & 7)
	}
	return bits
}()

func isCommon(h uint32) bool {
	h >>= 16
	return commons[h>>3]&(1<<(h&7)) != 0
}

func trigram(s string) uint32 { return uint32(s[0])<<16 | uint32(s[1])<<8 | uint32(s[2]) }

// place is the bit of a hash among n.
func place(h, n uint32) uint32 { return uint32(uint64(h) * uint64(n) >> 32) }

func set(bits []byte, n, h uint32) {
	i := place(h, n)
	bits[i>>3] |= 1 << (i & 7)
}

// Probe asks signatures for one string.
type Probe struct{ hashes []uint32 }

// NewProbe prepares the question for texts that are all there or not. The zero
// Probe, and that of texts shorter than three bytes or of nothing but common
// trigrams, rules nothing out.
func NewProbe(texts ...string) Probe {
	const most = 64 // no need to ask for more
	var p Probe
	seen := make(map[uint32]bool)
	for _, text := range texts {
		for i := 0; i+3 <= len(text) && len(p.hashes) < most; i++ {
			t := trigram(text[i:])
			if h := hash(t); !seen[t] && !isCommon(h) {
				seen[t] = true
				p.hashes = append(p.hashes, h)
			}
		}
	}
	return p
}

// Empty tells that the probe rules nothing out.
func (p Probe) Empty() bool { return len(p.hashes) == 0 }

// May tells whether the text of a signature may contain the string. A signature
// of another version, or none, may be of any text.
func (p Probe) May(sig []byte) bool {
	if len(sig) < 2 || sig[0] != Version {
		return true
	}
	bits := sig[1:]
	n := uint32(len(bits)) * 8
	for _, h := range p.hashes {
		i := place(h, n)
		if bits[i>>3]&(1<<(i&7)) == 0 {
			return false
		}
	}
	return true
}

// Valid tells whether sig is a signature that this package could have made.
func Valid(sig []byte) bool {
	n := 8 * (len(sig) - 1)
	return n >= minBits && n <= maxBits && sig[0] == Version
}
