// Package views makes of a dataset what a run reads: a view to train on, whose classes
// are the network's, and a view to validate on under the same classes.
package views

import (
	"errors"
	"fmt"
	"slices"
	"strings"

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

	// OnLeftOut is told of an image that cannot be decoded and is left out, from many
	// goroutines; name is its path, or its row where it has none.
	OnLeftOut func(split, name string, err error)
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
	view, err := selected(set, o.Split, o.Selection, o.Graph)
	if err != nil {
		return nil, err
	}
	v := &Views{Train: view, val: noImages{}, set: set, o: o, Classes: view.Classes()}
	if view.Len() == 0 {
		return nil, fmt.Errorf("the selection leaves no image of split %s", o.Split)
	}
	if len(v.Classes) < 2 {
		return nil, fmt.Errorf("the selection leaves %d class; a classifier needs two", len(v.Classes))
	}
	if o.ValSplit == "" {
		return v, nil
	}
	all := o.Selection // the same classes; but every image of them, whatever part is trained on
	all.LimitPerSynset, all.Job, all.Jobs = 0, 0, 0
	val, err := selected(set, o.ValSplit, all, o.Graph)
	if err != nil {
		return nil, fmt.Errorf("validation split (--val-split, empty for none): %w", err)
	}
	v.val = relabel(val, v.Classes)
	return v, nil
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
	g, e := r.Augment, r.Eval
	l := &train.Loaded{
		TrainSource: v.Train, ValSource: v.val, Seed: r.Seed,
		TrainOptions: loader.Options{
			Size: e.Size, Workers: workers, Alloc: alloc, Truncated: r.Truncated == "accept", OnError: v.onError(v.o.Split, v.Train.Path),
			Train: &pixel.Train{
				Size: e.Size, AreaMin: g.AreaMin, AreaMax: g.AreaMax, AspectMin: g.AspectMin, AspectMax: g.AspectMax, Flip: g.Flip,
				Brightness: g.Brightness, Contrast: g.Contrast, Saturation: g.Saturation, Hue: g.Hue, Interpolation: g.Interpolation, Crop: g.Crop, Exact: g.Exact,
			},
		},
		ValOptions: loader.Options{
			Size: e.Size, Workers: workers, Alloc: alloc, Truncated: r.Truncated == "accept",
			OnError: v.onError(v.o.ValSplit, func(row int) string { return fmt.Sprintf("row %d", row) }),
			Eval:    &pixel.Eval{Size: e.Size, Resize: e.Resize, Interpolation: e.Interpolation, Square: e.Square},
		},
	}
	if r.Sampling == "balanced" {
		l.TrainOptions.Weights = loader.Balanced(v.Train, 1)
	}
	return l
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
