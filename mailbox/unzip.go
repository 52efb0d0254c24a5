package mailbox

import (
	"encoding/binary"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// unzipper undoes what zstd did to chunks. A frame that refers to the dictionary is
// read as one that begins with it, in a block that is stored as it is: package zstd
// has its fast code, in assembly, for frames without a dictionary only. A match that
// reaches into the dictionary reaches as far back in both, and as the dictionary is
// nothing but text, all else is the same.
type unzipper struct {
	zstd *zstd.Decoder
	pool sync.Pool // of *unzipping
}

// unzipping is what one call needs.
type unzipping struct {
	frame []byte // header and dictionary stay, the blocks change
	text  []byte
}

func newUnzip() (*unzipper, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderDictRaw(dictionaryID, []byte(dictionary)), zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(2*chunkSize),
		zstd.WithDecoderLowmem(true))
	return &unzipper{zstd: d}, err
}

// open appends what a frame, or several, hold.
func (u *unzipper) open(b, stored []byte) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(stored); err != nil || h.DictionaryID != dictionaryID || h.Skippable || h.HasCheckSum || !h.HasFCS || h.FrameContentSize > chunkSize {
		return u.zstd.DecodeAll(stored, b)
	}
	w, ok := u.pool.Get().(*unzipping)
	if !ok {
		w = &unzipping{frame: dictionaryFrame()}
	}
	defer u.pool.Put(w)
	binary.LittleEndian.PutUint32(w.frame[frameSizeAt:], uint32(len(dictionary)+int(h.FrameContentSize)))
	w.frame = append(w.frame[:frameBlocksAt], stored[h.HeaderSize:]...)
	var err error
	if w.text, err = u.zstd.DecodeAll(w.frame, w.text[:0]); err != nil {
		return b, err
	}
	return append(b, w.text[len(dictionary):]...), nil
}

const (
	frameSizeAt   = 5
	frameBlocksAt = frameSizeAt + 4 + 3 + len(dictionary)
)

// dictionaryFrame is the begin of a frame that has the dictionary in its first
// block, as it is (RFC 8878 section 3.1.1).
func dictionaryFrame() []byte {
	b := []byte{0x28, 0xB5, 0x2F, 0xFD,
		2<<6 | 1<<5, // its size has 4 bytes, and all of it is the window
		0, 0, 0, 0}
	const block = uint32(len(dictionary)) << 3 // not the last, raw
	b = append(b, byte(block&0xFF), byte(block>>8&0xFF), byte(block>>16))
	return append(b, dictionary...)
}
