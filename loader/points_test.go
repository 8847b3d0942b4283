package loader

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"github.com/synshard/synshard/pixel"
)

// TestPointsChangeNothing: pixels are the same with entry points and without, in epochs that find
// them and in those that use them, by any number of workers, where rows come twice in an
// epoch and where a row is unreadable.
func TestPointsChangeNothing(t *testing.T) {
	src := drawn(t, 40)
	src.data[7] = nil
	src.data[9] = []byte("no image")
	points := NewPoints(len(src.data))
	defer points.Close()
	for epoch := range 4 {
		o := Options{Batch: 8, Train: crop, Shuffle: true, Seed: 3, Epoch: epoch, Repeats: 1 + epoch%2, OnError: func(Item, error) error { return nil }}
		want := take(t, src, o)
		o.Points = points
		for _, o.Workers = range []int{1, 3} {
			same(t, "with entry points", want, take(t, src, o))
		}
	}
	for i := range src.data {
		known, _ := points.get(int64(i), nil)
		if good := i != 7 && i != 9; good != (len(known) > 0) {
			t.Errorf("row %d has %d bytes of points", i, len(known))
		}
	}
}

// TestPointsKeepRows: what was put is got, over chunks, and what there is no room for is not
// looked for again.
func TestPointsKeepRows(t *testing.T) {
	const rows, most = 300, 3*pointsChunk + 100
	pixel.SetMemory(2 * most)
	t.Cleanup(func() { pixel.SetMemory(0) })
	p, rng := NewPoints(rows), rand.New(rand.NewPCG(1, 2))
	t.Cleanup(p.Close)
	written := map[int64]pixel.Points{}
	for row := range int64(rows) {
		if _, find := p.get(row, nil); !find {
			break
		}
		b := make(pixel.Points, 1+rng.IntN(pointsChunk/16))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		p.put(row, b)
		written[row] = b
	}
	if len(written) == rows || len(p.chunks) != 3 {
		t.Fatalf("%d rows in %d chunks, where there is room for 3", len(written), len(p.chunks))
	}
	var buf pixel.Points
	missing := 0
	for row, want := range written {
		if buf, _ = p.get(row, buf); len(buf) == 0 {
			missing++
		} else if !bytes.Equal(want, buf) {
			t.Errorf("row %d: other points than were put", row)
		}
	}
	if missing != 1 { // for which there was no room
		t.Errorf("%d of %d rows that were put are not there", missing, len(written))
	}
	p.Close()
	if known, find := p.get(0, nil); len(known) > 0 || find {
		t.Error("it remembers after Close")
	}
	p.put(0, written[0])
	if release, err := pixel.Keep(2*most - 2<<20); err != nil {
		t.Errorf("its memory is not given back: %v", err)
	} else {
		release()
	}
}

// TestPointsOfOtherRows: points made for another number of rows are refused, and for evaluation.
func TestPointsOfOtherRows(t *testing.T) {
	src := drawn(t, 6)
	for _, o := range []Options{{Train: crop, Points: NewPoints(4)}, {Eval: centre, Points: NewPoints(6)}} {
		o.Batch = 2
		if l, err := New(context.Background(), src, o); err == nil {
			l.Close()
			t.Errorf("entry points of %d rows are taken", len(o.Points.at))
		}
	}
}
