package message_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"roost/mailbox/mailboxtest"
)

// TestTorture holds the invariants over broken mail of other projects' tests,
// as it is and with the line ends that SMTP would have made.
func TestTorture(t *testing.T) {
	mailboxtest.NeedCorpus(t)
	n := 0
	for name, data := range mailboxtest.Messages(t, mailboxtest.Torture) {
		n++
		t.Run(name, func(t *testing.T) {
			checkInvariants(t, data)
			checkInvariants(t, bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n")))
		})
	}
	if n < 300 {
		t.Errorf("only %d messages", n)
	}
}

// TestRealMail holds them over mail that people and mailing lists received.
func TestRealMail(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of messages")
	}
	mailboxtest.NeedCorpus(t)
	n := 0
	for _, data := range mailboxtest.Messages(t, mailboxtest.RealMail) {
		if n++; n%4 == 0 { // a quarter takes a second
			checkInvariants(t, data)
		}
	}
	if n < 4000 {
		t.Errorf("only %d messages", n)
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/nasty/*.eml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkInvariants(t, data) })
}
