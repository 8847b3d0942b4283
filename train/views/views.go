// Package views makes of a dataset what a run reads: a view to train on, whose classes
// are the network's, and a view to validate on under the same classes.
package views

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/splitmix"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/recipe"
	"github.com/synshard/synshard/wordnet"
)

// Options say what of a dataset a run reads, and whom to tell.
type Options struct {
	Split, ValSplit string          // to train and to validate on; no ValSplit: no validation
	Selection       shard.Selection // of Split. ValSplit has every image of its classes
	Graph           *wordnet.Graph  // where Selection names synsets
	HeldOut         HeldOut         // of Split, to validate on; then there is no ValSplit

	// OnLeftOut is told of an image that cannot be decoded and is left out, from many
	// goroutines; name is its path, or its row where it has none.
	OnLeftOut func(split, name string, err error)
}

// HeldOut is what of the training split is validated on and not learnt: an image is in it
// or not by a hash of Seed, its class and its name (Split of ingest's val by the same), so
// that each class gives the share in expectation. The zero value is nothing.
type HeldOut struct {
	Fraction    float64 // from 0 to below 1; or
	Fold, Folds int     // Fold, from 0, of Folds that have nothing in common and are all together
	Seed        uint64  // of the hash
}

func (h HeldOut) none() bool { return h.Fraction == 0 && h.Folds == 0 }

// has says whether an image is held out.
func (h HeldOut) has(class, name string) bool {
	u := splitmix.Fraction(h.Seed, class, name)
	if h.Folds > 0 {
		return min(int(u*float64(h.Folds)), h.Folds-1) == h.Fold
	}
	return u < h.Fraction
}

func (h HeldOut) check() error {
	switch {
	case !(h.Fraction >= 0 && h.Fraction < 1):
		return fmt.Errorf("a fraction of %g to validate on: want one from 0 to below 1", h.Fraction)
	case h.Folds < 0 || h.Folds == 1 || h.Folds > 0 && (h.Fold < 0 || h.Fold >= h.Folds):
		return fmt.Errorf("fold %d of %d: want two folds or more, counted from 0", h.Fold, h.Folds)
	case h.Fraction > 0 && h.Folds > 0:
		return errors.New("a fraction and a fold to validate on: want one of them")
	}
	return nil
}

// Views are what a run reads of a dataset.
type Views struct {
	Train   *shard.View // the rows that are learnt
	val     loader.Source
	set     *shard.Dataset
	o       Options
	Classes []string // the network's, by label
}

// Open selects from a dataset, which the caller closes. The training view decides the
// classes; it has images, of two classes or more.
func Open(set *shard.Dataset, o Options) (*Views, error) {
	if err := o.HeldOut.check(); err != nil {
		return nil, err
	}
	view, err := selected(set, o.Split, o.Selection, o.Graph)
	if err != nil {
		return nil, err
	}
	if !o.HeldOut.none() {
		o.ValSplit = ""
		view = view.Where(func(i int) bool { return !o.HeldOut.has(view.Synset(i), view.Path(i)) })
	}
	v := &Views{Train: view, val: noImages{}, set: set, o: o, Classes: view.Classes()}
	if view.Len() == 0 {
		return nil, fmt.Errorf("the selection leaves no image of split %s", o.Split)
	}
	if len(v.Classes) < 2 {
		return nil, fmt.Errorf("the selection leaves %d class; a classifier needs two", len(v.Classes))
	}
	if o.ValSplit == "" && o.HeldOut.none() {
		return v, nil
	}
	all := o.Selection // the same classes; but every image of them, whatever part is trained on
	all.LimitPerSynset, all.Job, all.Jobs = 0, 0, 0
	if !o.HeldOut.none() {
		return v, v.holdOut(all)
	}
	val, err := selected(set, o.ValSplit, all, o.Graph)
	if err != nil {
		return nil, fmt.Errorf("validation split (--val-split, empty for none): %w", err)
	}
	v.val = relabel(val, v.Classes)
	return v, nil
}

// holdOut has what is held out of the training split be what is validated on.
func (v *Views) holdOut(all shard.Selection) error {
	whole, err := selected(v.set, v.o.Split, all, v.o.Graph)
	if err != nil {
		return err
	}
	val := whole.Where(func(i int) bool { return v.o.HeldOut.has(whole.Synset(i), whole.Path(i)) })
	if val.Len() == 0 {
		return fmt.Errorf("nothing of split %s is held out to validate on: too small a fraction of its %d images", v.o.Split, whole.Len())
	}
	v.val = relabel(val, v.Classes)
	return nil
}

func selected(set *shard.Dataset, split string, s shard.Selection, g *wordnet.Graph) (*shard.View, error) {
	whole, err := set.Split(split)
	if err != nil {
		return nil, err
	}
	return whole.Select(s, g)
}

