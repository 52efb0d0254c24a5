package mailbox

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// What begins with the dictionary reads like what refers to it.
func TestUnzip(t *testing.T) {
	zip, err := newZip()
	if err != nil {
		t.Fatal(err)
	}
	u, err := newUnzip()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	texts := [][]byte{nil, []byte("x"), []byte(dictionary), []byte(dictionary + dictionary)}
	for _, n := range []int{100, 5_000, 127 << 10, 129 << 10, chunkSize} {
		texts = append(texts, []byte(someText(r, n)[:n]))
		noise := make([]byte, n)
		for i := range noise {
			noise[i] = byte(r.Uint32())
		}
		texts = append(texts, noise)
		mixed := bytes.Clone(noise)
		for at := 0; at < n; at += 1 + r.IntN(3000) {
			from := r.IntN(len(dictionary))
			copy(mixed[at:], dictionary[from:min(from+r.IntN(300), len(dictionary))])
		}
		texts = append(texts, mixed)
	}
	for _, text := range texts {
		stored := zip.EncodeAll(text, nil)
		got, err := u.open([]byte("before"), stored)
		if err != nil || string(got) != "before"+string(text) {
			t.Errorf("%d bytes come back as %d, %v", len(text), len(got)-6, err)
		}
	}
}

// FuzzUnzip holds it against the package's own way to read with a dictionary.
func FuzzUnzip(f *testing.F) {
	zip, err := newZip()
	if err != nil {
		f.Fatal(err)
	}
	u, err := newUnzip()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(zip.EncodeAll([]byte("Received: from localhost"), nil))
	f.Add(zip.EncodeAll(nil, nil))
	f.Add(zip.EncodeAll(bytes.Repeat([]byte("some text and more of it\r\n"), 20_000), nil)[:9])
	f.Add(append(zip.EncodeAll([]byte("one"), nil), zip.EncodeAll([]byte("two"), nil)...))
	f.Fuzz(func(t *testing.T, stored []byte) {
		want, err := u.zstd.DecodeAll(stored, nil)
		got, gotErr := u.open(nil, stored)
		if err == nil && len(want) <= chunkSize && (gotErr != nil || !bytes.Equal(got, want)) {
			t.Fatalf("%d bytes, %v instead of %d", len(got), gotErr, len(want))
		}
		if err != nil && gotErr == nil {
			t.Fatalf("%d bytes instead of %v", len(got), err)
		}
	})
}
