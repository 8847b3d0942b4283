package directory_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/directory"
	"github.com/synshard/synshard/storage/files"
	"github.com/synshard/synshard/storage/storagetest"
)

func at(t *testing.T, url, host string) files.Dir {
	t.Helper()
	p, err := storage.Open(t.Context(), url, storage.Options{})
	check(t, err)
	t.Cleanup(func() { p.Close() })
	return directory.At(t.Context(), p, directory.Options{
		Holder: storage.Holder{Host: host, PID: os.Getpid(), Alive: func(pid int) bool { return pid == os.Getpid() }},
		OnWait: func(err error) { t.Error("waits", err) }, OnTrouble: func(err error) { t.Error(err) },
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestSame asks the same of a directory here and of one in a bucket.
func TestSame(t *testing.T) {
	s := storagetest.Start(t)
	proxy := storagetest.Before(t, s, storagetest.Faults{Refuse: 0.05, Cut: 0.05, Seed: 4})
	for name, d := range map[string]files.Dir{"here": files.Local(filepath.Join(t.TempDir(), "set")), "bucket": at(t, s.Via(proxy, "set"), "host")} {
		t.Run(name, func(t *testing.T) { same(t, d) })
	}
	left, err := os.ReadDir(filepath.Join(s.Dir, "set"))
	if err == nil && len(left) > 0 {
		t.Errorf("left in the bucket: %v", left)
	}
}

func same(t *testing.T, d files.Dir) {
	check(t, d.MkdirAll("."))
	check(t, d.MkdirBelow("a/b"))
	big := bytes.Repeat([]byte("0123456789abcdef"), 2<<20) // written in parts
	write := func(name string, b []byte) {
		t.Helper()
		check(t, files.WriteBytes(d, name, b))
	}
	write("a/b/big", big)
	write("a/one", []byte("1"))
	write("top", nil)
	write("top", []byte("again"))
	f, err := d.Create("a/none")
	check(t, err)
	_, err = f.Write(big)
	check(t, err)
	f.Abort()

	got, err := files.Read(d, "a/b/big", 1<<30)
	if err != nil || !bytes.Equal(got, big) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	if _, err := files.Read(d, "a/b/big", 9); !errors.Is(err, regular.ErrUnfit) {
		t.Errorf("too large: %v", err)
	}
	for _, name := range []string{"a/none", "x", "x/y"} {
		if _, err := files.Read(d, name, 9); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := d.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	info, err := d.Lstat("top")
	check(t, err)
	if info.Size() != 5 || !info.Mode().IsRegular() {
		t.Errorf("top: %d bytes, %s", info.Size(), info.Mode())
	}
	for _, name := range []string{"a", ".", "a/b"} {
		if info, err := d.Stat(name); err != nil || !info.IsDir() {
			t.Errorf("%s is no directory: %v", name, err)
		}
	}
	list := func(name string) (out []string) {
		t.Helper()
		entries, err := d.ReadDir(name)
		check(t, err)
		for _, e := range entries {
			out = append(out, strings.TrimSuffix(e.Name()+map[bool]string{true: "/"}[e.IsDir()], ""))
		}
		return out
	}
	if diff := cmp.Diff([][]string{{"a/", "top"}, {"b/", "one"}}, [][]string{list("."), list("a")}); diff != "" {
		t.Errorf("lists (-want +got):\n%s", diff)
	}
	var walked []string
	check(t, d.Walk("a", func(name string, e fs.DirEntry) error {
		if !e.IsDir() {
			walked = append(walked, name)
		}
		return nil
	}))
	if diff := cmp.Diff([]string{"a/b/big", "a/one"}, walked); diff != "" {
		t.Errorf("walked (-want +got):\n%s", diff)
	}
	below := files.Below(d, "a")
	check(t, files.WriteBytes(below, "b/two", []byte("2")))
	if got, err := files.Read(d, "a/b/two", 1); err != nil || string(got) != "2" {
		t.Errorf("below: %q, %v", got, err)
	}
	check(t, d.Rename("a/one", "a/b/one"))
	check(t, d.Remove("top"))
	check(t, d.Touch("a/b/one"))
	check(t, d.RemoveTemps(".", true))

	tree, err := d.Tree()
	check(t, err)
	for range 2 {
		for i := range 40 {
			check(t, tree.Put("tree/x/"+string(rune('a'+i)), []byte{byte(i)}))
		}
	}
	check(t, tree.Close())
	if n := len(list("tree/x")); n != 40 {
		t.Errorf("%d files in the tree", n)
	}
	locks(t, d)
	check(t, d.RemoveAll("a"))
	check(t, d.RemoveAll("tree"))
	if left := list("."); len(left) > 0 && !cmp.Equal(left, []string{".lock"}) {
		t.Errorf("left: %v", left)
	}
}

// locks takes a lock alone and together.
func locks(t *testing.T, d files.Dir) {
	t.Helper()
	alone, err := d.TryLock(".lock")
	check(t, err)
	if _, err := d.TryLock(".lock"); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("twice: %v", err)
	}
	if _, err := d.TryShare(".lock", "a"); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("shared beside one alone: %v", err)
	}
	check(t, alone.Unlock())
	a, err := d.TryShare(".lock", "a")
	check(t, err)
	b, err := d.TryShare(".lock", "b")
	check(t, err)
	check(t, a.Unlock())
	if _, err := d.TryLock(".lock"); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("alone beside one who shares: %v", err)
	}
	check(t, b.Unlock())
	alone, err = d.TryLock(".lock")
	check(t, err)
	check(t, alone.Unlock())
}

// TestRemoveAll removes more than one request does: the requests are under way together, and so
// are, no more than 32, those of a store that removes one object by each.
func TestRemoveAll(t *testing.T) {
	s := storagetest.Start(t)
	proxy := storagetest.Before(t, s, storagetest.Faults{})
	d := at(t, s.Via(proxy, "x"), "here")
	for together, n := range map[bool]int{true: storage.ManyKeys + 1, false: 100} {
		for i := range n {
			s.Put(t, fmt.Sprintf("x/many/%04d", i), nil)
		}
		var mu sync.Mutex
		under, most := 0, 0
		both := make(chan struct{})
		proxy.Tap(func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
			many := r.Method == http.MethodPost
			if many && !together {
				w.WriteHeader(http.StatusNotImplemented)
				return
			}
			if many || r.Method == http.MethodDelete {
				mu.Lock()
				if under++; under == 2 && most < 2 {
					close(both)
				}
				most = max(most, under)
				mu.Unlock()
				select {
				case <-both:
				case <-time.After(20 * time.Second):
				}
			}
			forward.ServeHTTP(w, r)
			mu.Lock()
			defer mu.Unlock()
			if many || r.Method == http.MethodDelete {
				under--
			}
		})
		check(t, d.RemoveAll("many"))
		proxy.Tap(nil)
		left, err := d.ReadDir("many")
		check(t, err)
		if len(left) > 0 || most < 2 || most > 32 {
			t.Errorf("together %v: %d left, up to %d requests under way", together, len(left), most)
		}
	}
}

