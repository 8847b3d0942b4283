package standin

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/storagetest"
)

// watched is a server's writes in their order, which a gate may hold up.
type watched struct {
	url  string // with options
	gate sync.RWMutex
	mu   sync.Mutex
	seen []string
}

// watch stands before a server.
func watch(t *testing.T, s *storagetest.Server, key string) *watched {
	t.Helper()
	w := &watched{}
	to := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: s.Addr})
	h := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead && !strings.Contains(r.URL.Path, LockName) {
			w.gate.RLock()
			defer w.gate.RUnlock()
			w.mu.Lock()
			w.seen = append(w.seen, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/"+s.Bucket+"/"+key+"/"))
			w.mu.Unlock()
		}
		to.ServeHTTP(rw, r)
	}))
	t.Cleanup(h.Close)
	w.url = s.URL(key) + "?endpoint=" + h.URL + "&use_path_style=true&region=us-east-1"
	return w
}

// taken gives the writes since the last call.
func (w *watched) taken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.seen
	w.seen = nil
	return out
}

// openDir opens a directory as a process of a host.
func openDir(t *testing.T, cache, url, host string) (*Dir, func()) {
	t.Helper()
	p := &Paths{Dir: cache}
	d, err := p.Directory(t.Context(), url, DirOptions{
		Rank: func(name string) int {
			if name == "log" {
				return 0
			}
			return 1
		},
		Private: func(name string) bool { return name == "secret" },
		Holder:  storage.Holder{Host: host, PID: 1, Alive: func(int) bool { return true }},
		OnWait:  func(error) {}, OnTrouble: func(err error) { t.Error(err) }, OnLost: func() { t.Error("lost") },
	})
	check(t, err)
	return d, func() {
		t.Helper()
		check(t, d.Close())
		check(t, p.Close())
	}
}

// tree is the text of a directory's files, links followed.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	check(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if strings.HasSuffix(rel, ".sha256") || strings.HasPrefix(rel, LockName) { // what is known of the files
			return err
		}
		all[filepath.ToSlash(rel)] = slurp(t, path)
		return err
	}))
	return all
}

// TestDirectory writes a directory in order, changes it, and finds it on another machine.
func TestDirectory(t *testing.T) {
	s := storagetest.Start(t)
	w := watch(t, s, "runs/a")
	here := t.TempDir()
	d, end := openDir(t, here, w.url, "one")
	at := func(name string) string { return filepath.Join(d.Path, name) }
	commit := func() []string {
		t.Helper()
		check(t, d.Commit())
		check(t, d.Wait())
		return w.taken()
	}
	spill(t, at("log"), "1\n")
	spill(t, at("secret"), "only here")
	spill(t, at("a/1"), "one")
	spill(t, at("a/2"), "two")
	check(t, os.Symlink("a/1", at("best")))
	first := commit()
	spill(t, at("log"), "1\n2\n")
	spill(t, at("a/3"), "three")
	check(t, os.Remove(at("a/1")))
	check(t, os.Remove(at("best")))
	check(t, os.Symlink("a/2", at("best")))
	second, third := commit(), commit()
	if diff := cmp.Diff([][]string{
		{"PUT log", "PUT a/1", "PUT a/2", "PUT best"}, {"PUT log", "PUT a/3", "PUT best", "DELETE a/1"}, nil,
	}, [][]string{first, second, third}); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	p := &Paths{Dir: t.TempDir()}
	defer p.Close()
	if _, err := p.Directory(t.Context(), w.url, DirOptions{Holder: storage.Holder{Host: "one", PID: 2, Alive: func(int) bool { return true }}}); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("a second writer: %v", err)
	}
	end()

	want := map[string]string{"log": "1\n2\n", "a/2": "two", "a/3": "three", "best": "two"}
	d, end = openDir(t, t.TempDir(), w.url, "two")
	if diff := cmp.Diff(want, tree(t, d.Path)); diff != "" {
		t.Errorf("on another machine (-want +got):\n%s", diff)
	}
	end()
	if writes := w.taken(); len(writes) > 0 {
		t.Errorf("written, although nothing was changed: %v", writes)
	}
}

