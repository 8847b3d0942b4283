package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

// TestWholeOrAbsent cancels a write when the store has its first part: nothing is there, nor parts of it.
func TestWholeOrAbsent(t *testing.T) {
	s := storagetest.Start(t)
	proxy := storagetest.Before(t, s, storagetest.Faults{})
	p := open(t, s.Via(proxy, "x"), storage.Options{})
	path := t.TempDir() + "/big"
	check(t, os.WriteFile(path, random(80<<20, 1), 0o666))
	ctx, cancel := context.WithCancel(t.Context())
	proxy.Tap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(w, r)
		if r.URL.Query().Get("partNumber") != "" {
			cancel()
		}
	})
	if err := p.Put(ctx, "big", path); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := p.Stat(t.Context(), "big"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is something: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(s.Dir, ".sgwtmp", "multipart", "*", "*")); err != nil || len(left) > 0 {
		t.Errorf("parts are left: %v, %v", left, err)
	}
}

// TestCancelledAtItsBeginning: an object whose writing ends while the store begins it leaves nothing there, as what
// the store began is waited for.
func TestCancelledAtItsBeginning(t *testing.T) {
	s := storagetest.Start(t)
	proxy := storagetest.Before(t, s, storagetest.Faults{})
	p := open(t, s.Via(proxy, "x"), storage.Options{})
	path := t.TempDir() + "/big"
	check(t, os.WriteFile(path, random(40<<20, 1), 0o666))
	ctx, cancel := context.WithCancel(t.Context())
	begun := false
	proxy.Tap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPost && r.URL.Query().Has("uploads") {
			answer := httptest.NewRecorder()
			next.ServeHTTP(answer, r)
			begun = true
			cancel()
			time.Sleep(100 * time.Millisecond) // who does not wait is gone
			maps.Copy(w.Header(), answer.Header())
			w.WriteHeader(answer.Code)
			_, _ = w.Write(answer.Body.Bytes())
			return
		}
		next.ServeHTTP(w, r)
	})
	if err := p.Put(ctx, "big", path); !errors.Is(err, context.Canceled) || !begun {
		t.Errorf("begun: %v, %v", begun, err)
	}
	if left, err := filepath.Glob(filepath.Join(s.Dir, ".sgwtmp", "multipart", "*", "*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestCancelledWhileAnswered: an object whose writing ends when all of a request is sent, and its answer is not there,
// is there whole and known to be, or nothing of it is, as what the store has in hand is waited for.
func TestCancelledWhileAnswered(t *testing.T) {
	defer storage.Await(time.Minute)() // a busy machine is slow to store 40 MiB
	for _, c := range []struct {
		name, key string
		size      int
		held      func(*http.Request) bool
		made      bool // although it was cancelled
	}{
		{"at once", "big", 1 << 20, func(r *http.Request) bool { return r.Method == http.MethodPut }, true},
		{"a part", "big", 40 << 20, func(r *http.Request) bool { return r.URL.Query().Get("partNumber") == "3" }, false},
		{"a part of another name", "big one+~\u00e9", 40 << 20, func(r *http.Request) bool { return r.URL.Query().Get("partNumber") == "3" }, false},
		{"the whole of the parts", "big", 40 << 20, whole, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := storagetest.Start(t)
			proxy := storagetest.Before(t, s, storagetest.Faults{})
			p := open(t, s.Via(proxy, "x"), storage.Options{})
			ctx, cancel := context.WithCancel(t.Context())
			var held, inHand atomic.Int32
			proxy.Tap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if !c.held(r) {
					if r.Method == http.MethodDelete && inHand.Load() > 0 {
						t.Error("given up while the store has a request in hand, which may come after")
					}
					next.ServeHTTP(w, r)
					return
				}
				b, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				held.Add(1)
				inHand.Add(1)
				defer inHand.Add(-1)
				// The server goes on whoever is gone, and has the last of it late.
				late := r.WithContext(context.WithoutCancel(r.Context()))
				late.Body = io.NopCloser(io.MultiReader(bytes.NewReader(b[:len(b)-1]), &slow{b[len(b)-1:], cancel}))
				next.ServeHTTP(w, late)
			})
			want := random(c.size, 1)
			err := p.Write(ctx, c.key, want)
			if held.Load() != 1 || c.made != (err == nil) || err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("held %d times, %v", held.Load(), err)
			}
			got, err := p.ReadFile(t.Context(), c.key, 1<<30)
			if c.made != bytes.Equal(got, want) || !c.made && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			proxy.Tap(nil)
			time.Sleep(200 * time.Millisecond) // what nobody waited for has come to its end
			if left, err := filepath.Glob(filepath.Join(s.Dir, ".sgwtmp", "multipart", "*", "*")); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// slow is the end of a body, which calls cancel and comes a while after.
type slow struct {
	b      []byte
	cancel func()
}

func (s *slow) Read(p []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	s.cancel()
	time.Sleep(100 * time.Millisecond)
	n := copy(p, s.b)
	s.b = s.b[n:]
	return n, nil
}

// whole says whether a request makes an object of its parts.
func whole(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploadId") }

// TestCancelledIsNotSentAgain: what a store refuses for now is asked again, but not for who has cancelled it.
func TestCancelledIsNotSentAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		size   int
		chosen func(*http.Request) bool
	}{
		{"nothing", 0, func(r *http.Request) bool { return r.Method == http.MethodPut }},
		{"at once", 1 << 10, func(r *http.Request) bool { return r.Method == http.MethodPut }},
		{"its beginning", 40 << 20, func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploads") }},
		{"the whole of the parts", 40 << 20, whole},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := storagetest.Start(t)
			proxy := storagetest.Before(t, s, storagetest.Faults{})
			p := open(t, s.Via(proxy, "x"), storage.Options{})
			ctx, cancel := context.WithCancel(t.Context())
			var asked atomic.Int32
			proxy.Tap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if !c.chosen(r) {
					next.ServeHTTP(w, r)
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				asked.Add(1)
				cancel()
				time.Sleep(10 * time.Millisecond)
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			if err := p.Write(ctx, "big", random(c.size, 1)); !errors.Is(err, context.Canceled) || asked.Load() != 1 {
				t.Errorf("asked %d times, %v", asked.Load(), err)
			}
			if _, err := p.Stat(t.Context(), "big"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("there is something: %v", err)
			}
		})
	}
}

// TestCancelledAndNeverAnswered: a part that a store never answers is waited for a while, and then given up with the others.
func TestCancelledAndNeverAnswered(t *testing.T) {
	s := storagetest.Start(t)
	proxy := storagetest.Before(t, s, storagetest.Faults{})
	p := open(t, s.Via(proxy, "x"), storage.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	var givenUp atomic.Int32
	var began time.Time
	proxy.Tap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch {
		case r.URL.Query().Get("partNumber") == "2":
			_, _ = io.Copy(io.Discard, r.Body)
			began = time.Now()
			cancel()
			<-over
		case r.Method == http.MethodDelete:
			givenUp.Add(1)
			fallthrough
		default:
			next.ServeHTTP(w, r)
		}
	})
	err := p.Write(ctx, "big", random(40<<20, 1))
	took := time.Since(began)
	close(over)
	if !errors.Is(err, context.Canceled) || givenUp.Load() != 1 {
		t.Errorf("%v, given up %d times", err, givenUp.Load())
	}
	if took > 8*time.Second {
		t.Errorf("it took %v, when a program has ten seconds to end", took)
	}
	if left, err := filepath.Glob(filepath.Join(s.Dir, ".sgwtmp", "multipart", "*", "*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
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

// TestCancelledWhileSent: who cancels what is being sent to a store that takes it slowly waits for nothing.
func TestCancelledWhileSent(t *testing.T) {
	s := storagetest.Start(t)
	proxy := storagetest.Before(t, s, storagetest.Faults{})
	p := open(t, s.Via(proxy, "x"), storage.Options{})
	defer storage.Await(time.Minute)()
	ctx, cancel := context.WithCancel(t.Context())
	var once sync.Once
	var began time.Time
	over := make(chan struct{})
	proxy.Tap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Query().Get("partNumber") == "" {
			next.ServeHTTP(w, r)
			return
		}
		_, _ = io.CopyN(io.Discard, r.Body, 1<<20)
		once.Do(func() { began = time.Now(); cancel() })
		<-over // no more of it is taken
	})
	err := p.Write(ctx, "big", random(40<<20, 1))
	close(over)
	if took := time.Since(began); !errors.Is(err, context.Canceled) || took > 30*time.Second {
		t.Errorf("%v after %v", err, took)
	}
	if left, err := filepath.Glob(filepath.Join(s.Dir, ".sgwtmp", "multipart", "*", "*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
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
