package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/storagetest"
)

func open(t *testing.T, url string, o storage.Options) *storage.Place {
	t.Helper()
	p, err := storage.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	c := rand.NewChaCha8([32]byte{byte(seed)})
	c.Read(b)
	return b
}

func TestURLs(t *testing.T) {
	for _, name := range []string{"ftp://a/b", "S4://a", "file:///x", "s3:///key", "http://example.org/a", "s3://u:p@b/k", "s3://b/a//c", "s3://b/../c", "x-y+z.1://q", "https://a/b#c"} {
		if !storage.IsURL(name) || !errors.Is(storage.Check(name), storage.ErrURL) {
			t.Errorf("%s: %v", name, storage.Check(name))
		}
	}
	for _, name := range []string{"a/b", "C:/x", "a://", "s3:/a", "-", ""} {
		if name != "a://" && storage.IsURL(name) {
			t.Errorf("%s is taken for a URL", name)
		}
	}
	for _, name := range []string{"s3://b", "s3://b/k/", "gs://b/k", "az://c/k?x=y", "https://h/a%20b", "http://127.0.0.1:9/x", "http://[::1]/x"} {
		if err := storage.Check(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := storage.Writable("https://h/a"); !errors.Is(err, storage.ErrReadOnly) {
		t.Errorf("writable: %v", err)
	}
	if got := storage.Join("s3://b/a/?endpoint=http://x/", "c d/e"); got != "s3://b/a/c%20d/e?endpoint=http://x/" {
		t.Error(got)
	}
	dir, base := storage.Split("s3://b/a/c%20d?q=1/2")
	if diff := cmp.Diff([]string{"s3://b/a?q=1/2", "c d"}, []string{dir, base}); diff != "" {
		t.Errorf("directory, base (-want +got):\n%s", diff)
	}
	if got := storage.Shown("https://h/a?sig=secret"); got != "https://h/a" {
		t.Error(got)
	}
}

// TestObjects writes, lists, reads and removes.
func TestObjects(t *testing.T) {
	s := storagetest.Start(t)
	p := open(t, s.URL("set"), storage.Options{})
	big := random(40<<20, 1)
	path := t.TempDir() + "/big"
	if err := os.WriteFile(path, big, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := p.Put(t.Context(), "a/big", path); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a/b c", "é", "empty"} {
		if err := p.Write(t.Context(), name, []byte(strings.TrimPrefix(name, "empty"))); err != nil {
			t.Fatal(err)
		}
	}
	list, err := p.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, i := range list {
		got[i.Name] = i.Size
	}
	if diff := cmp.Diff(map[string]int64{"a/big": 40 << 20, "a/b c": 5, "é": 2, "empty": 0}, got); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	o, err := p.OpenObject(t.Context(), "a/big")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		at, n := rand.IntN(len(big)), rand.IntN(1<<20)
		b := make([]byte, n)
		k, err := o.ReadAt(b, int64(at))
		want := big[at:min(at+n, len(big))]
		if !bytes.Equal(b[:k], want) || (err == nil) != (len(want) == n) {
			t.Fatalf("%d bytes at %d: %d, %v", n, at, k, err)
		}
	}
	if _, err := p.OpenObject(t.Context(), "none"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "s3://images/set/none") {
		t.Errorf("none: %v", err)
	}
	if err := p.WriteNew(t.Context(), "a/b c", nil); !errors.Is(err, storage.ErrExists) {
		t.Errorf("written anew: %v", err)
	}
	for range 2 {
		if err := p.Remove(t.Context(), "a/big"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := o.ReadAt(make([]byte, 10), 0); err == nil {
		t.Error("read what is gone")
	}
	// Another state of an object is an error and no mixture.
	if o, err = p.OpenObject(t.Context(), "a/b c"); err != nil {
		t.Fatal(err)
	}
	if err := p.Write(t.Context(), "a/b c", []byte("other")); err != nil {
		t.Fatal(err)
	}
	if _, err := o.ReadAt(make([]byte, 5), 0); !errors.Is(err, storage.ErrChanged) {
		t.Errorf("changed: %v", err)
	}
	if err := o.Unchanged(); !errors.Is(err, storage.ErrChanged) {
		t.Errorf("changed: %v", err)
	}
}

// TestCutLists expects a list whose answer was cut to be asked for again.
func TestCutLists(t *testing.T) {
	s := storagetest.Start(t)
	whole := open(t, s.URL("x"), storage.Options{})
	for i := range 20 {
		if err := whole.WriteNew(t.Context(), fmt.Sprint("a/", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	proxy := storagetest.Before(t, s, storagetest.Faults{Cut: 0.7, Seed: 1})
	p := open(t, s.Via(proxy, "x"), storage.Options{})
	for range 5 {
		if list, err := p.List(t.Context(), "a/"); err != nil || len(list) != 20 {
			t.Fatalf("%d of 20, %v", len(list), err)
		}
	}
	if _, made := proxy.Count(); made == 0 {
		t.Error("nothing was cut")
	}
}

// TestFaults reads and writes by way of a proxy that refuses, loses, cuts and stalls.
func TestFaults(t *testing.T) {
	s := storagetest.Start(t)
	proxy := storagetest.Before(t, s, storagetest.Faults{Refuse: 0.1, Lose: 0.05, Cut: 0.2, Stall: 0.1, Pause: 2 * time.Second, Seed: 3})
	p := open(t, s.Via(proxy, "x"), storage.Options{Idle: 200 * time.Millisecond})
	big := random(6<<20, 2)
	if err := p.Write(t.Context(), "big", big); err != nil {
		t.Fatal(err)
	}
	o, err := p.OpenObject(t.Context(), "big")
	if err != nil {
		t.Fatal(err)
	}
	r := storage.NewAhead(4<<20, 64<<10).Reader(o)
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			got := make([]byte, len(big)/4)
			for at := 0; at < len(got); at += 100_000 {
				b := got[at:min(at+100_000, len(got))]
				if _, err := r.ReadAt(b, int64(w*len(got)+at)); err != nil {
					t.Error(err)
					return
				}
			}
			if !bytes.Equal(got, big[w*len(got):][:len(got)]) {
				t.Error("other bytes")
			}
		})
	}
	all.Wait()
	for i := range 40 {
		name := fmt.Sprint("new/", i)
		if err := p.WriteNew(t.Context(), name, []byte(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := p.List(t.Context(), "new/"); err != nil || len(list) != 40 {
		t.Errorf("%d of them, %v", len(list), err)
	}
	if _, made := proxy.Count(); made == 0 || p.Traffic().Retries.Load() == 0 {
		t.Errorf("%d faults, %d retries", made, p.Traffic().Retries.Load())
	}
	// What never ends is an error after a while, and a cancelled context at once.
	proxy.Set(storagetest.Faults{Refuse: 1})
	short := open(t, s.Via(proxy, "x"), storage.Options{Patience: 50 * time.Millisecond})
	if _, err := short.Stat(t.Context(), "big"); err == nil {
		t.Error("no error")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := p.Stat(ctx, "big"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 2*time.Second {
		t.Errorf("cancelled: %v after %v", err, time.Since(began))
	}
}

// TestNames has objects of odd names written, told of, read and removed, by themselves and many by one request.
func TestNames(t *testing.T) {
	s := storagetest.Start(t)
	p := open(t, s.URL("x y+z"), storage.Options{})
	names := []string{"a b", "a+b", "~a", "\u00e9/\u65e5\u672c.tar", "100%", "50%25", "a&b<c>'\"", "q?r=1", "#1", "a;b,c:d@e$f", "{x}[y]|z^`", "a\\b", "a..b", "__0x41__", "_0x_"}
	for _, name := range names {
		if err := p.Write(t.Context(), name, []byte(name)); err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if b, err := p.ReadFile(t.Context(), name, 1000); err != nil || string(b) != name {
			t.Errorf("%q: %q, %v", name, b, err)
		}
	}
	list, err := p.List(t.Context(), "")
	check(t, err)
	var listed []string
	for _, i := range list {
		listed = append(listed, i.Name)
	}
	slices.Sort(names)
	if diff := cmp.Diff(names, listed); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	check(t, p.Remove(t.Context(), names[0]))
	check(t, p.RemoveMany(t.Context(), names[1:]))
	if list, err := p.List(t.Context(), ""); err != nil || len(list) > 0 {
		t.Errorf("left: %v, %v", list, err)
	}
}

// TestOrderMakesLargeRanges holds how many requests reading in order makes, and that
// headers alone do not fetch what is between them.
func TestOrderMakesLargeRanges(t *testing.T) {
	s := storagetest.Start(t)
	p := open(t, s.URL("x"), storage.Options{})
	big := random(32<<20, 1)
	if err := p.Write(t.Context(), "big", big); err != nil {
		t.Fatal(err)
	}
	o, err := p.OpenObject(t.Context(), "big")
	if err != nil {
		t.Fatal(err)
	}
	read := func(step, size int) (requests, bytes int64) {
		r := storage.NewAhead(64<<20, 64<<10).Reader(o)
		n, k := p.Traffic().Requests.Load(), p.Traffic().Read.Load()
		for at := 0; at < len(big); at += step {
			b := make([]byte, min(size, len(big)-at))
			if _, err := r.ReadAt(b, int64(at)); err != nil || string(b) != string(big[at:at+len(b)]) {
				t.Fatalf("at %d: %v", at, err)
			}
		}
		return p.Traffic().Requests.Load() - n, p.Traffic().Read.Load() - k
	}
	if n, k := read(110_000, 110_000); n > 12 || k > 33<<20 {
		t.Errorf("in order: %d requests, %d bytes", n, k)
	}
	if n, k := read(250_000, 512); n > 140 || k > 4<<20 {
		t.Errorf("headers: %d requests, %d bytes", n, k)
	}
}

func TestLock(t *testing.T) {
	s := storagetest.Start(t)
	p := open(t, s.URL("x"), storage.Options{})
	lives := func(int) bool { return true }
	l, err := p.TryLock(t.Context(), ".lock", "here", 1, lives, func() { t.Error("lost") })
	if err != nil {
		t.Fatal(err)
	}
	if l.Weak {
		t.Error("the server holds to conditions, and is said not to")
	}
	for _, host := range []string{"here", "there"} {
		if _, err := p.TryLock(t.Context(), ".lock", host, 2, lives, nil); !errors.Is(err, durable.ErrLocked) {
			t.Errorf("a second holder from %s: %v", host, err)
		}
	}
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second takes it from a dead one
		if _, err := p.TryLock(t.Context(), ".lock", "here", 3, func(int) bool { return false }, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := p.List(t.Context(), ""); err != nil || len(list) != 1 {
		t.Errorf("left %v, %v", list, err)
	}
}

// TestWeb reads from a web server by ranges.
func TestWeb(t *testing.T) {
	b := random(100_000, 1)
	tag, tries := `"1"`, 0
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries%3 == 0 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		if r.URL.RequestURI() != "/dir/a%20b?sig=x/y" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(b))
	}))
	defer h.Close()
	p := open(t, h.URL+"/dir/a%20b?sig=x/y", storage.Options{})
	o, err := p.OpenObject(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5000)
	if _, err := o.ReadAt(got, 70_000); err != nil || !bytes.Equal(got, b[70_000:75_000]) {
		t.Error(err)
	}
	tag = `"2"`
	if _, err := o.ReadAt(got, 0); !errors.Is(err, storage.ErrChanged) {
		t.Errorf("changed: %v", err)
	}
	if err := p.Write(t.Context(), "", nil); !errors.Is(err, storage.ErrReadOnly) {
		t.Errorf("written: %v", err)
	}
	none := open(t, h.URL+"/none?sig=secret", storage.Options{})
	if _, err := none.OpenObject(t.Context(), ""); !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "secret") {
		t.Errorf("none: %v", err)
	}
}

// TestWebConnections: files that have a signature each share their server's connections.
func TestWebConnections(t *testing.T) {
	var made atomic.Int64
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Unix(1, 0), strings.NewReader(r.URL.RawQuery))
	}))
	h.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			made.Add(1)
		}
	}
	h.Start()
	defer h.Close()
	for i := range 50 {
		if _, err := open(t, fmt.Sprintf("%s/x?sig=%d", h.URL, i), storage.Options{}).OpenObject(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	}
	if n := made.Load(); n > 5 { // one waits for none that another's end is about to free
		t.Errorf("%d connections for 50 files of one server", n)
	}
}

// TestAwaitLock waits for a holder on another host until it is known whether it lives.
func TestAwaitLock(t *testing.T) {
	s := storagetest.Start(t)
	p := open(t, s.URL("x"), storage.Options{})
	defer storage.Beat(time.Second, 8*time.Second)()
	lives := func(int) bool { return true }
	l, err := p.TryLock(t.Context(), ".lock", "there", 1, lives, func() {})
	if err != nil {
		t.Fatal(err)
	}
	waited := 0
	wait := func() (*storage.Lock, error) {
		return p.AwaitLock(t.Context(), ".lock", storage.Holder{Host: "here", PID: 2, Alive: lives}, func() {}, func(error) { waited++ })
	}
	if _, err := wait(); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("a holder that lives: %v", err)
	}
	storage.Silence(l)
	if got, err := wait(); err != nil {
		t.Errorf("a holder that is dead: %v", err)
	} else if err := got.Unlock(); err != nil {
		t.Error(err)
	}
	if waited != 2 {
		t.Errorf("told %d times, want 2", waited)
	}
}
