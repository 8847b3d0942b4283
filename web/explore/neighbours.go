package explore

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/internal/recent"
)

// Neighbour is an image like another one.
type Neighbour struct {
	Number     int     // of its row in the predictions
	Similarity float64 // cosine of the angle between the embeddings, -1 to 1
	Image      Ref     // which that is of
	Found      bool    // that image is known
}

// mostNeighbours is how many are found, and keptNeighbours for how many images they are kept.
const (
	mostNeighbours = 24
	keptNeighbours = 256
)

// neighbours keeps what was found, by row; one search is made at a time.
type neighbours struct {
	turn  *semaphore.Weighted // to search
	found *recent.Shared[int, []Neighbour]
}

func newNeighbours() neighbours {
	return neighbours{semaphore.NewWeighted(1), recent.NewShared[int, []Neighbour](keptNeighbours)}
}

// Neighbours gives the images whose embeddings are most like that of a row, nearest first:
// all embeddings of the file are looked at. Where the row has none, nor does the answer.
func (p *Predictions) Neighbours(ctx context.Context, row int) ([]Neighbour, error) {
	k := &p.nearest
	if out, ok := k.found.Get(row); ok {
		return out, nil
	}
	if err := k.turn.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer k.turn.Release(1)
	if out, ok := k.found.Get(row); ok { // by whom this one waited for
		return out, nil
	}
	var of []float32
	err := p.Embeddings(p.GroupOf(row), func(i int, v []float32) error {
		if i == row {
			of = slices.Clone(v)
		}
		return nil
	})
	if err != nil || of == nil {
		return nil, err
	}
	out, err := p.search(ctx, row, of)
	if err != nil {
		return nil, err
	}
	k.found.Put(row, out)
	return out, nil
}

// search looks at all embeddings, a group of rows at a time on each processor.
func (p *Predictions) search(ctx context.Context, row int, of []float32) ([]Neighbour, error) {
	var mu sync.Mutex
	var best []Neighbour
	nearer := func(a, b Neighbour) int {
		return cmp.Or(cmp.Compare(b.Similarity, a.Similarity), cmp.Compare(a.Number, b.Number))
	}
	length := math.Sqrt(dot(of, of))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(processors.Count())
	for n := range p.Groups() {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			var mine []Neighbour
			err := p.Embeddings(n, func(i int, v []float32) error {
				if i == row || len(v) != len(of) {
					return nil
				}
				if own := math.Sqrt(dot(v, v)); own > 0 && length > 0 {
					mine = append(mine, Neighbour{Number: i, Similarity: dot(v, of) / (own * length)})
				}
				return nil
			})
			slices.SortFunc(mine, nearer)
			mu.Lock()
			defer mu.Unlock()
			best = append(best, mine[:min(len(mine), mostNeighbours)]...)
			slices.SortFunc(best, nearer)
			best = best[:min(len(best), mostNeighbours)]
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i := range best {
		best[i].Image, best[i].Found = p.ImageOf(best[i].Number)
	}
	return slices.Clone(best), nil
}

// dot is the inner product, summed up in eight parts.
func dot(a, b []float32) float64 {
	var s [8]float32
	n := len(a) &^ 7
	for i := 0; i < n; i += 8 {
		x, y := a[i:i+8:i+8], b[i:i+8:i+8]
		for k := range s {
			s[k] += x[k] * y[k]
		}
	}
	sum := 0.0
	for _, v := range s {
		sum += float64(v)
	}
	for i := n; i < len(a); i++ {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}
