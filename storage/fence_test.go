package storage_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/storagetest"
)

// pausing is bytes of which the first read waits for something else to happen.
type pausing struct {
	*bytes.Reader
	meanwhile func()
}

func (p *pausing) ReadAt(b []byte, at int64) (int, error) {
	if f := p.meanwhile; f != nil {
		p.meanwhile = nil
		f()
	}
	return p.Reader.ReadAt(b, at)
}

// TestFence has a writer stand still for so long that another takes its lock and writes:
// what the first still has to write is not written, whether it stood still before the
// write or within it.
func TestFence(t *testing.T) { fenced(t, storagetest.Start(t).URL("set")) }

func fenced(t *testing.T, url string) {
	// The store tells seconds: who seems silent for longer than this was so for more than half of it.
	defer storage.Beat(50*time.Millisecond, 1900*time.Millisecond)()
	p := open(t, url, storage.Options{})
	take := func(host string, lost func()) *storage.Lock {
		l, err := p.AwaitLock(t.Context(), ".lock", storage.Holder{Host: host, PID: 1, Alive: func(int) bool { return true }}, lost, func(error) {})
		check(t, err)
		return l
	}
	write := func(l *storage.Lock, text string) error {
		return l.Write(t.Context(), "dataset.json", bytes.NewReader([]byte(text)), int64(len(text)))
	}
	told := 0
	first := take("a", func() { told++ })
	check(t, write(first, "one"))
	check(t, write(first, "two"))
	var second *storage.Lock
	inside := &pausing{bytes.NewReader([]byte("late")), func() {
		storage.Silence(first)
		second = take("b", func() { t.Error("the second holder lost the lock") })
		check(t, write(second, "of the second"))
	}}
	if err := first.Write(t.Context(), "dataset.json", inside, 4); !errors.Is(err, storage.ErrLost) {
		t.Errorf("within a write: %v", err)
	}
	for _, name := range []string{"dataset.json", "another"} {
		if err := first.Write(t.Context(), name, bytes.NewReader(nil), 0); !errors.Is(err, storage.ErrLost) {
			t.Errorf("%s, afterwards: %v", name, err)
		}
	}
	if err := first.WriteOver(t.Context(), "another", "", bytes.NewReader(nil), 0); !errors.Is(err, storage.ErrLost) {
		t.Errorf("of what was listed: %v", err)
	}
	b, err := p.ReadFile(t.Context(), "dataset.json", 99)
	check(t, err)
	if string(b) != "of the second" || told == 0 {
		t.Errorf("there is %q; told %d times", b, told)
	}
	check(t, write(second, "again"))
	// In parts, which become an object at their end.
	check(t, second.Write(t.Context(), "large", bytes.NewReader(make([]byte, 20<<20)), 20<<20))
	was, err := p.Stat(t.Context(), "large")
	check(t, err)
	for _, id := range []string{"", storage.Other(was.ID)} {
		if err := p.WriteOver(t.Context(), "large", id, bytes.NewReader(make([]byte, 18<<20)), 18<<20); !errors.Is(err, storage.ErrChanged) {
			t.Errorf("in parts, over %q where %q is: %v", id, was.ID, err)
		}
	}
	check(t, p.WriteOver(t.Context(), "large", was.ID, bytes.NewReader(make([]byte, 18<<20)), 18<<20))
	check(t, second.Unlock())
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
