package explore

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sort"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/wordnet"
)

// Predictions are a model's over images of the dataset. Of each mistake 16 bytes are in
// memory, and counts of classes and of pairs of them; the rest is in the file.
type Predictions struct {
	*prediction.Browser
	Report eval.Report // what is measured of all rows, nothing where none has a truth (N is 0); its Pairs are left out

	e         *Explorer
	wrong     []mistake // surest first
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

// run is rows of the predictions that are rows of a split one by one.
type run struct{ first, split, row, n int32 }

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

// ReadPredictions reads predictions, once, and joins them to the images. classes are for
// text without its metadata; see prediction.Read. It is called before anything is asked.
func (e *Explorer) ReadPredictions(path string, classes []string) error {
	p := &Predictions{e: e, seed: maphash.MakeSeed(), nearest: newNeighbours()}
	if err := p.read(path, classes); err != nil {
		return err
	}
	e.predictions = p
	p.keys = make([]string, len(p.Classes))
	for c, name := range p.Classes {
		p.keys[c] = e.keyOf(name)
	}
	p.measure()
	return p.join()
}

// Predictions are those of ReadPredictions; nil: there are none.
func (e *Explorer) Predictions() *Predictions { return e.predictions }

// read goes through the file.
func (p *Predictions) read(path string, classes []string) error {
	var m *eval.Meter
	var top []int32
	b, err := prediction.Browse(path, classes, func(b *prediction.Browser) func(int, *prediction.Row) {
		m = eval.NewMeter(b.Classes)
		p.whole = p.e.splitOf(b)
		return func(i int, r *prediction.Row) {
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
		}
	})
	if err != nil {
		return err
	}
	p.Browser = b
	if p.Report, err = m.Report(); err != nil && !errors.Is(err, eval.ErrNoTruth) { // without any, predictions are there to look at
		b.Close()
		return fmt.Errorf("%s: %w", path, err)
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

// splitOf is the split of which infer says that a file of predictions has every row, in
// order; -1: it says that of none.
func (e *Explorer) splitOf(b *prediction.Browser) int {
	return slices.IndexFunc(e.splits, func(s *shard.Browser) bool { return b.Whole == s.Identity() && b.Len() == s.Len() })
}

// join finds out which image each row is of: by what infer says of its input where that
// is a whole split, else by path and synset, where these tell one image.
func (p *Predictions) join() error {
	if p.whole >= 0 {
		p.runs = []run{{0, int32(p.whole), 0, int32(p.Len())}}
		p.runsByRow = p.runs
		return nil
	}
	defer func() { p.names = nil }()
	rows := map[uint64]int32{} // predictions; -1: several have that name
	for i, name := range p.names {
		if _, twice := rows[name]; twice {
			rows[name] = -1
			continue
		}
		rows[name] = int32(i)
	}
	at := map[int32]run{}
	for s, b := range p.e.splits {
		err := b.Names(func(i int, path, synset string) {
			for _, name := range []uint64{p.name(path, synset), p.name(path, "")} {
				r, ok := rows[name]
				if !ok || r < 0 {
					continue
				}
				n := int32(1)
				if _, twice := at[r]; twice {
					n = 0 // several images have that name
				}
				at[r] = run{r, int32(s), int32(i), n}
				if synset == "" {
					break
				}
			}
		})
		if err != nil {
			return err
		}
	}
	for _, r := range at {
		if r.n == 1 {
			p.runs = append(p.runs, r)
		}
	}
	p.compact()
	return nil
}

// name hashes what a row is joined by.
func (p *Predictions) name(path, synset string) uint64 {
	return maphash.String(p.seed, path+"\x00"+synset)
}

// compact makes single rows into runs, in both orders.
func (p *Predictions) compact() {
	slices.SortFunc(p.runs, func(a, b run) int { return cmp.Compare(a.first, b.first) })
	out := p.runs[:0]
	for _, r := range p.runs {
		if k := len(out) - 1; k >= 0 && out[k].split == r.split && out[k].first+out[k].n == r.first && out[k].row+out[k].n == r.row {
			out[k].n++
			continue
		}
		out = append(out, r)
	}
	p.runs = slices.Clip(out)
	p.runsByRow = slices.Clone(p.runs)
	slices.SortFunc(p.runsByRow, func(a, b run) int { return cmp.Or(cmp.Compare(a.split, b.split), cmp.Compare(a.row, b.row)) })
}

// ImageOf is the image that a row of the predictions is of.
func (p *Predictions) ImageOf(i int) (Ref, bool) {
	k := sort.Search(len(p.runs), func(k int) bool { return int(p.runs[k].first) > i }) - 1
	if k < 0 || i >= int(p.runs[k].first+p.runs[k].n) {
		return Ref{}, false
	}
	r := p.runs[k]
	return Ref{p.e.splits[r.split].Name, int(r.row) + i - int(r.first)}, true
}

// RowOf is the row of the predictions that is of an image.
func (p *Predictions) RowOf(ref Ref) (int, bool) {
	split := slices.IndexFunc(p.e.splits, func(b *shard.Browser) bool { return b.Name == ref.Split })
	k := sort.Search(len(p.runsByRow), func(k int) bool {
		r := p.runsByRow[k]
		return int(r.split) > split || int(r.split) == split && int(r.row) > ref.Row
	}) - 1
	if k < 0 || int(p.runsByRow[k].split) != split || ref.Row >= int(p.runsByRow[k].row+p.runsByRow[k].n) {
		return 0, false
	}
	r := p.runsByRow[k]
	return int(r.first) + ref.Row - int(r.row), true
}

// Joined is how many rows are of images of the dataset.
func (p *Predictions) Joined() (n int) {
	for _, r := range p.runs {
		n += int(r.n)
	}
	return n
}
