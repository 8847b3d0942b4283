package storage_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/synshard/synshard/storage"
)

// TestOnWaiting has many ask a server that is away for a while, of which is told once, and once
// more when it is given up and asked anew.
func TestOnWaiting(t *testing.T) {
	defer storage.WaitLong(300 * time.Millisecond)()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer h.Close()
	var told []storage.Waiting
	ctx := storage.OnWaiting(t.Context(), func(w storage.Waiting) { told = append(told, w) })
	ask := func(ctx context.Context) {
		var all sync.WaitGroup
		for range 8 {
			p := open(t, h.URL+"/a?sig=SECRET", storage.Options{Patience: 1500 * time.Millisecond})
			all.Go(func() {
				if _, err := p.OpenObject(ctx, ""); err == nil || !storage.Passing(err) {
					t.Errorf("a server that is away: %v", err)
				}
			})
		}
		all.Wait()
	}
	began := time.Now()
	ask(t.Context()) // of which nobody wants to know
	ask(ctx)
	if len(told) != 1 || told[0].Place != h.URL || !strings.Contains(told[0].Err.Error(), "503") || strings.Contains(told[0].Err.Error(), "SECRET") {
		t.Fatalf("told: %v", told)
	}
	if until := told[0].Until; until.Before(began) || until.After(time.Now().Add(time.Minute)) {
		t.Errorf("given up at %v", until)
	}
	time.Sleep(time.Until(told[0].Until))
	ask(ctx)
	if len(told) != 2 {
		t.Errorf("told %d times of a server that is away twice", len(told))
	}
}