// TestAfterDeath takes locks of processes of this machine that are dead, shared ones too.
func TestAfterDeath(t *testing.T) {
	s := storagetest.Start(t)
	p, err := storage.Open(t.Context(), s.URL("set"), storage.Options{})
	check(t, err)
	defer p.Close()
	dead := storage.Holder{Host: "host", PID: 1 << 30, Alive: func(int) bool { return false }}
	nobody := func(error) {}
	_, err = p.AloneLock(t.Context(), ".lock", dead, func() {}, nobody)
	check(t, err)
	_, err = p.ShareLock(t.Context(), ".lock", "a", dead, func() {}, nobody)
	check(t, err)
	for _, asked := range []string{".lock-clock", ".lock.shared-a-clock"} { // and died
		check(t, p.Write(t.Context(), asked, []byte("what time it is")))
	}
	if left := objects(t, s.Dir); len(left) != 4 {
		t.Errorf("two locks should be left, and two questions: %v", left)
	}
	d := at(t, s.URL("set"), "host")
	again, err := d.TryShare(".lock", "a")
	check(t, err)
	check(t, again.Unlock())
	if left := objects(t, s.Dir); len(left) != 2 {
		t.Errorf("the member that died left, after it came again: %v", left)
	}
	_, err = p.ShareLock(t.Context(), ".lock", "b", dead, func() {}, nobody)
	check(t, err)
	l, err := d.TryLock(".lock")
	check(t, err)
	check(t, d.RemoveTemps(".", true))
	check(t, l.Unlock())
	if left := objects(t, s.Dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// objects lists all files that a server keeps.
func objects(t *testing.T, dir string) (out []string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			out = append(out, path)
		}
		return err
	}))
	return out
}
