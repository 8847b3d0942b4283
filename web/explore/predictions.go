package explore

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"sync/atomic"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/wordnet"
)

// Predictions are a model's over images of the dataset. Of each mistake 16 bytes are in
// memory, of each row with an embedding 4 where they are many, and counts of classes and of
// pairs of them; the rest is in the file.
type Predictions struct {
	*prediction.Browser
	Report eval.Report // what is measured of all rows, nothing where none has a truth (N is 0); its Pairs are left out

	e         *Explorer
	rows      int          // known before they are read; 0: it is not
	scanned   atomic.Int64 // of them
	wrong     []mistake    // surest first
	pairs     []pair
	count     []int   // images of each class
	right     []int   // of them
	worst     []int32 // classes with mistakes, by accuracy
	figures   map[string]Figures
	met       []bool                 // of each class: it is a truth or a first prediction
	below     map[wordnet.ID][]int32 // classes met at or below a node
	roots     []wordnet.ID           // of below
	keys      []string               // of each class
	runs      []run                  // by prediction
	runsByRow []run                  // by split and row
	nearest   neighbours
	seed      maphash.Seed
	whole     int      // the split all of whose rows they are, in order; -1: none
	names     []uint64 // else of each row its path and synset, hashed, until they are joined
}

// mistake is a row whose first prediction is not its truth, both classes of the model.
type mistake struct {
	row, truth, top int32
	prob            float32 // of the first prediction
}

// pair counts how often a class was taken for another one.
type pair struct{ truth, predicted, n int32 }

// Figures are of the predictions over images whose truth is at or below a node.
type Figures struct {
	Images int // whose truth that is
	Right  int // of them
	Inside int // taken for something at or below the node, right ones included
}

// Wrong is how many are not right.
func (f Figures) Wrong() int { return f.Images - f.Right }

// Top1 is the share that is right.
func (f Figures) Top1() float64 { return float64(f.Right) / float64(max(f.Images, 1)) }

// Within is the 95 % interval of Top1, by Wilson.
func (f Figures) Within() eval.Interval { return eval.Wilson(f.Right, f.Images) }

// InsideShare is the share that was taken for something inside.
func (f Figures) InsideShare() float64 { return float64(f.Inside) / float64(max(f.Images, 1)) }

// OpenPredictions opens predictions and takes what they say of themselves: their model, its
// Spec and classes. Read is called next, once; Close of the Explorer closes them. classes are
// for text without its metadata; see prediction.Browse. It is called before anything is asked.
func (e *Explorer) OpenPredictions(path string, classes []string) (*Predictions, error) {
	b, err := prediction.Browse(path, classes)
	if err != nil {
		return nil, err
	}
	e.opened = &Predictions{Browser: b, e: e, rows: b.Len(), nearest: newNeighbours(), seed: maphash.MakeSeed(), whole: e.splitOf(b)}
	return e.opened, nil
}

// Read goes through all rows, once, and joins them to the images; meanwhile the Explorer may be
// asked. From when it has returned without an error the Explorer's Predictions are these.
func (p *Predictions) Read(ctx context.Context) error {
	if err := p.scan(ctx); err != nil {
		return err
	}
	p.keys = make([]string, len(p.Classes))
	for c, name := range p.Classes {
		p.keys[c] = p.e.keyOf(name)
	}
	p.measure()
	if err := p.join(ctx); err != nil {
		return err
	}
	p.e.ready.Store(true)
	return nil
}

// Predictions are what was opened and read; nil: there is nothing, or not yet.
func (e *Explorer) Predictions() *Predictions {
	if !e.ready.Load() {
		return nil
	}
	return e.opened
}

// Predicted says that predictions were opened, whether they are there yet or not.
func (e *Explorer) Predicted() bool { return e.opened != nil }

// Reading says how much of the predictions was read, 0 to 1, while they are not there yet, or
// 0 where that is not known.
func (e *Explorer) Reading() (share float64, ok bool) {
	if e.opened == nil || e.ready.Load() {
		return 0, false
	}
	if e.opened.rows == 0 {
		return 0, true
	}
	return float64(e.opened.scanned.Load()) / float64(e.opened.rows), true
}

