package storage_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/storage"
)

// served answers ranges of b as a sound server does, but for what change makes of the answer.
func served(b []byte, change func(w http.ResponseWriter, r *http.Request, n int) (done bool)) http.Handler {
	n := 0
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		w.Header().Set("ETag", `"1"`)
		if !change(w, r, n) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
		}
	})
}

// partial begins an answer of a range.
func partial(w http.ResponseWriter, said string) {
	w.Header().Set("Content-Range", said)
	w.WriteHeader(http.StatusPartialContent)
}

// TestLies reads from servers that tell what is not so, or nothing: an error in seconds, in bounded memory, and
// never other bytes.
func TestLies(t *testing.T) {
	t.Parallel()
	b := random(100_000, 1)
	zeros := make([]byte, 1<<20)
	for name, c := range map[string]struct {
		change func(w http.ResponseWriter, r *http.Request, n int) bool
		want   string // in the error
	}{
		"no state": {func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.Header().Del("ETag")
			return false
		}, "neither an ETag"},
		"a weak state": {func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.Header().Set("ETag", `W/"1"`)
			return false
		}, "neither an ETag"},
		"a negative size": {func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			partial(w, "bytes 0-0/-5")
			return true
		}, "does not serve ranges"},
		"an endless size": {func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			partial(w, "bytes 0-0/9223372036854775807")
			return true
		}, "more than the"},
		"no size": {func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			partial(w, "bytes 0-0/*")
			return true
		}, "does not serve ranges"},
		"no ranges": {func(w http.ResponseWriter, r *http.Request, _ int) bool {
			r.Header.Del("Range")
			return false
		}, "does not serve ranges"},
		"another state": {func(w http.ResponseWriter, _ *http.Request, n int) bool {
			if n > 1 {
				w.Header().Set("ETag", `"2"`)
			}
			return false
		}, "changed"},
		"another size of the same state": {func(w http.ResponseWriter, _ *http.Request, n int) bool {
			if n > 1 {
				partial(w, "bytes 0-99999/100001")
				w.Write(b)
			}
			return n > 1
		}, "changed"},
		"another range": {func(w http.ResponseWriter, _ *http.Request, n int) bool {
			if n > 1 {
				partial(w, "bytes 1-99999/100000")
				w.Write(b[1:])
			}
			return n > 1
		}, "another range"},
		"all of it": {func(w http.ResponseWriter, r *http.Request, n int) bool {
			if n > 1 {
				r.Header.Del("Range")
			}
			return false
		}, "another range"},
		"short for ever": {func(w http.ResponseWriter, _ *http.Request, n int) bool {
			if n > 1 {
				partial(w, "bytes 0-99999/100000")
			}
			return n > 1
		}, "ended early"},
		"gone": {func(w http.ResponseWriter, _ *http.Request, n int) bool {
			if n > 1 {
				w.WriteHeader(http.StatusNotFound)
			}
			return n > 1
		}, "404"},
		"silence": {func(_ http.ResponseWriter, r *http.Request, _ int) bool {
			<-r.Context().Done()
			return true
		}, "the answer stopped"},
		"silence in the body": {func(w http.ResponseWriter, r *http.Request, n int) bool {
			if n > 1 {
				partial(w, "bytes 0-99999/100000")
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}
			return n > 1
		}, "the answer stopped"},
		"sent on for ever": {func(w http.ResponseWriter, r *http.Request, _ int) bool {
			http.Redirect(w, r, "/again", http.StatusFound)
			return true
		}, "more than 10 times"},
		"sent on to another machine": {func(w http.ResponseWriter, r *http.Request, _ int) bool {
			http.Redirect(w, r, "http://192.0.2.1/x", http.StatusFound)
			return true
		}, "not by https"},
		"sent on to a file": {func(w http.ResponseWriter, r *http.Request, _ int) bool {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
			return true
		}, "not by https"},
		"more than was asked": {func(w http.ResponseWriter, r *http.Request, n int) bool {
			if n > 1 {
				partial(w, "bytes 0-99999/100000")
				w.Write(b)
				for r.Context().Err() == nil {
					if _, err := w.Write(zeros); err != nil {
						break
					}
				}
			}
			return n > 1
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := httptest.NewServer(served(b, c.change))
			defer h.Close()
			defer h.CloseClientConnections()
			o := storage.Options{Idle: 20 * time.Second, Patience: 300 * time.Millisecond}
			if strings.HasPrefix(name, "silence") { // others would say nothing for that long, too, where much else runs
				o.Idle = 100 * time.Millisecond
			}
			p := open(t, h.URL+"/x?sig=secret", o)
			began := time.Now()
			got, err := p.ReadFile(t.Context(), "", regular.Document)
			if err == nil && c.want == "" && bytes.Equal(got, b) {
				return
			}
			if err == nil || c.want == "" || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%d bytes, %v; want %q", len(got), err, c.want)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("after %v", took)
			}
		})
	}
}

// TestSentOn follows a server to another name of this machine, which does not learn from where.
func TestSentOn(t *testing.T) {
	b := random(1000, 1)
	var referers []string
	to := httptest.NewServer(served(b, func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		referers = append(referers, r.Header.Get("Referer"))
		return false
	}))
	defer to.Close()
	from := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to.URL+"/y", http.StatusFound)
	}))
	defer from.Close()
	p := open(t, from.URL+"/x?sig=secret", storage.Options{})
	if got, err := p.ReadFile(t.Context(), "", regular.Document); err != nil || !bytes.Equal(got, b) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if said := strings.Join(referers, ""); said != "" || len(referers) == 0 {
		t.Errorf("%d requests; it was told %q", len(referers), said)
	}
}

// TestNamesBelow: names below a web server's directory are escaped in URLs.
func TestNamesBelow(t *testing.T) {
	const name = "100% of a?b#c.bin"
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(fmt.Sprint(r.URL.Path, " ", r.URL.RawQuery)))
	}))
	defer h.Close()
	dir, base := storage.Split(storage.Join(h.URL+"/dir?q=1", name))
	if base != name {
		t.Fatalf("%q", base)
	}
	p := open(t, dir, storage.Options{})
	if got, err := p.ReadFile(t.Context(), base, 1000); err != nil || string(got) != "/dir/"+name+" q=1" {
		t.Errorf("%q, %v", got, err)
	}
}
