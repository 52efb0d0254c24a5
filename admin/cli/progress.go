package cli

import (
	"context"
	"fmt"
	"io"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"roost/admin"
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

// heard has the bar show what a server tells of its progress while it works on a request.
func (b *bar) heard(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
			var done, total int64
			if n, _ := fmt.Sscan(h.Get(admin.ProgressHeader), &done, &total); n == 2 {
				b.at(done, total)
			}
			return nil
		},
	})
}

// end leaves the line.
func (b *bar) end() {
	if b.w != nil && !b.shown.IsZero() {
		fmt.Fprintln(b.w)
	}
}
