package message

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"golang.org/x/text/transform"
)

// FuzzLenientReader: whatever comes, in whatever pieces, is read as the
// transformer of the same charset has it.
func FuzzLenientReader(f *testing.F) {
	f.Add([]byte("Gr\xfc\xdfe aus der K\xc3\xbcche \xf0\x9f\x98\x80 \xe2\x82"), uint64(1))
	f.Add([]byte("\xf0\x9f"), uint64(2))
	f.Add(bytes.Repeat([]byte("\xff\xe2\x82\xacx"), 2000), uint64(3))
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		for _, charset := range []string{"us-ascii", "utf-8"} {
			want, _, err := transform.Bytes(decoder(charset), text)
			if err != nil {
				t.Fatal(err)
			}
			for _, wrap := range []func(io.Reader) io.Reader{
				func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader,
			} {
				in := toUTF8(wrap(bytes.NewReader(text)), charset)
				if _, ok := in.(*lenientReader); !ok {
					t.Fatalf("%s is read by %T", charset, in)
				}
				var got []byte
				for buf := make([]byte, 3000); ; {
					n, err := in.Read(buf[:1+r.IntN(len(buf))])
					got = append(got, buf[:n]...)
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if !bytes.Equal(got, want) {
					t.Fatalf("%s: %q, want %q", charset, got, want)
				}
			}
		}
	})
}
