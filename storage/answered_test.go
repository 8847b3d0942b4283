package storage_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/storagetest"
)

// uploading is a store, what stands before it, a place there by that way, and a file of so many bytes.
func uploading(t *testing.T, size int) (*storagetest.Server, *storagetest.Proxy, *storage.Place, string) {
	t.Helper()
	s := storagetest.Start(t)
	proxy := storagetest.Before(t, s, storagetest.Faults{})
	path := t.TempDir() + "/big"
	check(t, os.WriteFile(path, random(size, 1), 0o666))
	return s, proxy, open(t, s.Via(proxy, "x"), storage.Options{}), path
}

// TestWholeOrAbsent cancels a write when the store has its first part: nothing is there, nor parts of it.
func TestWholeOrAbsent(t *testing.T) {
	defer storage.Await(time.Minute)()
	s, proxy, p, path := uploading(t, 80<<20)
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
	defer storage.Await(time.Minute)()
	s, proxy, p, path := uploading(t, 40<<20)
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
