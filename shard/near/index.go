package near

import (
	"cmp"
	"context"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// reach is how many of the 64 bits of Low may differ in a pair that is looked at: what is near in
// 256 bits is so in these.
const reach = 10

// part is a run of the bits of Low by which a table is ordered: two hashes of which at most
// reach bits differ are, in one part at least, no more than radius apart (multi-index hashing:
// Norouzi, Punjani and Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012).
type part struct{ shift, width, radius int }

// partsOf are the parts for so many entries: few wide ones where there are many, so that what has
// the same key stays few.
func partsOf(entries int) []part {
	if entries > 6<<20 {
		return []part{{0, 22, 3}, {22, 21, 3}, {43, 21, 2}} // (3+1)+(3+1)+(2+1) > reach
	}
	return []part{{0, 16, 2}, {16, 16, 2}, {32, 16, 2}, {48, 16, 1}} // likewise
}

// entry is a hash in the index: of a whole image or of an inner one. Of equal hashes one stands
// for all.
type entry struct {
	Hash
	image int32
	inner bool
	of    uint8 // datasets of the images it stands for: bit 0 the first, bit 1 the other
}

// groupsOptions say what is put together.
type groupsOptions struct {
	distance int  // bits of High in which a pair may differ
	first    int  // images of the first dataset; the others are the second's
	across   bool // only pairs of both datasets
	workers  int
}

// alike puts images that are near one another together, each with those that are near any: [n],
// the least image of the group of each.
func alike(ctx context.Context, hashes []Hashes, o groupsOptions) ([]int32, error) {
	sets := newSets(len(hashes))
	entries := merged(hashes, o, sets)
	for i := range entries {
		entries[i].Low = spread(entries[i].Low)
	}
	for k, p := range partsOf(len(entries)) {
		j := &joiner{hashes, entries, partsOf(len(entries))[:k], o, sets}
		if err := j.join(ctx, p); err != nil {
			return nil, err
		}
	}
	out := make([]int32, len(hashes))
	for i := range out {
		out[i] = sets.find(int32(i))
	}
	return out, nil
}

// merged lists the entries of images that are not flat. Images of which a whole one equals a
// whole or inner one, of like levels, are put together at once, and the whole one stands for all: or a
// thousand copies would be half a million pairs.
func merged(hashes []Hashes, o groupsOptions, sets *sets) []entry {
	entries := make([]entry, 0, 2*len(hashes))
	for i := range hashes {
		if h := &hashes[i]; !h.Flat {
			of := uint8(1)
			if i >= o.first {
				of = 2
			}
			entries = append(entries, entry{h.Whole, int32(i), false, of}, entry{h.Inner, int32(i), true, of})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Low, b.Low), slices.Compare(a.High[:], b.High[:]), cmp.Compare(order(a.inner), order(b.inner)), cmp.Compare(a.image, b.image))
	})
	out := entries[:0]
	for from, to := 0, 0; from < len(entries); from = to {
		for to = from + 1; to < len(entries) && entries[to].Hash == entries[from].Hash; to++ {
		}
		out = append(out, standing(hashes, entries[from:to], sets)...)
	}
	return out
}

// standing leaves of entries with one hash, whole ones first, those that stand for the others.
func standing(hashes []Hashes, same []entry, sets *sets) []entry {
	left := 0
	for _, e := range same {
		for k := range same[:left] {
			one := &same[k]
			if !one.inner && hashes[one.image].levels(&hashes[e.image]) {
				sets.unite(one.image, e.image)
				one.of |= e.of
				e.image = -1
				break
			}
		}
		if e.image >= 0 {
			same[left] = e
			left++
		}
	}
	return same[:left]
}

func order(inner bool) int {
	if inner {
		return 1
	}
	return 0
}

// spread moves the bits so that each run of them has some of all frequencies: neighbours are
// alike in most images, and would fill few of a table's places.
func spread(low uint64) (out uint64) {
	for i := range 64 {
		out |= low >> i & 1 << (i%4*16 + i/4)
	}
	return out
}

