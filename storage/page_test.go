package storage_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/storage"
)

// TestReadPage reads what has no ranges and no state, from a server that is busy at first
// and then sends on to where it is.
func TestReadPage(t *testing.T) {
	busy := true
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case busy:
			busy = false
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/simple/x/":
			http.Redirect(w, r, "/now/x/", http.StatusFound)
		case r.URL.Path == "/now/x/":
			w.Header().Set("Content-Type", "text/x-of-mine")
			fmt.Fprintf(w, "%s, %s", r.Header.Get("Accept"), r.URL.RawQuery)
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	o := storage.Options{Patience: time.Second}
	got, err := storage.ReadPage(t.Context(), s.URL+"/simple/x/?signature", "text/x-of-mine", 100, o)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"text/x-of-mine, ", "text/x-of-mine", "/now/x/"}
	if diff := cmp.Diff(want, []string{string(got.Text), got.Type, got.URL.Path}); diff != "" {
		t.Errorf("text, type, path (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		at    string
		limit int64
		want  error
	}{
		{s.URL + "/none?signature", 100, fs.ErrNotExist},
		{s.URL + "/now/x/?signature", 10, regular.ErrUnfit},
		{"s3://bucket/simple", 100, storage.ErrURL},
		{"http://example.invalid/simple", 100, storage.ErrURL},
		{"simple", 100, storage.ErrURL},
	} {
		if _, err := storage.ReadPage(t.Context(), c.at, "*/*", c.limit, o); !errors.Is(err, c.want) || strings.Contains(fmt.Sprint(err), "signature") {
			t.Errorf("%s: %v, want %v", c.at, err, c.want)
		}
	}
}
