package message_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roost/mailbox/message"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestNasty holds what IMAP, search and preview show of messages that are wrong
// in one way each. Read the diff when it changes: it is the specification.
func TestNasty(t *testing.T) {
	files, err := filepath.Glob("testdata/nasty/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatal("no messages", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".eml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := describe(t, data)
			checkInvariants(t, data)
			golden := strings.TrimSuffix(file, ".eml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// describe renders everything the package knows of a message.
func describe(t *testing.T, data []byte) string {
	t.Helper()
	p, err := message.Parse(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(data)
	var b strings.Builder
	fmt.Fprintf(&b, "ENVELOPE %s\n", message.AppendEnvelope(nil, p.Header))
	fmt.Fprintf(&b, "BODYSTRUCTURE %s\n", message.AppendBodyStructure(nil, p, true))
	preview, err := p.Preview(r)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "PREVIEW %q\n", preview)
	fmt.Fprintf(&b, "SUBJECT %q\n", p.Header.Text("Subject"))
	for part := range p.All() {
		fmt.Fprintf(&b, "PART %s/%s %d-%d-%d %d lines\n", part.Type, part.Subtype, part.Start, part.Body, part.End, part.Lines)
		if name := part.Filename(); name != "" {
			fmt.Fprintf(&b, "  NAME %q\n", name)
		}
		for f := range part.Header.Fields() {
			fmt.Fprintf(&b, "  FIELD %q %q\n", f.Name(), f.Value())
		}
	}
	var text bytes.Buffer
	if err := p.WriteText(&text, r, 1<<20); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		fmt.Fprintf(&b, "TEXT %q\n", line)
	}
	return b.String()
}
