package source

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// byQuery serves images that only the query tells apart.
func byQuery(t *testing.T) (url string) {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Unix(1, 0), strings.NewReader("\xff\xd8\xff"+r.URL.Query().Get("id")))
	}))
	t.Cleanup(h.Close)
	return h.URL
}

// TestURLsApart: images of URLs that differ behind the question mark are different images with different
// names, in which no query can be read; a signature alone makes no other image.
func TestURLsApart(t *testing.T) {
	at := byQuery(t)
	paths := []string{at + "/x?id=1", at + "/x?id=2&X-Amz-Signature=a", at + "/x?id=2&X-Amz-Signature=b", at + "/y.jpg?Expires=1&Signature=a"}
	list := filepath.Join(folderOf(t, contents{"l.csv": "path\n" + strings.Join(paths, "\n") + "\n"}), "l.csv")
	given, err := Open(t.Context(), paths, Options{})
	if err != nil {
		t.Fatal(err)
	}
	listed, err := Open(t.Context(), []string{list}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	piped, err := OpenPaths(t.Context(), strings.NewReader(strings.Join(paths, "\n")), false, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for what, s := range map[string]*Set{"given": given, "listed": listed, "piped": piped} {
		defer s.Close()
		var names, read []string
		for _, e := range s.Entries() {
			b, err := s.Read(e, nil)
			if err != nil {
				t.Error(err)
			}
			names, read = append(names, strings.TrimPrefix(e.Name, at)), append(read, string(b))
		}
		if diff := cmp.Diff([]string{"\xff\xd8\xff1", "\xff\xd8\xff2", "\xff\xd8\xff2", "\xff\xd8\xff"}, read); diff != "" {
			t.Errorf("%s: read (-want +got):\n%s", what, diff)
		}
		// Digests by sha256sum, of "id=1" and "id=2".
		want := []string{"/x?" + digestOf1, "/x?" + digestOf2, "/x?" + digestOf2, "/y.jpg"}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("%s: names (-want +got):\n%s", what, diff)
		}
	}
}

// The first 16 digits of printf id=1 | sha256sum, and of id=2.
const (
	digestOf1 = "d9fc91d45c096b5e"
	digestOf2 = "25d0c83ec3d0bc18"
)

func TestQueryOf(t *testing.T) {
	for url, want := range map[string]string{
		"https://h/a":            "",
		"https://h/a?id=1&w=300": "id=1&w=300",
		"https://h/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=x&X-Amz-Date=1&X-Amz-Expires=9&X-Amz-SignedHeaders=host&x-amz-signature=s&versionId=3": "versionId=3",
		"https://h/a?GoogleAccessId=x&Expires=1&Signature=a%2Bb&generation=2":                                                                                 "generation=2",
		"https://h/a?sv=2022&sr=b&sp=r&se=2030&sig=abc&snapshot=1":                                                                                            "snapshot=1",
		"https://h/a?sp=r&se=2030":                "sp=r&se=2030",
		"https://h/a?token=x":                     "token=x",
		"s3://b/k?endpoint=http://x&region=there": "endpoint=http://x&region=there",
	} {
		if got := queryOf(url); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}

// TestNamesOfLists: two lists name one file by one path, or one URL.
func TestNamesOfLists(t *testing.T) {
	for _, c := range []struct{ list, name, want string }{
		{"a/l.csv", "x/./1.jpg", "a/x/1.jpg"},
		{"a/l.csv", "../1.jpg", "1.jpg"},
		{"a/l.csv", "/x/1.jpg", "/x/1.jpg"},
		{"a/l.csv", "s3://b/x//1.jpg", "s3://b/x//1.jpg"},
		{"s3://b/a/l.csv", "1.jpg", "s3://b/a/1.jpg"},
		{"s3://b/a/l.csv", "s3://b/a/1.jpg", "s3://b/a/1.jpg"},
	} {
		if got := (&Info{Path: c.list}).Names(c.name); got != c.want {
			t.Errorf("%s in %s: %s, want %s", c.name, c.list, got, c.want)
		}
	}
}
