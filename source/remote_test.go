package source

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPrefixLeavesOut names what lies below a URL and can be no file, but for the marks of
// directories.
func TestPrefixLeavesOut(t *testing.T) {
	sizes := map[string]int{"c/": 0, "c/x.jpg": 3, "c/y.jpg/": 3, "c//z.jpg": 3, "notes/": 3}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("list-type") != "2" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprint(w, "<ListBucketResult>")
		for key, n := range sizes {
			fmt.Fprintf(w, `<Contents><Key>p/%s</Key><LastModified>2026-01-01T00:00:00Z</LastModified><ETag>"1"</ETag><Size>%d</Size></Contents>`, key, n)
		}
		fmt.Fprint(w, "</ListBucketResult>")
	}))
	defer h.Close()
	for k, v := range map[string]string{"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"} {
		t.Setenv(k, v)
	}
	got := map[string]bool{}
	s, err := Open(t.Context(), []string{"s3://b/p/?region=us-east-1&use_path_style=true&endpoint=" + h.URL}, Options{OnSkip: func(k Skip) { got[k.Name] = k.Image }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if diff := cmp.Diff(map[string]bool{"c/y.jpg/": true, "c//z.jpg": true, "notes/": false}, got); diff != "" {
		t.Errorf("left out, and whether it is an image (-want +got):\n%s", diff)
	}
	if e := s.Entries(); len(e) != 1 || e[0].Name != "c/x.jpg" {
		t.Errorf("entries: %v", e)
	}
}
