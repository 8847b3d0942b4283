//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// web serves what lies in the scene on loopback, at URL/NAME/..., and lies to who asks by a
// name if it was told to. In arguments url@NAME/ stands for URL/NAME/.
type web struct {
	url string

	mu    sync.Mutex
	liars map[string]*liar
}

// liar is how a server lies: in what way, in how many of its answers.
type liar struct {
	lie    *lie
	chance float64
	r      *rand.Rand
	told   int // lies
}

// lie is a way not to answer as one should.
type lie struct {
	name string
	// answer is given in place of the right one, of what is asked for, content from some byte on.
	answer func(w http.ResponseWriter, r *http.Request, content []byte, from int, tag string, rnd *rand.Rand)
}

// lies are what networks, proxies and servers do.
var lies = []lie{
	{"answers that are cut", func(w http.ResponseWriter, _ *http.Request, b []byte, from int, tag string, r *rand.Rand) {
		head(w, b, from, len(b)-from, tag)
		w.Write(b[from : from+r.IntN(len(b)-from)])
		panic(http.ErrAbortHandler)
	}},
	{"503", func(w http.ResponseWriter, _ *http.Request, _ []byte, _ int, _ string, _ *rand.Rand) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}},
	{"429 and no connection", func(w http.ResponseWriter, _ *http.Request, _ []byte, _ int, _ string, r *rand.Rand) {
		if r.IntN(2) == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusTooManyRequests)
	}},
	{"short bodies", func(w http.ResponseWriter, _ *http.Request, b []byte, from int, tag string, r *rand.Rand) {
		n := r.IntN(len(b) - from)
		head(w, b, from, n, tag)
		w.Write(b[from : from+n])
	}},
	{"bits that turn", func(w http.ResponseWriter, _ *http.Request, b []byte, from int, tag string, r *rand.Rand) {
		b = bytes.Clone(b)
		b[from+r.IntN(len(b)-from)] ^= 1 << r.IntN(8)
		head(w, b, from, len(b)-from, tag)
		w.Write(b[from:])
	}},
	{"other ranges called right", func(w http.ResponseWriter, _ *http.Request, b []byte, from int, tag string, r *rand.Rand) {
		other := r.IntN(len(b))
		b = slices.Concat(b[:from], b[other:], b)[:len(b)]
		head(w, b, from, len(b)-from, tag)
		w.Write(b[from:])
	}},
	{"other ranges", func(w http.ResponseWriter, _ *http.Request, b []byte, _ int, tag string, r *rand.Rand) {
		from := r.IntN(len(b))
		head(w, b, from, len(b)-from, tag)
		w.Write(b[from:])
	}},
	{"another state", func(w http.ResponseWriter, _ *http.Request, b []byte, from int, _ string, _ *rand.Rand) {
		head(w, b, from, len(b)-from, `"another"`)
		w.Write(b[from:])
	}},
	{"no state", func(w http.ResponseWriter, _ *http.Request, b []byte, from int, _ string, _ *rand.Rand) {
		head(w, b, from, len(b)-from, "")
		w.Write(b[from:])
	}},
	{"another size", func(w http.ResponseWriter, _ *http.Request, b []byte, from int, tag string, r *rand.Rand) {
		b = append(bytes.Clone(b), noise(r, 1+r.IntN(100))...)
		head(w, b, from, len(b)-from, tag)
		w.Write(b[from:])
	}},
	{"all of it", func(w http.ResponseWriter, _ *http.Request, b []byte, _ int, tag string, _ *rand.Rand) {
		w.Header().Set("ETag", tag)
		w.Write(b)
	}},
	{"404", func(w http.ResponseWriter, r *http.Request, _ []byte, _ int, _ string, _ *rand.Rand) {
		http.NotFound(w, r)
	}},
	{"a page in its place", func(w http.ResponseWriter, _ *http.Request, _ []byte, _ int, _ string, _ *rand.Rand) {
		w.Write([]byte("<html>sign in</html>"))
	}},
}

// head begins an answer of n bytes from some byte of b on.
func head(w http.ResponseWriter, b []byte, from, n int, tag string) {
	if tag != "" {
		w.Header().Set("ETag", tag)
	}
	w.Header().Set("Content-Length", fmt.Sprint(n))
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+n-1, len(b)))
	w.WriteHeader(http.StatusPartialContent)
}

// serve serves the scene until the process ends.
func (s *scene) serve() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.web = &web{url: "http://" + l.Addr().String() + "/", liars: map[string]*liar{}}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.web.answer(w, r, s.in("")) }), ReadHeaderTimeout: time.Minute}
	go server.Serve(l)
	return nil
}