// MadeFrom is what the data are, for telling a run from another.
func (v *Views) MadeFrom() checkpoint.Identity {
	s, m := v.o.Selection, &v.set.Manifest
	id := checkpoint.Identity{
		"split": v.o.Split, "val-split": v.o.ValSplit, "dataset.classes_sha256": m.ClassesSHA256,
		"synset": sorted(s.Synsets), "exclude": sorted(s.Exclude),
	}
	for _, split := range []string{v.o.Split, v.o.ValSplit} {
		if split != "" {
			id["dataset."+split+".index_sha256"] = m.Splits[split].IndexSHA256
		}
	}
	h := v.o.HeldOut
	if h.Fraction > 0 {
		id["val-fraction"] = fmt.Sprint(h.Fraction)
	}
	if h.Folds > 0 {
		id["fold"] = fmt.Sprintf("%d/%d", h.Fold, h.Folds)
	}
	if h.Seed > 0 {
		id["split-seed"] = fmt.Sprint(h.Seed)
	}
	if s.LimitPerSynset > 0 {
		id["limit-per-synset"] = fmt.Sprint(s.LimitPerSynset)
	}
	if s.Jobs > 0 {
		id["job"] = fmt.Sprintf("%d/%d", s.Job, s.Jobs)
	}
	return id
}

func sorted(names []string) string {
	return strings.Join(slices.Sorted(slices.Values(names)), " ")
}

// Data is the images as a run reads them by a recipe: workers decode at a time, 0 for one a
// CPU, into memory of alloc's where that is not nil (loader.Options).
func (v *Views) Data(r recipe.Recipe, workers int, alloc func(int) ([]byte, func(), error)) *train.Loaded {
	g, e, largest := r.Augment, r.Eval, r.LargestTrainSize()
	l := &train.Loaded{
		TrainSource: v.Train, ValSource: v.val, Seed: r.Seed, TrainSize: r.TrainSize,
		TrainOptions: loader.Options{
			Size: largest, Workers: workers, Alloc: alloc, Truncated: r.Truncated == "accept", OnError: v.onError(v.o.Split, v.Train.Path), Repeats: g.Repeats,
			Train: &pixel.Train{
				Size: largest, AreaMin: g.AreaMin, AreaMax: g.AreaMax, AspectMin: g.AspectMin, AspectMax: g.AspectMax, Flip: g.Flip,
				Brightness: g.Brightness, Contrast: g.Contrast, Saturation: g.Saturation, Hue: g.Hue, Interpolation: g.Interpolation, Crop: g.Crop, Exact: g.Exact,
				Policy: g.Policy, PolicyOps: cmp.Or(g.PolicyOps, 2), PolicyMagnitude: cmp.Or(g.PolicyMagnitude, 9), Erase: g.Erase, EraseWith: meanColour(r.Mean),
			},
		},
		ValOptions: loader.Options{
			Size: e.Size, Workers: workers, Alloc: alloc, Truncated: r.Truncated == "accept",
			OnError: v.onError(cmp.Or(v.o.ValSplit, v.o.Split), func(row int) string { return fmt.Sprintf("row %d", row) }),
			Eval:    &pixel.Eval{Size: e.Size, Resize: e.Resize, Interpolation: e.Interpolation, Square: e.Square},
		},
	}
	if r.Epochs > 1 {
		l.TrainOptions.Points = loader.NewPoints(v.Train.Len())
	}
	if r.Sampling == "balanced" {
		l.TrainOptions.Weights = loader.Balanced(v.Train, 1)
	}
	return l
}

// meanColour is the byte nearest to what normalises to 0.
func meanColour(mean [3]float64) (c [3]byte) {
	for i, m := range mean {
		c[i] = byte(math.Round(min(max(m, 0), 1) * 255))
	}
	return c
}

// onError lets a run go on over images that cannot be decoded. Anything else ends it:
// data that fail their checksum, a shard that is not there or cannot be opened,
// without which another network would be fitted.
func (v *Views) onError(split string, name func(row int) string) func(loader.Item, error) error {
	return func(it loader.Item, err error) error {
		if !pixel.OfImage(err) {
			return err
		}
		if v.o.OnLeftOut != nil {
			v.o.OnLeftOut(split, name(it.Row), err)
		}
		return nil
	}
}

// noImages is an empty validation set.
type noImages struct{}

func (noImages) Len() int                         { return 0 }
func (noImages) Label(int) int64                  { return -1 }
func (noImages) Read(int, []byte) ([]byte, error) { return nil, errors.New("no images") }

// relabelled is a view whose labels count in another class list.
type relabelled struct {
	*shard.View
	to []int64
}

func (r relabelled) Label(i int) int64 {
	if l := r.View.Label(i); l >= 0 && l < int64(len(r.to)) {
		return r.to[l]
	}
	return -1
}

func relabel(v *shard.View, classes []string) loader.Source {
	if slices.Equal(v.Classes(), classes) {
		return v
	}
	to := make([]int64, len(v.Classes()))
	for i, c := range v.Classes() {
		to[i] = int64(slices.Index(classes, c))
	}
	return relabelled{v, to}
}
