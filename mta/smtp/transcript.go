package smtp

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Side says who spoke.
type Side byte

// The two sides of a dialog.
const (
	FromClient Side = 'C'
	FromServer Side = 'S'
)

// Line is one line of a Transcript.
type Line struct {
	At   time.Time
	From Side
	Text string // printable, at most 512 octets, without its line ending
}

// maxTranscript is how many lines a Transcript keeps. The middle goes first:
// a dialog is understood by its start and its end.
const maxTranscript = 200

// Transcript records a dialog: commands, replies, notes such as the TLS
// version, never the bytes of a message and never a secret. The zero value is
// ready, and a nil one records nothing. It is bounded and may be used by
// several goroutines.
type Transcript struct {
	mu      sync.Mutex
	lines   []Line
	dropped int
}

// Add records a line.
func (t *Transcript) Add(from Side, text string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, Line{time.Now(), from, printable(text, 512)})
	if len(t.lines) > maxTranscript {
		t.lines = append(t.lines[:maxTranscript/2], t.lines[maxTranscript/2+1:]...)
		t.dropped++
	}
}

// Lines gives what was recorded so far, oldest first.
func (t *Transcript) Lines() []Line {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Line(nil), t.lines...)
}

// String gives the dialog as text: a line each, "C: " or "S: " in front, with
// a note where lines were left out.
func (t *Transcript) String() string {
	if t == nil {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for i, l := range t.lines {
		if t.dropped > 0 && i == maxTranscript/2 {
			fmt.Fprintf(&b, "(%d lines left out)\n", t.dropped)
		}
		fmt.Fprintf(&b, "%c: %s\n", l.From, l.Text)
	}
	return b.String()
}