func (h *web) answer(w http.ResponseWriter, r *http.Request, in string) {
	who, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	path := filepath.Join(in, filepath.FromSlash(name))
	if strings.HasSuffix(name, "/") { // a page of the package index
		path = filepath.Join(path, "index.html")
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	tag := fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size())
	if b, err := os.ReadFile(path); err == nil && h.lie(w, r, who, b, tag) {
		return
	}
	w.Header().Set("ETag", tag)
	http.ServeFile(w, r, path)
}

// lie says whether it did.
func (h *web) lie(w http.ResponseWriter, r *http.Request, who string, b []byte, tag string) bool {
	h.mu.Lock()
	l := h.liars[who]
	var from int
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); l == nil || err != nil || from >= len(b) || l.r.Float64() >= l.chance {
		h.mu.Unlock()
		return false
	}
	l.told++
	rnd := rand.New(rand.NewPCG(l.r.Uint64(), 1))
	h.mu.Unlock()
	l.lie.answer(w, r, b, from, tag, rnd)
	return true
}

// hire has the server lie to who asks by a name; nil ends that, and says how often it lied.
func (h *web) hire(who string, l *liar) (told int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if was := h.liars[who]; was != nil {
		told = was.told
	}
	if delete(h.liars, who); l != nil {
		h.liars[who] = l
	}
	return told
}

// askers are commands that read from URLs: url@NAME/ is each one's own.
func askers() (all []*job) {
	add := func(j *job) { // what is kept goes by the states that were told
		inner := j.same
		j.same = func(name string, b []byte) ([]byte, bool) {
			if name == "cache" {
				return nil, false
			}
			if inner == nil {
				return b, true
			}
			return inner(name, b)
		}
		all = append(all, j)
	}
	add(&job{name: "infer", needs: "ort", args: []string{"infer", "url@lie-infer/model.onnx", "url@lie-infer/dataset", "--threads", "1", "--cache-dir", "cache", "--out", "p.arrow"}})
	add(&job{name: "train", needs: "torch", args: append([]string{"train"}, append([]string{"url@lie-train/dataset", "--cache-dir", "cache"}, trainArgs[2:]...)...), same: ofRun})
	add(&job{name: "export", args: []string{"export", "url@lie-export/dataset", "--to", "tar", "--cache-dir", "cache", "--out", "e"}, same: ofExport})
	add(&job{name: "classes", args: []string{"classes", "url@lie-classes/dataset", "--cache-dir", "cache", "--json"}})
	add(&job{name: "import", args: []string{"model", "import", "url@lie-import/model.onnx", "--cache-dir", "cache", "--out", "w.safetensors"}})
	add(&job{name: "ingest", args: []string{"ingest", "url@lie-ingest/tree.zip", "--out", "d"}, codes: []int{3}})
	lied := slices.Clone(setupArgs)
	lied[slices.Index(lied, "url@jobs/simple")] = "url@lie-setup/simple"
	add(&job{name: "setup", needs: "pins", args: lied, same: ofSetup})
	return all
}

// lied runs a command that reads from a server which lies: it ends right, or says what is wrong. A source without sums may be
// other data.
func (j *job) lied(s *scene, r *rand.Rand) (result, error) {
	dir, err := j.ready(s)
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	who := "lie-" + j.name
	l := &liar{lie: &lies[r.IntN(len(lies))], chance: []float64{0.02, 0.1, 0.3}[r.IntN(3)], r: rand.New(rand.NewPCG(r.Uint64(), 1))}
	s.web.hire(who, l)
	run := s.command(dir, j.args...)
	run.limit = 4 * time.Minute // of which two are patience
	o, err := run.do()
	told := fmt.Sprintf("%s, %d of them", l.lie.name, s.web.hire(who, nil))
	if err != nil {
		return result{}, err
	}
	res := result{acts: l.told, code: o.code}
	switch {
	case o.crashed() || o.signal != 0:
		return res, finding("%s: %v", told, o)
	case o.code == j.code:
		err := j.judge(dir)
		switch {
		case err == nil && withoutTimes(o.stdout) == j.stdout:
			res.right++
		case j.name == "ingest":
			res.other++
		case err == nil:
			return res, silent("%s: exit %d, but other words on stdout: %q", told, o.code, shorten(o.stdout))
		default:
			return res, silent("%s: exit %d, but %v", told, o.code, err)
		}
		return res, nil
	case strings.TrimSpace(o.stderr) == "":
		return res, finding("%s: exit %d without a word", told, o.code)
	}
	res.refused++
	// An honest server mends it, whatever is kept here.
	o, err = s.command(dir, j.args...).do()
	if err != nil || j.name == "ingest" { // which may have begun another
		return res, err
	}
	if !j.ended(o) {
		return res, finding("%s (exit %d); then it does not go on: %v", told, res.code, o)
	}
	if err := j.judge(dir); err != nil && j.name != "train" { // which did without some images, and said so
		return res, silent("%s (exit %d); then exit %d, and %v", told, res.code, o.code, err)
	}
	return res, nil
}
