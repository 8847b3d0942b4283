package explore

import (
	"cmp"
	"context"
	"hash/maphash"
	"math/bits"
	"slices"
	"sort"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/shard"
)

// run is rows of the predictions that are rows of a split one by one.
type run struct{ first, split, row, n int32 }

// splitOf is the split of which infer says that a file of predictions has every row, in
// order; -1: it says that of none.
func (e *Explorer) splitOf(b *prediction.Browser) int {
	return slices.IndexFunc(e.splits, func(s *shard.Browser) bool { return b.Whole == s.Identity() && b.Len() == s.Len() })
}

// join finds out which image each row is of: by what infer says of its input where that
// is a whole split, else by path and synset, where these tell one image.
func (p *Predictions) join(ctx context.Context) error {
	if p.whole >= 0 {
		p.runs = []run{{0, int32(p.whole), 0, int32(p.Len())}}
		p.runsByRow = p.runs
		return nil
	}
	images, err := p.imagesByName(ctx)
	p.names = nil
	if err != nil {
		return err
	}
	for i, at := range images {
		if at.split < 0 {
			continue
		}
		if k := len(p.runs) - 1; k >= 0 && p.runs[k].goesOn(int32(i), at) {
			p.runs[k].n++
			continue
		}
		p.runs = append(p.runs, run{int32(i), at.split, at.row, 1})
	}
	p.runs = slices.Clip(p.runs)
	p.runsByRow = slices.Clone(p.runs)
	slices.SortFunc(p.runsByRow, func(a, b run) int { return cmp.Or(cmp.Compare(a.split, b.split), cmp.Compare(a.row, b.row)) })
	return nil
}

// goesOn says that a row and its image are the next ones of a run.
func (r *run) goesOn(row int32, at imageAt) bool {
	return r.split == at.split && r.first+r.n == row && r.row+r.n == at.row
}

// imageAt is the image of a row: its split, or nobody or several, and its row there.
type imageAt struct{ split, row int32 }

const nobody, several = -1, -2

// imagesByName gives the image of each row that alone has its name, as that has.
func (p *Predictions) imagesByName(ctx context.Context) ([]imageAt, error) {
	images := slices.Repeat([]imageAt{{split: nobody}}, len(p.names))
	rows := newNamed(p.names, func(row int32) { images[row].split = several })
	for s, b := range p.e.splits {
		err := b.Names(func(i int, path, synset string) error {
			for _, name := range []string{synset, ""} {
				if r := rows.find(p.name(path, name)); r >= 0 {
					if images[r].split == nobody {
						images[r] = imageAt{int32(s), int32(i)}
					} else {
						images[r].split = several
					}
				}
				if synset == "" {
					break
				}
			}
			return ctx.Err()
		})
		if err != nil {
			return nil, err
		}
	}
	return images, nil
}

// named finds rows by the hash of their names, 8 to 16 bytes a row beside the hashes.
type named struct {
	names []uint64
	slots []int32 // row + 1, or 0, in the first free place from where the name says
}

// newNamed calls twice with each row whose name a later one has, too, which is not found.
func newNamed(names []uint64, twice func(row int32)) *named {
	t := &named{names, make([]int32, 1<<bits.Len(uint(2*len(names))))}
	for i, name := range names {
		k := t.slot(name)
		if t.slots[k] > 0 {
			twice(t.slots[k] - 1)
			continue
		}
		t.slots[k] = int32(i) + 1
	}
	return t
}

// slot is where a name is, or would be.
func (t *named) slot(name uint64) int {
	k := int(name) & (len(t.slots) - 1)
	for t.slots[k] > 0 && t.names[t.slots[k]-1] != name {
		k = (k + 1) & (len(t.slots) - 1)
	}
	return k
}

// find is the first row of a name; -1: none has it.
func (t *named) find(name uint64) int32 { return t.slots[t.slot(name)] - 1 }

// name hashes what a row is joined by.
func (p *Predictions) name(path, synset string) uint64 {
	return maphash.String(p.seed, path+"\x00"+synset)
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
