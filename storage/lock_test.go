package storage_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/storagetest"
)

// tapped is a server, a place of it, and the same place by way of a proxy.
func tapped(t *testing.T) (*storage.Place, *storagetest.Proxy, *storage.Place) {
	t.Helper()
	s := storagetest.Start(t)
	proxy := storagetest.Before(t, s, storagetest.Faults{})
	return open(t, s.URL("x"), storage.Options{}), proxy, open(t, s.Via(proxy, "x"), storage.Options{})
}

func isLock(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/.lock") }

// TestTakenOver has two find the same holder dead; the later one takes nothing from the
// first.
func TestTakenOver(t *testing.T) {
	p, proxy, slow := tapped(t)
	alive := func(pid int) bool { return pid != 1 }
	dead, err := p.TryLock(t.Context(), ".lock", "here", 1, alive, func() {})
	check(t, err)
	storage.Silence(dead)
	var first *storage.Lock
	proxy.Tap(func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		takes := r.Method == http.MethodDelete || r.Method == http.MethodPut && r.Header.Get("If-Match") != ""
		if takes && isLock(r) && first == nil {
			if first, err = p.TryLock(t.Context(), ".lock", "here", 2, alive, func() { t.Error("lost") }); err != nil {
				t.Error(err)
			}
		}
		forward.ServeHTTP(w, r)
	})
	if _, err := slow.TryLock(t.Context(), ".lock", "here", 3, alive, func() {}); !errors.Is(err, durable.ErrLocked) || first == nil {
		t.Fatalf("the later one: %v", err)
	}
	if now, err := p.ReadFile(t.Context(), ".lock", 999); err != nil || !strings.Contains(string(now), `"pid":2`) {
		t.Errorf("the lock is %q, %v", now, err)
	}
	check(t, first.Unlock())
}

// TestReusedNumber has a holder on this host die, and another process that lives have its number:
// its silence tells, as that of one elsewhere does.
func TestReusedNumber(t *testing.T) {
	defer storage.Beat(time.Second, 3*time.Second)()
	p, _, _ := tapped(t)
	lives := func(int) bool { return true }
	dead, err := p.TryLock(t.Context(), ".lock", "here", 1, lives, func() {})
	check(t, err)
	storage.Silence(dead)
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		l, err := p.TryLock(t.Context(), ".lock", "here", 2, lives, func() { t.Error("lost") })
		if err == nil {
			check(t, l.Unlock())
			return
		}
		if !errors.Is(err, durable.ErrLocked) || time.Since(began) > 20*time.Second {
			t.Fatal(err)
		}
	}
}

// TestLateBeat has a holder be cut off while it says that it lives, for so long that another
// takes its lock, from which the beat takes nothing when it comes.
func TestLateBeat(t *testing.T) {
	defer storage.Beat(200*time.Millisecond, 3*time.Second)()
	p, proxy, cut := tapped(t)
	lives := func(int) bool { return true }
	var lost atomic.Bool
	l, err := cut.TryLock(t.Context(), ".lock", "there", 1, lives, func() { lost.Store(true) })
	check(t, err)
	off := make(chan struct{})
	var once sync.Once
	proxy.Tap(func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		if r.Method == http.MethodPut {
			once.Do(func() { close(off) })
		}
		select {
		case <-off:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			forward.ServeHTTP(w, r)
		}
	})
	<-off
	second, err := p.AwaitLock(t.Context(), ".lock", storage.Holder{Host: "here", PID: 2, Alive: lives}, func() { t.Error("the second lost it") }, func(error) {})
	check(t, err)
	proxy.Tap(nil)
	for began := time.Now(); !lost.Load() && time.Since(began) < 30*time.Second; time.Sleep(20 * time.Millisecond) {
	}
	if !lost.Load() {
		t.Error("the first does not know that it lost the lock")
	}
	check(t, l.Unlock())
	check(t, second.Unlock())
}

// TestWrittenMeanwhile has a lock be written anew between the question for its state and the
// one for its bytes, of a store that does not answer both at once: who holds it has not lost
// it, and another finds it held.
func TestWrittenMeanwhile(t *testing.T) {
	defer storage.Beat(50*time.Millisecond, 20*time.Second)()
	_, proxy, p := tapped(t)
	lives := func(int) bool { return true }
	l, err := p.TryLock(t.Context(), ".lock", "here", 1, lives, func() { t.Error("lost") })
	check(t, err)
	var asked atomic.Int64
	proxy.Tap(func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		switch at := r.Method == http.MethodGet && isLock(r); {
		case at && r.Header.Get("If-Match") == "":
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		case at && asked.Add(1)%3 != 0:
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		forward.ServeHTTP(w, r)
	})
	for asked.Load() < 6 {
		if _, err := p.TryLock(t.Context(), ".lock", "here", 2, lives, func() {}); !errors.Is(err, durable.ErrLocked) {
			t.Fatal(err)
		}
	}
	check(t, l.Unlock())
}

// TestWeak knows a store that holds to no If-Match, or cannot have it; a dead holder's lock is
// taken there, too.
func TestWeak(t *testing.T) {
	p, proxy, weak := tapped(t)
	nobody := func(int) bool { return false }
	for name, answer := range map[string]int{"ignores it": http.StatusOK, "cannot": http.StatusNotImplemented} {
		proxy.Tap(func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
			if r.Method == http.MethodPut && r.Header.Get("If-Match") != "" {
				got := httptest.NewRecorder()
				if answer == http.StatusOK {
					forward.ServeHTTP(got, r)
				}
				w.WriteHeader(answer)
				return
			}
			forward.ServeHTTP(w, r)
		})
		for range 2 {
			l, err := weak.TryLock(t.Context(), ".lock", "here", 1, nobody, func() {})
			check(t, err)
			if !l.Weak {
				t.Errorf("%s: the store is said to hold to conditions", name)
			}
			check(t, l.Write(t.Context(), "a", strings.NewReader(name), int64(len(name))))
			storage.Silence(l)
		}
		check(t, p.Remove(t.Context(), ".lock"))
	}
}

