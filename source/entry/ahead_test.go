package entry_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/source/entry"
)

// slow is a container whose entries take their time; it counts reads under way.
type slow struct {
	entry.Reader
	underWay, most atomic.Int32
}

func (s *slow) Read(e *entry.Entry, _ []byte) ([]byte, error) {
	if n := s.underWay.Add(1); n > s.most.Load() {
		s.most.Store(n)
	}
	defer s.underWay.Add(-1)
	time.Sleep(2 * time.Millisecond)
	if e.Name == "bad" {
		return nil, fmt.Errorf("%w: cut", entry.ErrUnreadable)
	}
	return []byte(e.Name), nil
}

// TestEachAhead gives entries in order, reads a few at a time, and leaves no read behind,
// however it ends.
func TestEachAhead(t *testing.T) {
	var entries []entry.Entry
	for i := range 50 {
		entries = append(entries, entry.Entry{Name: fmt.Sprint(i)})
	}
	entries[7].Name = "bad"
	enough := errors.New("enough")
	for _, end := range []int{len(entries), 20} {
		ctx, cancel := context.WithCancel(t.Context())
		s := &slow{}
		var got, want []string
		for _, e := range entries[:min(end+1, len(entries))] {
			want = append(want, e.Name)
		}
		err := entry.EachAhead(ctx, s, entries, func(e entry.Entry, b []byte, err error) error {
			got = append(got, e.Name)
			if bad := e.Name == "bad"; bad != (err != nil) || !bad && string(b) != e.Name {
				t.Errorf("%s: %q, %v", e.Name, b, err)
			}
			if len(got) > end {
				return enough
			}
			return nil
		})
		if left := s.underWay.Load(); left != 0 {
			t.Errorf("%d reads are left behind", left)
		}
		if most := s.most.Load(); most < 2 || most > 8 {
			t.Errorf("%d reads at one time", most)
		}
		if end < len(entries) != errors.Is(err, enough) {
			t.Errorf("ends with %v", err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		cancel()
		if err := entry.EachAhead(ctx, s, entries, func(entry.Entry, []byte, error) error { return nil }); !errors.Is(err, context.Canceled) || s.underWay.Load() != 0 {
			t.Errorf("cancelled: %v, %d reads left behind", err, s.underWay.Load())
		}
	}
}
