package loader

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/golden"
)

// TestRepeatsAsTimm holds batches to what timm's sampler gives the processes of a step
// (scripts/golden/loader_repeats.py): the same images, each as often, and its copies with as
// many processes; and an epoch is as long.
func TestRepeatsAsTimm(t *testing.T) {
	var cases []struct {
		Images  int64     `json:"images"`
		Repeats int       `json:"repeats"`
		Rows    [][]int64 `json:"rows"` // by process
	}
	golden.Read(t, "testdata/golden_repeats.json", &cases)
	for _, c := range cases {
		ord, err := newOrder(c.Images, Options{Repeats: c.Repeats})
		if err != nil {
			t.Fatal(err)
		}
		ranks := int64(len(c.Rows))
		if n := ranks * int64(len(c.Rows[0])); n != c.Images {
			t.Fatalf("%d samples an epoch of %d images", n, c.Images)
		}
		for _, each := range []int64{2, 4, 8} { // images of a process in a step
			batch := each * ranks
			for first := int64(0); first < c.Images; first += batch {
				want, got := shares{}, shares{}
				for rank, rows := range c.Rows {
					for _, row := range rows[first/ranks : first/ranks+each] {
						want.add(row, rank)
					}
				}
				for i := range batch {
					got.add(ord.at(ord.inBatch(first, i, batch)), int(i/each))
				}
				if d := cmp.Diff(want.counts(), got.counts()); d != "" {
					t.Fatalf("%d images %d times, %d for each of %d: at %d (-timm +got)\n%s", c.Images, c.Repeats, each, ranks, first, d)
				}
			}
		}
	}
}

// shares are the images of a step, and who has a copy of each.
type shares map[int64][]int

func (s shares) add(row int64, rank int) { s[row] = append(s[row], rank) }

// counts gives of each image how many copies there are, and how many processes have one.
func (s shares) counts() map[int64][2]int {
	out := map[int64][2]int{}
	for row, ranks := range s {
		n := len(ranks)
		slices.Sort(ranks)
		out[row] = [2]int{n, len(slices.Compact(ranks))}
	}
	return out
}

// TestRepeats: each row that comes has all its copies, which differ; other rows come in the
// next epoch; and the epoch is the same whoever loads it, from any batch on.
func TestRepeats(t *testing.T) {
	src := drawn(t, 60)
	o := Options{Batch: 12, Train: crop, Shuffle: true, Seed: 3, Repeats: 3, Workers: 1}
	whole := take(t, src, o)
	at := map[int64][]int{}
	for i, row := range whole.rows {
		at[row] = append(at[row], i)
	}
	if len(at) != 20 || len(whole.rows) != 60 {
		t.Fatalf("%d rows in %d places, want 20 in 60", len(at), len(whole.rows))
	}
	for row, places := range at {
		if len(places) != 3 || places[1]-places[0] != 4 || places[2]-places[1] != 4 {
			t.Errorf("row %d stands in %v", row, places)
		}
		if bytes.Equal(whole.pixels[places[0]], whole.pixels[places[1]]) || bytes.Equal(whole.pixels[places[1]], whole.pixels[places[2]]) {
			t.Errorf("row %d is the same twice", row)
		}
	}
	o.Workers = 5
	same(t, "5 workers", whole, take(t, src, o))
	for _, start := range []int64{12, 36, 48} {
		o.Start = start
		same(t, fmt.Sprint("from ", start), taken{rows: whole.rows[start:], labels: whole.labels[start:], pixels: whole.pixels[start:]}, take(t, src, o))
	}
	o.Start, o.Epoch = 0, 1
	if next := take(t, src, o); slices.Equal(slices.Sorted(slices.Values(next.rows)), slices.Sorted(slices.Values(whole.rows))) {
		t.Error("the next epoch has the same rows")
	}
}

// TestRepeatsOfWhatCannotBeRead: an image that cannot be read gives way to another for each
// of its copies, and a batch has its length where copies do not go into it.
func TestRepeatsOfWhatCannotBeRead(t *testing.T) {
	src := drawn(t, 20)
	for i := range 15 {
		src.data[i] = nil
	}
	got := take(t, src, Options{Batch: 8, Train: crop, Shuffle: true, DropLast: true, Repeats: 3, OnError: func(Item, error) error { return nil }})
	if len(got.rows) != 16 || slices.Min(got.rows) < 15 || got.skipped == 0 {
		t.Errorf("rows %v, %d passed over", got.rows, got.skipped)
	}
	_, err := New(t.Context(), src, Options{Batch: 2, Eval: centre, Repeats: 2})
	if err == nil {
		t.Error("an evaluation repeats")
	}
}

// TestNextUse: the next place of a row is the least that it has, whatever the order.
func TestNextUse(t *testing.T) {
	weights := make([]float64, 23)
	for i := range weights {
		weights[i] = float64(i % 4)
	}
	for name, o := range map[string]Options{
		"in order": {}, "shuffled": {Shuffle: true}, "thrice": {Shuffle: true, Repeats: 3}, "in order, twice": {Repeats: 2},
		"by weight": {Weights: weights}, "by weight, thrice": {Weights: weights, Repeats: 3},
	} {
		ord, err := newOrder(23, o)
		if err != nil {
			t.Fatal(err)
		}
		for row := range int64(23) {
			for from := range int64(23) {
				want := int64(-1)
				for place := from; place < 23 && want < 0; place++ {
					if ord.at(place) == row {
						want = place
					}
				}
				if got, ok := ord.first(row, from); ok != (want >= 0) || ok && got != want {
					t.Fatalf("%s: row %d from %d: %d, %v, want %d", name, row, from, got, ok, want)
				}
			}
		}
	}
}