// TestUnsettled removes the lock where it was written and not all that follows.
func TestUnsettled(t *testing.T) {
	p, proxy, bad := tapped(t)
	proxy.Tap(func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		if strings.HasSuffix(r.URL.Path, "-clock") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		forward.ServeHTTP(w, r)
	})
	if _, err := bad.TryLock(t.Context(), ".lock", "here", 1, func(int) bool { return true }, func() {}); err == nil {
		t.Error("taken")
	}
	if left, err := p.List(t.Context(), ""); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestLostAnswers loses the answer that an upload in parts was made an object, or that an
// object was replaced which is removed then.
func TestLostAnswers(t *testing.T) {
	p, proxy, lossy := tapped(t)
	l, err := lossy.TryLock(t.Context(), ".lock", "here", 1, func(int) bool { return true }, func() { t.Error("lost") })
	check(t, err)
	big := random(33<<20, 1)
	for _, was := range []string{"", "an object"} {
		if was != "" {
			check(t, p.Write(t.Context(), "big", []byte(was)))
		}
		lost := 0
		proxy.Tap(func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
			if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") {
				switch lost++; lost {
				case 1:
					forward.ServeHTTP(httptest.NewRecorder(), r)
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				case 2: // as S3 says of an upload that is none any more
					w.WriteHeader(http.StatusNotFound)
					io.WriteString(w, `<Error><Code>NoSuchUpload</Code><Message>The specified upload does not exist.</Message></Error>`)
					return
				}
			}
			forward.ServeHTTP(w, r)
		})
		if err := l.Write(t.Context(), "big", bytes.NewReader(big), int64(len(big))); err != nil || lost < 2 {
			t.Errorf("over %q: %v; asked %d times", was, err, lost)
		}
		proxy.Tap(nil)
		check(t, p.Remove(t.Context(), "big"))
	}
	if err := lossy.WriteOver(t.Context(), "gone", `"0123456789abcdef0123456789abcdef"`, strings.NewReader("x"), 1); !errors.Is(err, storage.ErrChanged) {
		t.Errorf("over what is gone: %v", err)
	}
	check(t, l.Unlock())
}

// TestLocks writes while all locks are held, and not when the first of them is another's.
func TestLocks(t *testing.T) {
	defer storage.Beat(time.Hour, 0)() // the store is asked each time
	p, _, _ := tapped(t)
	var both storage.Locks
	for _, name := range []string{".lock", "job.lock"} {
		l, err := p.TryLock(t.Context(), name, "here", 1, func(int) bool { return true }, func() {})
		check(t, err)
		both = append(both, l)
	}
	check(t, both.Write(t.Context(), "a", strings.NewReader("a"), 1))
	check(t, p.Write(t.Context(), ".lock", []byte("another's")))
	if err := both.Write(t.Context(), "a", strings.NewReader("b"), 1); !errors.Is(err, storage.ErrLost) {
		t.Errorf("one lost: %v", err)
	}
	for _, l := range both {
		check(t, l.Unlock())
	}
}

// TestAzureState reads the same state of an object from its list, where Azure has no quotes,
// as from itself.
func TestAzureState(t *testing.T) {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("comp") == "list" {
			w.Header().Set("Content-Type", "application/xml")
			w.Write([]byte(`<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="images"><Blobs><Blob><Name>x/a</Name><Properties>` +
				`<Last-Modified>Fri, 27 Nov 2026 12:00:00 GMT</Last-Modified><Etag>0x8DE1</Etag><Content-Length>1</Content-Length></Properties></Blob></Blobs><NextMarker/></EnumerationResults>`))
			return
		}
		w.Header().Set("ETag", `"0x8DE1"`)
		w.Header().Set("Last-Modified", "Fri, 27 Nov 2026 12:00:00 GMT")
		w.Header().Set("X-Ms-Creation-Time", "Fri, 27 Nov 2026 12:00:00 GMT")
		w.Header().Set("Content-Length", "1")
	}))
	defer h.Close()
	p := open(t, azure(t, strings.TrimPrefix(h.URL, "http://"), "x"), storage.Options{Patience: time.Second})
	list, err := p.List(t.Context(), "")
	check(t, err)
	info, err := p.Stat(t.Context(), "a")
	check(t, err)
	if len(list) != 1 || list[0].ID != info.ID || info.ID == "" {
		t.Errorf("listed %v, and asked for %v", list, info)
	}
}

// TestLockOfWhoIsCancelled: who is cancelled while the store writes its lock leaves none, which others would wait for.
func TestLockOfWhoIsCancelled(t *testing.T) {
	defer storage.Await(time.Minute)()
	direct, proxy, p := tapped(t)
	ctx, cancel := context.WithCancel(t.Context())
	var once sync.Once
	proxy.Tap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut {
			once.Do(func() {
				b, err := io.ReadAll(r.Body)
				check(t, err)
				cancel()
				time.Sleep(100 * time.Millisecond)
				r = r.WithContext(context.WithoutCancel(r.Context()))
				r.Body = io.NopCloser(bytes.NewReader(b))
			})
		}
		next.ServeHTTP(w, r)
	})
	if _, err := p.TryLock(ctx, ".lock", "here", 1, func(int) bool { return true }, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	time.Sleep(200 * time.Millisecond) // what nobody waited for has come to its end
	if list, err := direct.List(t.Context(), ""); err != nil || len(list) > 0 {
		t.Errorf("left: %v, %v", list, err)
	}
}
