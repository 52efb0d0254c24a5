package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// bar shows how far long work has come, on one line of a terminal. It is silent where w
// is none.
type bar struct {
	w     io.Writer
	what  string
	begun time.Time
	shown time.Time
}

const barWidth = 24

func newBar(w io.Writer, what string) *bar {
	if f, ok := w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		w = nil
	}
	return &bar{w: w, what: what, begun: time.Now()}
}

// at shows that done of total bytes are done.
func (b *bar) at(done, total int64) {
	now := time.Now()
	if b.w == nil || total <= 0 || now.Sub(b.shown) < 100*time.Millisecond && done < total {
		return
	}
	b.shown = now
	done = min(done, total)
	full := int(done * barWidth / total)
	rate := float64(done) / 1e6 / max(now.Sub(b.begun).Seconds(), 0.001)
	fmt.Fprintf(b.w, "\r%s [%s%s] %3d %%  %.1f of %.1f MB, %.0f MB/s\x1b[K", b.what,
		strings.Repeat("#", full), strings.Repeat(".", barWidth-full), done*100/total, float64(done)/1e6, float64(total)/1e6, rate)
}

// end leaves the line.
func (b *bar) end() {
	if b.w != nil && !b.shown.IsZero() {
		fmt.Fprintln(b.w)
	}
}