// TestDirectoryDamaged has what was damaged here copied anew, what was never there
// removed, and all else left.
func TestDirectoryDamaged(t *testing.T) {
	s := storagetest.Start(t)
	cache := t.TempDir()
	d, end := openDir(t, cache, s.URL("run"), "one")
	spill(t, filepath.Join(d.Path, "a"), "sound")
	spill(t, filepath.Join(d.Path, "b"), "same")
	check(t, d.Commit())
	end()
	path := filepath.Join(d.Path, "a")
	info, err := os.Stat(path)
	check(t, err)
	spill(t, path, "sOund")
	check(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	spill(t, filepath.Join(d.Path, "c"), "never there")
	same, err := os.Stat(filepath.Join(d.Path, "b"))
	check(t, err)
	d, end = openDir(t, cache, s.URL("run"), "one")
	if diff := cmp.Diff(map[string]string{"a": "sound", "b": "same"}, tree(t, d.Path)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if now, err := os.Stat(filepath.Join(d.Path, "b")); err != nil || !os.SameFile(same, now) {
		t.Errorf("b was copied again: %v", err)
	}
	end()

	// What lies here is not the object where that has another size, whatever state it is said to be in.
	spill(t, filepath.Join(d.Path, "b"), "no")
	sum, err := sumOf(filepath.Join(d.Path, "b"))
	check(t, err)
	d.known["b"] = file{ID: d.known["b"].ID, Size: 2, CRC: sum}
	check(t, d.remember())
	d, end = openDir(t, cache, s.URL("run"), "one")
	if diff := cmp.Diff(map[string]string{"a": "sound", "b": "same"}, tree(t, d.Path)); diff != "" {
		t.Errorf("another size (-want +got):\n%s", diff)
	}
	end()
}

// TestCommitWaitsForNothing: while the store does not answer, who commits goes on, and
// what was to follow is left out for what came after it. A file that grows is what it
// was at its commit.
func TestCommitWaitsForNothing(t *testing.T) {
	s := storagetest.Start(t)
	w := watch(t, s, "run")
	d, end := openDir(t, t.TempDir(), w.url, "one")
	log := filepath.Join(d.Path, "log")
	w.gate.Lock()
	f, err := os.OpenFile(log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	check(t, err)
	for range 5 {
		_, err := f.WriteString("line\n")
		check(t, err)
		check(t, d.Commit())
	}
	_, err = f.WriteString("not committed")
	check(t, err)
	check(t, f.Close())
	w.gate.Unlock()
	check(t, d.settled())
	if got := slurp(t, filepath.Join(s.Dir, "run", "log")); got != strings.Repeat("line\n", 5) {
		t.Errorf("there is %q", got)
	}
	if writes := w.taken(); len(writes) < 1 || len(writes) > 2 { // the first commit's may be left out, too
		t.Errorf("%v, want one write or two", writes)
	}
	end()
}

// TestTree copies what is chosen, as it is at one moment.
func TestTree(t *testing.T) {
	s := storagetest.Start(t)
	for _, name := range []string{"log", "a/1", "a/2"} {
		s.Put(t, "run/"+name, []byte(name))
	}
	p := Paths{Dir: t.TempDir()}
	defer p.Close()
	asked := 0
	path, err := p.Tree(t.Context(), s.URL("run"), func(names []string) []string {
		if asked++; asked == 1 { // what was listed goes while it is copied
			s.Put(t, "run/a/3", []byte("a/3"))
			check(t, os.Remove(filepath.Join(s.Dir, "run", "a", "2")))
		}
		return []string{"log", slices.Max(slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !strings.HasPrefix(n, "a/") }))}
	})
	check(t, err)
	if diff := cmp.Diff(map[string]string{"log": "log", "a/3": "a/3"}, tree(t, path)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