// table is entries in the order of their keys: those of key k are from starts[k] on.
type table struct {
	starts  []int32
	entries []int32  // places
	low     []uint64 // of each
}

func newTable(entries []entry, p part) *table {
	t := &table{make([]int32, 1<<p.width+1), make([]int32, len(entries)), make([]uint64, len(entries))}
	for i := range entries {
		t.starts[p.key(entries[i].Low)+1]++
	}
	for k := range 1 << p.width {
		t.starts[k+1] += t.starts[k]
	}
	next := slices.Clone(t.starts[:1<<p.width])
	for i := range entries {
		k := p.key(entries[i].Low)
		t.entries[next[k]], t.low[next[k]] = int32(i), entries[i].Low
		next[k]++
	}
	return t
}

func (p part) key(low uint64) uint64 { return low >> p.shift & (1<<p.width - 1) }

// masks are the keys with at most radius bits, the empty one first.
func (p part) masks() []uint64 {
	out := []uint64{0}
	for from, bit := 0, 0; bit < p.radius; bit++ {
		to := len(out)
		for _, m := range out[from:to] {
			for b := bits.Len64(m); b < p.width; b++ {
				out = append(out, m|1<<b)
			}
		}
		from = to
	}
	return out
}

// run is how many keys a worker takes at a time.
const run = 1 << 10

type joiner struct {
	hashes  []Hashes // of the images
	entries []entry
	before  []part // joined by
	o       groupsOptions
	sets    *sets
}

// join finds the pairs that are near by a part and were not found by those before it.
func (j *joiner) join(ctx context.Context, p part) error {
	t, masks := newTable(j.entries, p), p.masks()
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range j.o.workers {
		g.Go(func() error {
			for {
				first := uint64(next.Add(run) - run)
				if first >= 1<<p.width || ctx.Err() != nil {
					return ctx.Err()
				}
				for key := first; key < min(first+run, 1<<p.width); key++ {
					if t.starts[key] == t.starts[key+1] {
						continue
					}
					for _, m := range masks {
						if key^m >= key { // each pair of keys once
							j.compare(t, key, key^m)
						}
					}
				}
			}
		})
	}
	return g.Wait()
}

// compare looks at every pair of entries of two keys.
func (j *joiner) compare(t *table, key, other uint64) {
	from, to := t.starts[other], t.starts[other+1]
	for a := t.starts[key]; a < t.starts[key+1]; a++ {
		if key == other {
			from = a + 1
		}
		low := t.low[a]
		for b, l := range t.low[from:to] {
			if bits.OnesCount64(low^l) <= reach {
				j.pair(&j.entries[t.entries[a]], &j.entries[t.entries[from+int32(b)]])
			}
		}
	}
}

// pair puts the images of two entries together if they are near.
func (j *joiner) pair(a, b *entry) {
	if a.inner && b.inner || a.image == b.image || j.o.across && a.of == b.of && a.of != 3 || a.Distance(&b.Hash) > j.o.distance {
		return
	}
	for _, p := range j.before {
		if bits.OnesCount64(p.key(a.Low)^p.key(b.Low)) <= p.radius {
			return // that table had it
		}
	}
	if j.hashes[a.image].levels(&j.hashes[b.image]) {
		j.sets.unite(a.image, b.image)
	}
}

// sets is images that belong together: the least of each stands for all. It may be used from
// many goroutines.
type sets struct {
	mu sync.Mutex
	of []int32
}

func newSets(n int) *sets {
	s := &sets{of: make([]int32, n)}
	for i := range s.of {
		s.of[i] = int32(i)
	}
	return s
}

func (s *sets) find(i int32) int32 {
	for s.of[i] != i {
		s.of[i] = s.of[s.of[i]]
		i = s.of[i]
	}
	return i
}

func (s *sets) unite(a, b int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, b = s.find(a), s.find(b)
	s.of[max(a, b)] = min(a, b)
}