// scan goes through the file.
func (p *Predictions) scan(ctx context.Context) error {
	m, top := eval.NewMeter(p.Classes), []int32(nil)
	var tops []int32 // of each row
	err := p.Scan(ctx, func(i int, r *prediction.Row) error {
		top = top[:0]
		for _, c := range r.Top {
			top = append(top, int32(c))
		}
		first, prob := int32(-1), float32(0)
		if len(top) > 0 {
			first, prob = top[0], r.Prob[0]
		}
		truth := int32(r.Label)
		m.Add(truth, r.Top == nil, top, prob)
		if p.whole < 0 {
			p.names = append(p.names, p.name(r.Path, r.Synset))
		}
		if truth >= 0 && first >= 0 && first != truth {
			p.wrong = append(p.wrong, mistake{int32(i), truth, first, prob})
		}
		if p.Embedded() {
			tops = append(tops, first)
		}
		p.scanned.Store(int64(i + 1))
		return nil
	})
	if err != nil {
		return err
	}
	if p.HasNeighbours() && p.Len() > p.nearest.most/p.Width {
		p.nearest.tops = newTops(tops, len(p.Classes))
	}
	if p.Report, err = m.Report(); err != nil && !errors.Is(err, eval.ErrNoTruth) { // without any, predictions are there to look at
		return err
	}
	slices.SortFunc(p.wrong, func(a, b mistake) int {
		if c := cmp.Compare(b.prob, a.prob); c != 0 {
			return c
		}
		return cmp.Compare(a.row, b.row)
	})
	p.wrong = slices.Clip(p.wrong)
	numbers := map[string]int32{}
	for c, name := range p.Classes {
		numbers[name] = int32(c)
	}
	p.count, p.right = make([]int, len(p.Classes)), make([]int, len(p.Classes))
	for _, s := range p.Report.Synsets {
		c := numbers[s.Synset]
		p.count[c], p.right[c] = s.N, s.Right()
	}
	for _, c := range p.Report.Pairs {
		p.pairs = append(p.pairs, pair{numbers[c.Truth], numbers[c.Predicted], int32(c.N)})
	}
	p.Report.Pairs = nil
	return nil
}

// measure sums up by node.
func (p *Predictions) measure() {
	p.figures, p.below = map[string]Figures{}, map[wordnet.ID][]int32{}
	p.met = make([]bool, len(p.Classes))
	for c, n := range p.count {
		p.met[c] = n > 0
	}
	for _, q := range p.pairs {
		p.met[q.predicted] = true
	}
	ways := make([][]string, len(p.Classes)) // of each class: the keys at or above it
	for c, key := range p.keys {
		ways[c] = []string{key}
		id, ok := p.e.node(key)
		if !ok || !p.met[c] {
			continue
		}
		p.below[id] = append(p.below[id], int32(c))
		for _, a := range p.e.graph.Ancestors(id) {
			ways[c] = append(ways[c], a.String())
			p.below[a] = append(p.below[a], int32(c))
		}
	}
	p.roots, p.worst = rootsOf(p.e.graph, p.below), p.byAccuracy()
	for c := range p.Classes {
		for _, key := range ways[c] {
			f := p.figures[key]
			p.figures[key] = Figures{f.Images + p.count[c], f.Right + p.right[c], f.Inside + p.right[c]}
		}
	}
	for _, q := range p.pairs {
		for _, key := range ways[q.truth] {
			if slices.Contains(ways[q.predicted], key) {
				f := p.figures[key]
				f.Inside += int(q.n)
				p.figures[key] = f
			}
		}
	}
}

// Figures are those of a node; of "" those of all rows whose truth is known.
func (p *Predictions) Figures(key string) (Figures, bool) {
	if key == "" {
		h := p.Report.Headline()
		return Figures{h.Images, h.Right1, h.Images - h.Unreadable}, true
	}
	f, ok := p.figures[key]
	return f, ok && f.Images > 0
}
