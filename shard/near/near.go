package near

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync/atomic"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
)

// DefaultDistance is how many of the 256 bits may differ in a pair that is near: cropped copies
// are found, and images that have nothing to do with one another are as good as never taken for near.
const DefaultDistance = 76

// MostDistance bounds Options.Distance: beyond it pairs that are near would be missed by the
// index, and images that have nothing to do with one another be taken for near.
const MostDistance = 96

// Options say what is near, and how images are gone through.
type Options struct {
	Distance int // bits of 256 that may differ
	// Against is another dataset: only groups with images of both are listed. nil: there is none.
	Against *shard.Dataset
	Workers int // 0: one a CPU
	// OnError is told of an image that cannot be decoded, and is left out; what it returns
	// ends all. nil: carry on.
	OnError func(split, path string, err error) error
	OnImage func() // after every image, from many goroutines; nil: nobody wants to know
}

// Image is one of a group.
type Image struct {
	Dataset  string `json:"dataset"`          // as it was given
	Split    string `json:"split"`            // where it lies
	Path     string `json:"path"`             // as shard.Row.Path
	Label    int64  `json:"label"`            // -1: none
	Synset   string `json:"synset,omitempty"` // "": none
	Distance int    `json:"distance"`         // bits of 256 in which it differs from the group's first
}

// Group is images each of which is near another one of them.
type Group struct {
	// LabelsDiffer says that not all have the same synset; images without one do not count.
	// SplitsDiffer says that they lie in several splits, or datasets.
	LabelsDiffer bool    `json:"labels_differ"`
	SplitsDiffer bool    `json:"splits_differ"`
	Images       []Image `json:"images"` // of the first dataset first; train, val, test, then other splits; in index order
}

// Result is what was found.
type Result struct {
	Images   int64   `json:"images"`   // of all splits
	Rejected int64   `json:"rejected"` // could not be decoded, and are left out
	Flat     int64   `json:"flat"`     // have too little in them to be told apart, and are left out
	Groups   []Group `json:"groups"`   // in the order of their first images
}

// member is where an image lies.
type member struct {
	split *shard.Split
	set   *shard.Dataset
	first int // of the split's, among all images
}

// Find lists the images of a dataset that are near one another, within and across its splits.
// All are decoded, which is what takes the time; 96 bytes of each are kept, and about 200 more
// while they are compared. Damage is shard.ErrCorrupt.
func Find(ctx context.Context, set *shard.Dataset, o Options) (*Result, error) {
	var members []member
	n, first := 0, 0
	sets := []*shard.Dataset{set}
	if o.Against != nil {
		sets = append(sets, o.Against)
	}
	for k, one := range sets {
		if k == 1 {
			first = n
		}
		for _, name := range one.SplitsInOrder() {
			s, err := one.Split(name)
			if err != nil {
				return nil, err
			}
			members = append(members, member{s, one, n})
			n += s.Len()
		}
	}
	if o.Against == nil {
		first = n
	}
	if n > math.MaxInt32 {
		return nil, fmt.Errorf("%d images; at most %d are compared", n, math.MaxInt32)
	}
	hashes := make([]Hashes, n)
	out := &Result{Images: int64(n), Groups: []Group{}}
	for _, m := range members {
		rejected, err := m.hash(ctx, hashes[m.first:m.first+m.split.Len()], o)
		if err != nil {
			return nil, err
		}
		out.Rejected += rejected
	}
	for i := range hashes {
		if hashes[i].Flat {
			out.Flat++
		}
	}
	out.Flat -= out.Rejected
	of, err := alike(ctx, hashes, groupsOptions{o.Distance, first, o.Against != nil, loader.WorkersOf(o.Workers)})
	if err != nil {
		return nil, err
	}
	out.Groups = groupsOf(of, hashes, members, first, o.Against != nil)
	return out, nil
}

// hash fills in the hashes of a split; those of images that are rejected are flat.
func (m *member) hash(ctx context.Context, to []Hashes, o Options) (rejected int64, err error) {
	var n atomic.Int64
	workers := make([]*hasher, loader.WorkersOf(o.Workers))
	each := loader.EachOptions{Workers: len(workers), OnImage: o.OnImage, OnError: func(i int, err error) error {
		n.Add(1)
		to[i].Flat = true
		if o.OnError == nil {
			return nil
		}
		return o.OnError(m.split.Name, m.split.Row(i).Path, err)
	}}
	err = loader.Each(ctx, m.split, m.split.Len(), func(k int) int { return k }, each, func(worker, i int, d *pixel.Decoder, image []byte) error {
		if workers[worker] == nil {
			workers[worker] = newHasher()
		}
		var err error
		to[i], err = workers[worker].hash(d, image)
		return err
	})
	return n.Load(), err
}

// groupsOf lists the groups of two images and more; across, only those of both datasets, of
// which the second's begin at first.
func groupsOf(of []int32, hashes []Hashes, members []member, first int, across bool) []Group {
	places := map[int32][]int{} // the images of a group after its first, which is the least
	for i, root := range of {
		if int(root) != i {
			places[root] = append(places[root], i)
		}
	}
	groups := []Group{}
	for _, root := range slices.Sorted(maps.Keys(places)) {
		others := places[root]
		if across && (int(root) >= first || others[len(others)-1] < first) {
			continue
		}
		g := Group{Images: []Image{imageOf(int(root), members, 0)}}
		for _, i := range others {
			g.Images = append(g.Images, imageOf(i, members, nearest(&hashes[root], &hashes[i])))
		}
		g.compare()
		groups = append(groups, g)
	}
	return groups
}

func imageOf(i int, members []member, distance int) Image {
	k, found := slices.BinarySearchFunc(members, i, func(m member, i int) int { return cmp.Compare(m.first, i) })
	if !found {
		k--
	}
	for k+1 < len(members) && members[k+1].first == i { // splits without images come before it
		k++
	}
	m := members[k]
	r := m.split.Row(i - m.first)
	return Image{m.set.Dir, m.split.Name, r.Path, r.Label, r.Synset, distance}
}

// nearest is the distance of two images: the least of the whole ones' and of one whole and the
// other without its rim.
func nearest(a, b *Hashes) int {
	return min(a.Whole.Distance(&b.Whole), a.Whole.Distance(&b.Inner), a.Inner.Distance(&b.Whole))
}

// compare says what differs among the images.
func (g *Group) compare() {
	synset := ""
	for _, im := range g.Images {
		g.SplitsDiffer = g.SplitsDiffer || im.Split != g.Images[0].Split || im.Dataset != g.Images[0].Dataset
		if im.Synset != "" {
			g.LabelsDiffer = g.LabelsDiffer || synset != "" && synset != im.Synset
			synset = im.Synset
		}
	}
}
