package cluster

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/train"
)

// linked are two ends of a link, the second of which hears nothing until it is run.
func linked(t *testing.T) (a, b *link) {
	t.Helper()
	inA, outB := io.Pipe()
	inB, outA := io.Pipe()
	a = newLink(inA, outA, func() { inA.Close(); outA.Close() })
	b = newLink(inB, outB, func() { inB.Close(); outB.Close() })
	t.Cleanup(func() { a.end(io.EOF); b.end(io.EOF) })
	return a, b
}

func always(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

// TestSilence: an end that says nothing is given up after the time allowed, one that
// has nothing to say is not, and where any silence is allowed nobody is.
func TestSilence(t *testing.T) {
	t.Parallel()
	a, _ := linked(t)
	began := time.Now()
	go a.run(always(beat), func(message) {})
	c, d := linked(t)
	go c.run(always(10*beat), func(message) {}) // a busy machine may be late with a beat
	go d.run(always(0), func(message) {})
	<-a.gone
	if took := time.Since(began); !errors.Is(a.err, errSilent) || took < beat {
		t.Errorf("silent: %v after %v", a.err, took)
	}
	time.Sleep(2 * beat)
	select {
	case <-c.gone:
		t.Errorf("one that beats: %v", c.err)
	case <-d.gone:
		t.Errorf("one that beats: %v", d.err)
	default:
	}
}

// TestStore: the group's store, here and over a link, does what is asked; what waits
// in it ends with the group.
func TestStore(t *testing.T) {
	s := newStore()
	a, b := linked(t)
	remote := newRemoteStore(b)
	m := &Members{terms: Terms{}}
	m.store.Store(s)
	r := &rank{link: a}
	go a.run(always(0), func(said message) { m.heard(r, said) })
	go b.run(always(0), remote.answered)
	for name, from := range map[string]train.Store{"here": s, "over a link": remote} {
		do := func(c train.StoreCall) train.StoreAnswer {
			t.Helper()
			answer, err := from.Do(c)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			return answer
		}
		late := make(chan train.StoreAnswer, 1)
		go func() {
			answer, _ := from.Do(train.StoreCall{Op: train.StoreGet, Key: name, Timeout: time.Minute})
			late <- answer
		}()
		time.Sleep(10 * time.Millisecond)
		got := []train.StoreAnswer{
			do(train.StoreCall{Op: train.StoreCheck, Key: name}),
			do(train.StoreCall{Op: train.StoreSet, Key: name, Value: []byte{0, 1}}),
			<-late,
			do(train.StoreCall{Op: train.StoreCheck, Key: name}),
			do(train.StoreCall{Op: train.StoreAdd, Key: "n", Number: 40}),
			do(train.StoreCall{Op: train.StoreAdd, Key: "n", Number: 2}),
			do(train.StoreCall{Op: train.StoreGet, Key: "n", Timeout: time.Second}),
			do(train.StoreCall{Op: train.StoreCount}),
			do(train.StoreCall{Op: train.StoreDelete, Key: "n"}),
			do(train.StoreCall{Op: train.StoreDelete, Key: "n"}),
			do(train.StoreCall{Op: train.StoreDelete, Key: name}),
		}
		want := []train.StoreAnswer{{}, {}, {Value: []byte{0, 1}}, {Number: 1}, {Number: 40}, {Number: 42}, {Value: []byte("42")}, {Number: 2}, {Number: 1}, {}, {Number: 1}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for c, want := range map[train.StoreOp]string{train.StoreGet: "nobody set", 99: "unknown"} {
			if _, err := from.Do(train.StoreCall{Op: c, Key: "none", Timeout: time.Millisecond}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
		waits := make(chan error, 1)
		go func() {
			_, err := from.Do(train.StoreCall{Op: train.StoreGet, Key: "none", Timeout: time.Minute})
			waits <- err
		}()
		time.Sleep(10 * time.Millisecond)
		if from == remote {
			b.end(io.EOF)
		} else {
			s.close()
			s = newStore()
			m.store.Store(s)
		}
		if err := <-waits; err == nil {
			t.Errorf("%s: what waits does not end with the group", name)
		}
	}
}
