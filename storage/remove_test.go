package storage_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sync/atomic"
	"testing"
)

// TestRemoveMany removes objects by one request, each by its own where the store has no such
// request, and where a key is one that it would understand otherwise.
func TestRemoveMany(t *testing.T) {
	_, proxy, p := tapped(t)
	for name, c := range map[string]struct {
		names    []string
		without  bool
		requests int64
	}{
		"at once":     {[]string{"a", "d/synset=n1/part-0.arrow", "not-there"}, false, 1},
		"one each":    {[]string{"a", "b", "c"}, true, 4},
		"any symbols": {[]string{"a b", "é", "x&<y>", "a__0x41__b"}, false, 1},
		"no XML":      {[]string{"a b", "c\x01", "é", "x&<y>"}, false, 4}, // has one of them
	} {
		var asked atomic.Int64
		for _, n := range append(c.names, "stays") {
			if n != "not-there" {
				check(t, p.Write(t.Context(), n, []byte(n)))
			}
		}
		proxy.Tap(func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
			asked.Add(1)
			if c.without && r.Method == http.MethodPost {
				w.WriteHeader(http.StatusNotImplemented)
				return
			}
			forward.ServeHTTP(w, r)
		})
		check(t, p.RemoveMany(t.Context(), c.names))
		proxy.Tap(nil)
		left, err := p.List(t.Context(), "")
		check(t, err)
		if got := fmt.Sprint(len(left), left[0].Name, asked.Load()); got != fmt.Sprint(1, "stays", c.requests) {
			t.Errorf("%s: left, and asked: %s, want one and %d: %v", name, got, c.requests, left)
		}
	}
	var asked atomic.Int64
	proxy.Tap(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		asked.Add(1)
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "<Error><Code>AccessDenied</Code></Error>")
	})
	if err := p.RemoveMany(t.Context(), []string{"stays", "b"}); !errors.Is(err, fs.ErrPermission) || asked.Load() != 1 {
		t.Errorf("%d requests of who may not: %v", asked.Load(), err)
	}
}
