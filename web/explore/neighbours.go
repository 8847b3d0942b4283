package explore

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/synshard/synshard/internal/inorder"
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

// Neighbours are the images most like one, and which images they were looked for among.
type Neighbours struct {
	Near    []Neighbour // nearest first
	Classes []string    // the images were first predicted as one of these; nil: they are all there are
	Of      int         // how many images that are, without the one itself
	Among   int         // of which so many were looked at, evenly drawn where they are fewer
}

const (
	mostNeighbours = 24      // are found
	keptNeighbours = 256     // images for which they are kept
	mostNumbers    = 1 << 27 // of embeddings are looked at for an image: 65,536 embeddings of 2,048
	lookedAt       = 1024    // embeddings by a goroutine at a time
)

// neighbours keeps what was found, by row; one search is made at a time.
type neighbours struct {
	turn  *semaphore.Weighted // to search
	found *recent.Shared[int, Neighbours]
	most  int // numbers of embeddings that are looked at
	tops  tops
}

func newNeighbours() neighbours {
	return neighbours{turn: semaphore.NewWeighted(1), found: recent.NewShared[int, Neighbours](keptNeighbours), most: mostNumbers}
}

// tops lists rows by their first prediction, where they are too many to look at all embeddings.
type tops struct {
	rows []int32 // of class after class, ascending
	ends []int   // of each class
}

// newTops takes the first prediction of each row, -1: there is none.
func newTops(first []int32, classes int) tops {
	t := tops{ends: make([]int, classes)}
	for _, c := range first {
		if c >= 0 {
			t.ends[c]++
		}
	}
	n := 0
	for c, count := range t.ends {
		t.ends[c] = n // where it begins, for now
		n += count
	}
	t.rows = make([]int32, n)
	for i, c := range first {
		if c >= 0 {
			t.rows[t.ends[c]] = int32(i)
			t.ends[c]++
		}
	}
	return t
}

// of are the rows first predicted as a class.
func (t *tops) of(class int) []int32 {
	if class == 0 {
		return t.rows[:t.ends[0]]
	}
	return t.rows[t.ends[class-1]:t.ends[class]]
}

// HasNeighbours says that images alike can be looked for in the time that a page has: there are
// embeddings, and they are few or can be read one by one.
func (p *Predictions) HasNeighbours() bool {
	return p.Width > 0 && (p.Apart || p.Len() <= p.nearest.most/p.Width)
}

// Neighbours gives the images whose embeddings are most like that of a row. Of a file with more
// than mostNumbers only those are looked at that were first predicted as a class which is among the
// row's own predictions, the most probable class first: a network whose scores are linear in its embedding
// has images alike there. Where the row has no embedding, nothing is found.
func (p *Predictions) Neighbours(ctx context.Context, row int) (Neighbours, error) {
	k := &p.nearest
	if out, ok := k.found.Get(row); ok {
		return out, nil
	}
	if err := k.turn.Acquire(ctx, 1); err != nil {
		return Neighbours{}, err
	}
	defer k.turn.Release(1)
	if out, ok := k.found.Get(row); ok { // by whom this one waited for
		return out, nil
	}
	var of []float32
	err := p.EmbeddingsOf([]int{row}, func(_ int, v []float32) error { of = slices.Clone(v); return nil })
	if err != nil || of == nil {
		return Neighbours{}, err
	}
	out, among, err := p.candidates(row)
	if err != nil {
		return Neighbours{}, err
	}
	if out.Near, err = p.nearestOf(ctx, among, of); err != nil {
		return Neighbours{}, err
	}
	k.found.Put(row, out)
	return out, nil
}

// candidates are the rows among which those like one are looked for, in ascending order.
func (p *Predictions) candidates(row int) (out Neighbours, rows []int, err error) {
	most := p.nearest.most / p.Width
	if p.Len() <= most {
		for i := range p.Len() {
			if i != row {
				rows = append(rows, i)
			}
		}
		out.Of, out.Among = len(rows), len(rows)
		return out, rows, nil
	}
	r, err := p.Row(row)
	if err != nil {
		return out, nil, err
	}
	for _, class := range r.Top {
		of := p.nearest.tops.of(class)
		n := min(len(of), most-len(rows))
		if n == 0 {
			continue
		}
		out.Classes, out.Of = append(out.Classes, p.Classes[class]), out.Of+len(of)
		for k := range n {
			rows = append(rows, int(of[k*len(of)/n]))
		}
	}
	slices.Sort(rows)
	if at, drawn := slices.BinarySearch(rows, row); drawn {
		rows = slices.Delete(rows, at, at+1)
	}
	out.Of, out.Among = out.Of-1, len(rows) // itself is of the first class
	return out, rows, nil
}

// nearestOf looks at the embeddings of some rows, some at a time on each processor.
func (p *Predictions) nearestOf(ctx context.Context, rows []int, of []float32) ([]Neighbour, error) {
	var mu sync.Mutex
	var best []Neighbour
	nearer := func(a, b Neighbour) int {
		return cmp.Or(cmp.Compare(b.Similarity, a.Similarity), cmp.Compare(a.Number, b.Number))
	}
	_, length := dots(of, of) // squared, as all here
	g, _ := inorder.New(ctx, processors.Count())
	for some := range slices.Chunk(rows, lookedAt) {
		g.Go(func(context.Context) error {
			var mine []Neighbour
			err := p.EmbeddingsOf(some, func(i int, v []float32) error {
				if len(v) != len(of) {
					return nil
				}
				if together, own := dots(v, of); own > 0 && length > 0 {
					mine = append(mine, Neighbour{Number: i, Similarity: together / math.Sqrt(own*length)})
				}
				return nil
			})
			mu.Lock()
			defer mu.Unlock()
			best = append(best, mine...)
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

// dots are the inner products of a vector with another one and with itself, each summed up in four parts.
func dots(v, of []float32) (other, itself float64) {
	var o0, o1, o2, o3, i0, i1, i2, i3 float32
	n := len(v) &^ 3
	for k := 0; k < n; k += 4 {
		x, y := v[k:k+4:k+4], of[k:k+4:k+4]
		o0, o1, o2, o3 = o0+x[0]*y[0], o1+x[1]*y[1], o2+x[2]*y[2], o3+x[3]*y[3]
		i0, i1, i2, i3 = i0+x[0]*x[0], i1+x[1]*x[1], i2+x[2]*x[2], i3+x[3]*x[3]
	}
	other, itself = float64(o0)+float64(o1)+float64(o2)+float64(o3), float64(i0)+float64(i1)+float64(i2)+float64(i3)
	for k := n; k < len(v); k++ {
		other, itself = other+float64(v[k])*float64(of[k]), itself+float64(v[k])*float64(v[k])
	}
	return other, itself
}
