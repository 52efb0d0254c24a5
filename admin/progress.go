package admin

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

type progressKey struct{}

// WithProgress has an operation that takes long tell how far it has come, in bytes. It
// calls f from one goroutine at a time.
func WithProgress(ctx context.Context, f func(done, total int64)) context.Context {
	return context.WithValue(ctx, progressKey{}, f)
}

func progressOf(ctx context.Context) func(done, total int64) {
	if f, ok := ctx.Value(progressKey{}).(func(done, total int64)); ok {
		return f
	}
	return func(int64, int64) {}
}

// ProgressHeader is a header of interim answers (status 102) to a caller who sent it in
// the request: "DONE TOTAL", in bytes.
const ProgressHeader = "Roost-Progress"

// tellProgress sends an interim answer at most every tenth of a second.
func tellProgress(w http.ResponseWriter) func(done, total int64) {
	var last time.Time
	return func(done, total int64) {
		if now := time.Now(); now.Sub(last) >= 100*time.Millisecond || done == total {
			last = now
			w.Header().Set(ProgressHeader, fmt.Sprintf("%d %d", done, total))
			w.WriteHeader(http.StatusProcessing)
			w.Header().Del(ProgressHeader)
		}
	}
}
