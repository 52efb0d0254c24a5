package mailbox

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// With another dictionary no message that was stored with this one could be
// read: it may only be added to by a second one.
func TestTheDictionaryNeverChanges(t *testing.T) {
	const want = "12a348e1431a104047d34ddb7d5fe9ecd935e703f3f9e8f1490cab9a0920f70a"
	if got := fmt.Sprintf("%x", sha256.Sum256([]byte(dictionary))); got != want {
		t.Errorf("the dictionary is %s, was %s", got, want)
	}
}

func TestDictionarySaves(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	text := "From: \"Zoe\" <zoe@example.net>\r\nTo: ann@example.org\r\nSubject: Re: lunch\r\nDate: Mon, 2 Mar 2026 10:00:00 +0100\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8; format=flowed\r\nContent-Transfer-Encoding: 7bit\r\n\r\nThank you for your message.\r\n"
	a := accept(t, s, text, Placement{Account: ann.ID})
	if got := readAll(t, s, ann.ID, InboxID, a.Placed[0].UID); got != text {
		t.Errorf("came back as %q", got)
	}
	c, _ := seal(s.zip, []byte(text), nil)
	if c.kind != chunkZstd || c.stored > int64(len(text))/2 {
		t.Errorf("%d bytes take %d", len(text), c.stored)
	}
	if c, _ := seal(s.zip, []byte(strings.Repeat("\x00", 100)), nil); c.stored > 50 {
		t.Errorf("zeros take %d bytes", c.stored)
	}
}

// What is already compressed comes as base64: 6 bits in each of 8, and no word twice.
func TestAttachmentsAreStoredAsTheBitsThatTheyAre(t *testing.T) {
	zip, err := newZip()
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, 150<<10)
	rand.NewChaCha8([32]byte{1}).Read(raw)
	text := []byte(base64.StdEncoding.EncodeToString(raw))
	if c, _ := seal(zip, text, nil); c.kind != chunkZstd || c.stored > int64(len(raw)+len(raw)/50) {
		t.Errorf("%d bytes in base64 take %d", len(raw), c.stored)
	}
}
