package storage_test

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/synshard/synshard/storage"
)

// TestLastingAnswers tells what a server says of one file, and will say again, from what is of the
// server.
func TestLastingAnswers(t *testing.T) {
	t.Parallel()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page := func(status int) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			w.Write([]byte("<html>"))
		}
		switch r.URL.Path {
		case "/400":
			page(http.StatusBadRequest)
		case "/416":
			page(http.StatusRequestedRangeNotSatisfiable)
		case "/page":
			page(http.StatusOK)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/away":
			http.Redirect(w, r, "http://example.org/x", http.StatusFound)
		case "/nowhere":
			w.WriteHeader(http.StatusFound)
		case "/410":
			page(http.StatusGone)
		case "/401":
			page(http.StatusUnauthorized)
		}
	}))
	defer h.Close()
	for path, want := range map[string]error{
		"/400": storage.ErrUnserved, "/416": storage.ErrUnserved, "/page": storage.ErrUnserved, "/loop": storage.ErrUnserved,
		"/away": storage.ErrUnserved, "/nowhere": storage.ErrUnserved, "/410": fs.ErrNotExist, "/401": fs.ErrPermission,
	} {
		_, err := open(t, h.URL+path, storage.Options{}).OpenObject(t.Context(), "")
		if !errors.Is(err, want) || strings.Contains(err.Error(), "changed") {
			t.Errorf("%s: %v; want %v", path, err, want)
		}
	}
}

// TestEmptyOnAServer opens a file without bytes, of which some servers say that it has no ranges.
func TestEmptyOnAServer(t *testing.T) {
	t.Parallel()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refused" {
			w.Header().Set("Content-Range", "bytes */0")
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		}
	}))
	defer h.Close()
	for _, path := range []string{"/refused", "/whole"} {
		p := open(t, h.URL+path, storage.Options{})
		o, err := p.OpenObject(t.Context(), "")
		if err != nil || o.Size() != 0 {
			t.Errorf("%s: %v", path, err)
			continue
		}
		check(t, o.Unchanged())
		if b, err := p.ReadFile(t.Context(), "", 10); err != nil || len(b) > 0 {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
}
