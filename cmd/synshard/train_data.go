package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/recipe"
)

// trainData is the dataset a run reads: the training view, the validation view
// under the training view's classes, and what was refused on the way.
type trainData struct {
	set        *shard.Dataset
	dir        string
	trainView  *shard.View
	advisor    io.Closer
	val        loader.Source
	classes    []string
	report     *trainReport
	mu         sync.Mutex
	complained int
}

// complaints about unreadable images shown before the rest is only counted
// in the log.
const maxComplaints = 10

// openTrainData opens the views of both splits. The training view decides the
// classes; validation images of other classes are left out by the same
// selection.
func (a *app) openTrainData(dir string, flags trainOptions, report *trainReport) (*trainData, error) {
	set, err := shard.Open(dir)
	if err != nil {
		return nil, err
	}
	d := &trainData{set: set, dir: dir, advisor: io.NopCloser(nil), report: report, val: noImages{}}
	if err := d.open(a, flags); err != nil {
		return nil, errors.Join(err, set.Close())
	}
	return d, nil
}

func (d *trainData) open(a *app, flags trainOptions) error {
	var err error
	if d.trainView, err = a.openView(d.set, flags.split, flags.selection); err != nil {
		return err
	}
	d.classes = d.trainView.Classes()
	if d.trainView.Len() == 0 {
		return fmt.Errorf("the selection leaves no image of split %s", flags.split)
	}
	if len(d.classes) < 2 {
		return fmt.Errorf("the selection leaves %d class; a classifier needs two", len(d.classes))
	}
	if flags.valSplit == "" {
		return nil
	}
	all := *flags.selection // the same classes; but every image of them, whatever part is trained on
	all.limitPerSynset, all.job = 0, ""
	view, err := a.openView(d.set, flags.valSplit, &all)
	if err != nil {
		return fmt.Errorf("validation split (--val-split, empty for none): %w", err)
	}
	d.val = relabel(view, d.classes)
	return nil
}

// madeFrom is what the data are, for telling a run from another.
func (d *trainData) madeFrom(flags trainOptions) (checkpoint.Identity, error) {
	s, err := flags.selection.selection()
	if err != nil {
		return nil, err
	}
	id := checkpoint.Identity{
		"split": flags.split, "val-split": flags.valSplit, "dataset.classes_sha256": d.set.Manifest.ClassesSHA256,
		"synset": sorted(s.Synsets), "exclude": sorted(s.Exclude),
	}
	for _, split := range []string{flags.split, flags.valSplit} {
		if split != "" {
			id["dataset."+split+".index_sha256"] = d.set.Manifest.Splits[split].IndexSHA256
		}
	}
	if s.LimitPerSynset > 0 {
		id["limit-per-synset"] = fmt.Sprint(s.LimitPerSynset)
	}
	if s.Jobs > 0 {
		id["job"] = fmt.Sprintf("%d/%d", s.Job, s.Jobs)
	}
	return id, nil
}

func sorted(names []string) string {
	return strings.Join(slices.Sorted(slices.Values(names)), " ")
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

// Close closes the dataset.
func (d *trainData) Close() error { return errors.Join(d.advisor.Close(), d.set.Close()) }

// loaded is the data as a run reads it.
func (d *trainData) loaded(rec recipe.Recipe, flags trainOptions, alloc func(int) ([]byte, func(), error)) *train.Loaded {
	g, e := rec.Augment, rec.Eval
	l := &train.Loaded{
		TrainSource: d.trainView, ValSource: d.val, Seed: rec.Seed,
		TrainOptions: loader.Options{
			Size: e.Size, Workers: flags.workers, Alloc: alloc, OnError: d.onError(flags.split, d.trainView.Path),
			Train: &pixel.Train{
				Size: e.Size, AreaMin: g.AreaMin, AreaMax: g.AreaMax, AspectMin: g.AspectMin, AspectMax: g.AspectMax, Flip: g.Flip,
				Brightness: g.Brightness, Contrast: g.Contrast, Saturation: g.Saturation, Hue: g.Hue, Interpolation: g.Interpolation, Crop: g.Crop,
			},
		},
		ValOptions: loader.Options{
			Size: e.Size, Workers: flags.workers, Alloc: alloc, OnError: d.onError(flags.valSplit, nil),
			Eval: &pixel.Eval{Size: e.Size, Resize: e.Resize, Interpolation: e.Interpolation, Square: e.Square},
		},
	}
	l.TrainOptions.Truncated = rec.Truncated == "accept"
	l.ValOptions.Truncated = l.TrainOptions.Truncated
	if rec.Sampling == "balanced" {
		l.TrainOptions.Weights = loader.Balanced(d.trainView, 1)
	}
	return l
}

// cached lays the cache flags over the training images; d's Close ends it.
func (d *trainData) cached(l *train.Loaded, c *cacheOptions) *train.Loaded {
	l.TrainSource, d.advisor = c.apply(d.trainView, d.dir, func(i int) (string, int64, int64) {
		r := d.trainView.Row(i)
		return r.File, r.Offset, r.Length
	}, &l.TrainOptions)
	return l
}

// onError lets a run go on over images that cannot be decoded, telling of the
// first few. Anything else ends it: data that fail their checksum, a shard that is
// not there or cannot be opened, without which another network would be fitted.
func (d *trainData) onError(split string, path func(int) string) func(loader.Item, error) error {
	return func(it loader.Item, err error) error {
		if !pixel.OfImage(err) {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		name := fmt.Sprintf("row %d", it.Row)
		if path != nil {
			name = path(it.Row)
		}
		if d.complained++; d.complained <= maxComplaints {
			d.report.say("warning: %s image %s is left out: %v", split, name, err)
		}
		return nil
	}
}

// buildNetwork makes the network a recipe asks for over the classes, and the
// spec that will travel with its weights.
func buildNetwork(rec recipe.Recipe, classes []string) (*model.Network, model.Spec, error) {
	spec := model.Spec{
		Model: rec.Model, InputSize: rec.Eval.Size, Resize: rec.Eval.Resize, Square: rec.Eval.Square,
		Interpolation: rec.Eval.Interpolation, Mean: rec.Mean, Std: rec.Std, Classes: classes,
	}
	if rec.Network.Width != 1 {
		spec.Width = rec.Network.Width
	}
	net, err := model.New(rec.Model, model.Options{
		Classes: len(classes), Aux: rec.Loss.AuxWeight > 0, Dropout: rec.Network.Dropout, Width: rec.Network.Width,
	})
	if err != nil {
		return nil, spec, usagef("%w", err)
	}
	for i := range net.Aux {
		net.Aux[i].Weight = rec.Loss.AuxWeight
	}
	net.Input = rec.Eval.Size
	if _, err := net.Shapes(); err != nil {
		return nil, spec, usagef("images of %d pixels: %w", rec.Eval.Size, err)
	}
	return net, spec, nil
}
